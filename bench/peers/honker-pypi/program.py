"""The package honker 0.2 of PyPI, another implementation: the loop of its README, several in one event loop."""

import asyncio
import os

import honker
import peer

db = honker.open(peer.URL)
queue = db.queue("bench", visibility_timeout_s=2 if peer.SHORTEST else 300)


class Producer:
    def enqueue(self, kind, n):
        queue.enqueue([kind, n])

    def enqueue_many(self, jobs):
        with db.transaction() as tx:
            for kind, n in jobs:
                queue.enqueue([kind, n], tx=tx)

    def enqueue_later(self, jobs):
        with db.transaction() as tx:
            for kind, n in jobs:
                queue.enqueue([kind, n], tx=tx, delay=peer.DAY_S)

    def transact(self, kind, n, commit):
        try:
            with db.transaction() as tx:
                tx.execute("INSERT INTO orders (n) VALUES (?)", [n])
                queue.enqueue([kind, n], tx=tx)
                if not commit:
                    raise InterruptedError
        except InterruptedError:
            pass


def append(n):
    with db.transaction() as tx:
        tx.execute("INSERT INTO appended (n) VALUES (?)", [n])


async def loop(name):
    async for job in queue.claim(name):
        if job.payload[0] in ("append", "hold"):  # these sleep
            await asyncio.to_thread(peer.handle, *job.payload, append)
        else:
            peer.handle(*job.payload)
        job.ack()


def work():
    async def all_of_them():
        await asyncio.gather(*(loop(f"worker-{os.getpid()}-{i}") for i in range(peer.CONCURRENCY)))

    asyncio.run(all_of_them())


peer.main(work, Producer)
