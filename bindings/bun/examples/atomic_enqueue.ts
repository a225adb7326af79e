// A job and what it is about, both or neither.
import { open } from "@russellthehippo/honker-bun";

const db = open("app.db");
const q = db.queue("emails");
db.withTransaction((tx) => tx.execute("CREATE TABLE orders (id INTEGER, total INTEGER)"));
placed();
asked();
console.log(db.query("SELECT * FROM orders"), q.claimOne("worker-1")?.payload);

function placed(): void {
  // README
  const tx = db.transaction();
  tx.execute("INSERT INTO orders (id, total) VALUES (?, ?)", [42, 99]);
  q.enqueue({ to: "alice@example.com" }, { tx });
  tx.commit();
}

function asked(): void {
  const tx = db.transaction();
  // README
  const order = tx.query<{ total: number }>("SELECT total FROM orders WHERE id = ?", [42]); // the first row, or null
  tx.rollback();
  console.log("total", order?.total);
}
