"""A job in the transaction of a connection of your own. Nothing has to be loaded for it."""

import sqlite3

import honker

db = honker.open("app.db")  # makes honker's tables

conn = sqlite3.connect("app.db")
conn.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
with conn:  # commits, or rolls back
    conn.execute("INSERT INTO orders (id) VALUES (42)")
    honker.enqueue_on(conn, "emails", {"order_id": 42})

job = db.queue("emails").claim_one("worker-1")
with conn:
    conn.execute("UPDATE orders SET id = 43 WHERE id = ?", [job.payload["order_id"]])
    if not honker.ack_on(conn, job):
        raise RuntimeError("the claim was lost")
print(conn.execute("SELECT id FROM orders").fetchall(), db.queue("emails").get_job(job.id))
conn.close()
# => [(43,)] None
