// Jobs in a Postgres database, enqueued in a transaction of node-postgres. DATABASE_URL says where it is.
import { enqueueOn, open } from "@russellthehippo/honker-node";
import pg from "pg";

const url = process.env.DATABASE_URL; // postgres://...
const db = open(url);

const client = new pg.Client(url);
await client.connect();
await client.query("CREATE TABLE orders (id int PRIMARY KEY, total int)");
await client.query("BEGIN");
await client.query("INSERT INTO orders (id, total) VALUES ($1, $2)", [42, 9900]);
await enqueueOn(client, "emails", { order: 42 }, { uniqueKey: "order 42" });
await client.query("COMMIT");
await client.end();

for await (const job of db.queue("emails").claim("worker-1")) {
  console.log(`order ${job.payload.order}`);
  job.ack();
  break;
}
db.close();
