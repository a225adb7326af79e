"""Celery on Redis, with its worker, which runs tasks in child processes."""

import peer
import redis
from celery import Celery

app = Celery("program", broker=peer.URL)
app.conf.worker_hijack_root_logger = False
if peer.SHORTEST:
    # A task of a worker that is gone comes back only if it is acknowledged late, and then after this time.
    app.conf.task_acks_late = True
    app.conf.broker_transport_options = {"visibility_timeout": 2}
application = redis.Redis.from_url(peer.URL)


@app.task(name="job", ignore_result=True)
def job(kind, n):
    peer.handle(kind, n, lambda n: application.rpush("appended", n))


class Producer:
    def enqueue(self, kind, n):
        job.delay(kind, n)

    def enqueue_later(self, jobs):
        for kind, n in jobs:
            job.apply_async((kind, n), countdown=peer.DAY_S)
