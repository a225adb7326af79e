"""FlexiQ on SQLite, with its worker of threads."""

import peer
from flexiq import Queue

queue = Queue(db_path=peer.URL, workers=peer.CONCURRENCY)


# A job of a worker that is gone comes back when its timeout is over.
@queue.task(name="job", timeout=2 if peer.SHORTEST else 300)
def job(kind, n):
    peer.handle(kind, n, peer.append_to_another_file)


class Producer:
    def enqueue(self, kind, n):
        job.delay(kind, n)

    def enqueue_many(self, jobs):
        queue.enqueue_many("job", jobs, timeout=2 if peer.SHORTEST else None)

    def enqueue_later(self, jobs):
        queue.enqueue_many("job", jobs, delay=peer.DAY_S)
