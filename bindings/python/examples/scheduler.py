"""Schedules are in the file; one of the processes that run the scheduler fires them."""

import asyncio

import honker

db = honker.open("app.db")
scheduler = honker.Scheduler(db)
scheduler.add(name="digest", queue="emails", schedule=honker.crontab("0 8 * * mon-fri"), payload={"kind": "digest"})
scheduler.add(name="poll", queue="polls", schedule=honker.every_s(1), overlap="skip", expires=60)


async def main():
    stop = asyncio.Event()
    running = asyncio.create_task(scheduler.run(stop))
    async for job in db.queue("polls").claim("worker-1"):
        print("polled, attempt", job.attempts)
        job.ack()
        break
    stop.set()
    await running


asyncio.run(main())
print([schedule["name"] for schedule in scheduler.list()], scheduler.pause("digest"))
# => polled, attempt 1
# => ['digest', 'poll'] True
