"""Huey, with its consumer. Its worker threads poll, from every 0.1 s on with growing pauses."""

import peer
from huey import SqliteHuey

# Without `fsync` the connection has SQLite's default, synchronous = FULL; with False it is OFF.
huey = SqliteHuey(filename=peer.URL, **({} if peer.SYNCED else {"fsync": False}))


@huey.task()
def job(kind, n):
    peer.handle(kind, n)


class Producer:
    def enqueue(self, kind, n):
        job(kind, n)

    def enqueue_later(self, jobs):
        for kind, n in jobs:
            job.schedule((kind, n), delay=peer.DAY_S)
