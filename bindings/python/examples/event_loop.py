"""Jobs in an event loop: the tasks sleep until something is enqueued, by whichever process."""

import asyncio

import honker

db = honker.open("app.db")
emails = db.queue("emails")


async def send_email(payload):
    if payload["to"] == "":
        raise ValueError("nobody is there")
    print("sent to", payload["to"])


async def work():
    async for job in emails.claim("worker-1"):
        try:
            await send_email(job.payload)
        except Exception as e:
            await job.aretry(delay_s=60, error=str(e))
        else:
            await job.aack()


def open_jobs(stats):
    return stats["pending"] + stats["delayed"] + stats["claimed"]


async def main():
    worker = asyncio.create_task(work())
    await emails.aenqueue({"to": "alice"})
    await emails.aenqueue({"to": ""}, max_attempts=1)
    await emails.aenqueue({"to": "bob"}, delay=1)
    while open_jobs(emails.stats()):
        await asyncio.sleep(0.05)
    worker.cancel()  # a job that it would have claimed is the next one's
    print(emails.dead()[0]["last_error"])


asyncio.run(main())
# => sent to alice
# => sent to bob
# => nobody is there
