// An event stream, and a consumer that goes on where it was.
import { open } from "@russellthehippo/honker-node";

const db = open("app.db");
const events = db.stream("user-events");
db.withTransaction((tx) => events.publishTx(tx, { userId: 1, change: "name" }));
events.publish({ userId: 1, change: "email" });

for await (const event of events.subscribe("dashboard")) {
  console.log(event.offset, event.payload.change);
  if (event.payload.change === "email") break; // the event in hand is not finished, and comes again
}
console.log(events.getOffset("dashboard"));
