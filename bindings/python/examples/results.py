"""What came of a job."""

import asyncio

import honker

db = honker.open("app.db")
q = db.queue("sums")
id = q.enqueue([1, 2, 3])


async def work():
    async for job in q.claim("worker-1"):
        q.save_result(job.id, sum(job.payload), ttl=3600)
        job.ack()


async def main():
    worker = asyncio.create_task(work())
    print(await q.wait_result(id, timeout=30))
    worker.cancel()


asyncio.run(main())
print(q.get_result(id), q.get_result(99))
# => 6
# => (True, 6) (False, None)
