// Notifications reach whoever listens at the time, in whichever process.
import { open } from "@russellthehippo/honker-node";

const db = open("app.db");
const orders = db.listen("orders");
db.notify("orders", { id: 42 });
for await (const notification of orders) {
  console.log(notification.channel, notification.payload);
  break;
}
