// Jobs in a Postgres database, enqueued in a transaction of Bun's own client. DATABASE_URL says where it is.
import { enqueueOn, open } from "@russellthehippo/honker-bun";
import { SQL } from "bun";

const url = process.env.DATABASE_URL as string; // postgres://...
const db = open(url);

const sql = new SQL(url);
await sql`CREATE TABLE orders (id int PRIMARY KEY, total int)`;
await sql.begin(async (tx) => {
  await tx`INSERT INTO orders (id, total) VALUES (${42}, ${9900})`;
  await enqueueOn(tx, "emails", { order: 42 }, { uniqueKey: "order 42" });
});
await sql.close();

for await (const job of db.queue("emails").claim("worker-1")) {
  console.log(`order ${(job.payload as { order: number }).order}`);
  job.ack();
  break;
}
db.close();
