"""Functions that run in a worker, and what comes of them. A program's worker is `python -m honker worker app:db`."""

import asyncio

import honker

db = honker.open("app.db")
emails = db.queue("emails")


@emails.task(retries=10, timeout_s=30)
def send_email(to):
    print("sent to", to)
    return {"sent": to}


@db.periodic_task(honker.crontab("0 3 * * *"), queue="reports")
async def nightly(): ...


with db.transaction() as tx:
    tx.execute("CREATE TABLE users (name)")
    tx.execute("INSERT INTO users VALUES ('alice')")
    result = send_email.using(tx=tx, unique_key="welcome alice").enqueue("alice@example.com")


async def main():
    stop = asyncio.Event()
    worker = asyncio.create_task(db.run_workers(stop_event=stop))
    print(await result.aget(timeout=60))
    stop.set()
    await worker


asyncio.run(main())
print(send_email.call_local("bob"))
# => sent to alice@example.com
# => {'sent': 'alice@example.com'}
# => sent to bob
# => {'sent': 'bob'}
