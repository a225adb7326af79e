// A job in the transaction of another driver: here node:sqlite, which Node has from 22 on.
import { enqueueSql, open } from "@russellthehippo/honker-node";

const db = open("app.db"); // makes the tables
const { DatabaseSync } = await import("node:sqlite").catch(() => ({}));
if (DatabaseSync) {
  const yours = new DatabaseSync("app.db");
  const { sql, params } = enqueueSql("emails", { to: "alice" });
  yours.exec("BEGIN IMMEDIATE");
  yours.prepare(sql).get(...params);
  yours.exec("COMMIT");
  yours.close();
  console.log(db.queue("emails").claimOne("worker-1").payload.to);
}
