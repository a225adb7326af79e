"""What is delivered if and only if a transaction is committed."""

import asyncio

import honker

db = honker.open("app.db")
delivered = asyncio.Event()


async def send_email(payload):
    print("sent", payload)
    delivered.set()


outbox = db.outbox("email", send_email)
with db.transaction() as tx:
    tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    tx.execute("INSERT INTO orders (id) VALUES (?)", (43,))
    outbox.enqueue({"order_id": 43}, tx=tx)


async def main():
    stop = asyncio.Event()
    worker = asyncio.create_task(outbox.run_worker("email-worker", stop))
    await delivered.wait()
    stop.set()
    await worker


asyncio.run(main())

outbox.enqueue({"order_id": 44})
outbox.worker(concurrency=8).run_due()  # run() is for programs
# => sent {'order_id': 43}
# => sent {'order_id': 44}
