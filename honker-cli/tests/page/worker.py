"""A worker of another language: its handlers run until their job is cancelled, and say so.

python3 worker.py DATABASE QUEUE
"""

import sys

import honker

TIMEOUT_S = 600


def handle(job: honker.Job) -> None:
    print("begun", job.id, flush=True)
    if job.wait_cancelled(TIMEOUT_S):
        print("cancelled", job.id, flush=True)


with honker.open(sys.argv[1]) as db:
    db.worker(sys.argv[2], handle, concurrency=2).run()
