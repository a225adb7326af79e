// A job and data of yours, both or neither.
import { open } from "@russellthehippo/honker-node";

const db = open("app.db");
const q = db.queue("emails");
db.withTransaction((tx) => tx.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER, total INTEGER)"));
{
  const tx = db.transaction();
  tx.execute("INSERT INTO orders (id, total) VALUES (?, ?)", [42, 99]);
  q.enqueueTx(tx, { to: "alice@example.com" });
  tx.commit();
}

db.withTransaction((tx) => {
  tx.execute("INSERT INTO orders (id, total) VALUES (?, ?)", [43, 9900]);
  q.enqueue({ orderId: 43 }, { tx }); // what throws here takes back the order, too
});

await db.withTransactionAsync(async (tx) => {
  const [{ total }] = await tx.queryAsync("SELECT sum(total) AS total FROM orders");
  await q.enqueueAsync({ report: total }, { tx });
});

const job = q.claimOne("worker-1");
db.withTransaction((tx) => {
  tx.execute("UPDATE orders SET total = total + 1 WHERE id = ?", [42]);
  if (!job.ack({ tx })) throw new Error("the claim was lost");
});
console.log(db.query("SELECT count(*) AS orders FROM orders")[0].orders, q.stats().pending);
