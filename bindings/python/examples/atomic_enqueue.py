"""Your own data and a job: both or neither."""

import asyncio

import honker

db = honker.open("app.db")
q = db.queue("emails")
with db.transaction() as tx:
    tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER)")

with db.transaction() as tx:
    tx.execute("INSERT INTO orders (id, total) VALUES (?, ?)", [42, 9900])
    q.enqueue({"order_id": 42}, tx=tx)  # what raises here takes back the order, too

try:
    with db.transaction() as tx:
        tx.execute("INSERT INTO orders (id, total) VALUES (?, ?)", [43, 9900])
        q.enqueue({"order_id": 43}, tx=tx)
        raise RuntimeError("out of stock")
except RuntimeError:
    pass


async def ship(job):
    async with db.atransaction() as tx:
        tx.execute("UPDATE orders SET total = total + 1 WHERE id = ?", [job.payload["order_id"]])
        if not job.ack(tx=tx):  # the claim was lost
            tx.rollback()


async def main():
    while job := await q.aclaim_one("worker-1"):
        await ship(job)


asyncio.run(main())
print(db.query("SELECT * FROM orders"))
# => [{'id': 42, 'total': 9901}]
