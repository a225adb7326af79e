import asyncio

import honker

db = honker.open("app.db")
queue = db.queue("greetings")
queue.enqueue("hello")


async def work():
    async for job in queue.claim("worker-1"):
        print(job.payload, flush=True)
        job.ack()


asyncio.run(work())
