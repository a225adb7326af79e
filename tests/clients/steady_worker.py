"""A worker process that says everything it does as it does it, so that it may be killed.

    python steady_worker.py CLIENT DATABASE WORKER_ID SECONDS_A_JOB

Works on queue `work`, one job at a time, with a visibility timeout of one second, until stdin is closed. Prints
"ready", then a JSON text a line: ["claimed" | "acking" | "acked" | "refused", id, attempts].
"""

from __future__ import annotations

import json
import sys
import threading
import time

from worker import open_client


def main(kind: str, path: str, worker_id: str, seconds_a_job: str) -> None:
    client = open_client(kind, path)
    print("ready", flush=True)
    finish = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), finish.set()), daemon=True).start()
    while not finish.is_set():
        jobs = json.loads(client.value("SELECT honker_claim_batch('work', ?, 1, 1)", worker_id))
        for job in jobs:
            print(json.dumps(["claimed", job["id"], job["attempts"]]), flush=True)
            time.sleep(float(seconds_a_job))
            print(json.dumps(["acking", job["id"], job["attempts"]]), flush=True)
            acked = client.value("SELECT honker_ack(?, ?)", job["id"], worker_id)
            print(json.dumps(["acked" if acked else "refused", job["id"], job["attempts"]]), flush=True)
        if not jobs:
            time.sleep(0.01)
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
