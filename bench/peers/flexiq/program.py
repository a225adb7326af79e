"""FlexiQ on SQLite, with its worker of threads.

It brings a SQLite of its own. Two of them may not have one file open in one process, since closing it in one takes the
other's locks away: the application's own rows are in another.
"""

import peer
from flexiq import Queue

queue = Queue(db_path=f"{peer.DIR}/queue.db", workers=peer.CONCURRENCY)


# A job of a worker that is gone comes back when its timeout is over.
@queue.task(name="job", timeout=2 if peer.SHORTEST else 300)
def job(kind, n):
    peer.handle(kind, n)


class Producer:
    def enqueue(self, kind, n):
        job.delay(kind, n)

    def enqueue_many(self, jobs):
        queue.enqueue_many("job", jobs, timeout=2 if peer.SHORTEST else None)

    def enqueue_later(self, jobs):
        queue.enqueue_many("job", jobs, delay=peer.DAY_S)
