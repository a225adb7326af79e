"""Jobs in a Postgres database, enqueued in psycopg's transactions. DATABASE_URL says where it is."""

import os

import honker
import psycopg

url = os.environ["DATABASE_URL"]  # postgres://...
db = honker.open(url)
emails = db.queue("emails")

with psycopg.connect(url) as conn:
    conn.execute("CREATE TABLE orders (id int PRIMARY KEY)")
    with conn.transaction():  # commits, or rolls back
        conn.execute("INSERT INTO orders (id) VALUES (42)")
        honker.enqueue_on(conn, "emails", {"order_id": 42}, unique_key="order 42")

for job in emails.claim("worker-1"):
    print(job.payload)
    with psycopg.connect(url) as conn:
        conn.execute("DELETE FROM orders WHERE id = %s", [job.payload["order_id"]])
        if not honker.ack_on(conn, job):  # the claim was lost
            conn.rollback()
    break
print(list(db.jobs(queue="emails")), db.query("SELECT * FROM orders"))
# => {'order_id': 42}
# => [] []
