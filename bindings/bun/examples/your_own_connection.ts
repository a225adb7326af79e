// A job in the transaction of bun:sqlite.
import { Database as SQLite } from "bun:sqlite";
import { enqueueSql, open } from "@russellthehippo/honker-bun";

const db = open("app.db"); // makes the tables
db.withTransaction((tx) => tx.execute("CREATE TABLE orders (id INTEGER, total INTEGER)"));

// README
const yours = new SQLite("app.db");
const place = yours.transaction((id: number) => {
  yours.run("INSERT INTO orders (id, total) VALUES (?, ?)", [id, 9900]);
  const { sql, params } = enqueueSql("emails", { orderId: id }, { maxAttempts: 10 });
  yours.query(sql).get(...params);
});
place.immediate(43); // any worker, in whichever process, wakes when it commits
yours.close();

console.log("order", db.queue("emails").claimOne("worker-1")?.payload);
