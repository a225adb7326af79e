"""RQ, with its worker, which forks a process for each job."""

from datetime import timedelta

import peer
import redis
from rq import Queue, Retry

application = redis.Redis.from_url(peer.URL)
queue = Queue("bench", connection=application)
# Without it a job whose worker is gone is put to those that have failed.
again = {"retry": Retry(max=5)} if peer.SHORTEST else {}


def job(kind, n):
    peer.handle(kind, n, lambda n: application.rpush("appended", n))


class Producer:
    def enqueue(self, kind, n):
        queue.enqueue(job, kind, n, **again)

    def enqueue_many(self, jobs):
        with application.pipeline() as pipe:
            queue.enqueue_many([Queue.prepare_data(job, each, **again) for each in jobs], pipeline=pipe)
            pipe.execute()

    def enqueue_later(self, jobs):
        for each in jobs:
            queue.enqueue_in(timedelta(days=1), job, *each)
