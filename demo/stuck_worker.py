"""A worker that gets stuck with a job in its hands: claims like worker.py, prints the job's id, and then hangs.

    python3 stuck_worker.py DATABASE EXTENSION WORKER_ID

So that whoever kills it knows that it holds a job: a kill at the worst moment, on purpose instead of by luck.
"""

import sys
import time

from worker import claim, connect

VISIBILITY_S = 2  # Nobody who looks on is to wait for long.


def main(database: str, extension: str, worker_id: str) -> None:
    db = connect(database, extension)
    while (job := claim(db, worker_id, VISIBILITY_S)) is None:
        time.sleep(0.01)
    print(job["id"], flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
