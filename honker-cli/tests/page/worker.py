"""A worker of another language: its handlers run until their job is cancelled, and say so.

python3 worker.py DATABASE QUEUE
"""

import sys

import honker

TIMEOUT_S = 600


def say(line: str) -> None:
    # One write for each line: two handlers speak at once, and `print` writes the end of the line by itself.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def handle(job: honker.Job) -> None:
    say(f"begun {job.id}")
    if job.wait_cancelled(TIMEOUT_S):
        say(f"cancelled {job.id}")


with honker.open(sys.argv[1]) as db:
    db.worker(sys.argv[2], handle, concurrency=2, stop_timeout_s=0).run()
