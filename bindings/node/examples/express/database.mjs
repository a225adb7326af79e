// What the server and the worker share: the file, and its tables.
import { open } from "@russellthehippo/honker-node";

export function openDatabase() {
  const db = open(process.env.DATABASE ?? "app.db");
  db.withTransaction((tx) =>
    tx.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, total INTEGER NOT NULL, job INTEGER)"),
  );
  return db;
}
