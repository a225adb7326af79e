"""A worker process: claims jobs of queue `work`, acks them, and says at the end what it did.

    python worker.py CLIENT DATABASE WORKER_ID BATCH

BATCH 1 claims and acks single jobs, more than that does both in batches. Prints "ready", starts at the first line on
its stdin, ends when stdin is closed and the queue is empty. Then prints, as JSON, [id, attempts, payload, acked] of
every job it got.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import clients


def open_client(kind: str, path: str) -> clients.Client:
    """In this process where that is possible. Synced as little as a crash of a process (not of the machine) allows."""
    if kind == "sqlite3":
        client = clients.spawn(kind, path)
    else:
        client = _Local(kind, path)
    client.rows("PRAGMA synchronous = OFF")
    return client


class _Local(clients.Client):
    def __init__(self, kind: str, path: str) -> None:
        self.connection = clients.connect(kind, path)

    def rows(self, sql: str, *parameters: int | str | None) -> list[list]:
        return list(self.connection.execute(sql, parameters))

    def close(self) -> int:
        self.connection.close()
        return 0


def work(client: clients.Client, worker_id: str, batch: int, finish: threading.Event) -> list[list]:
    record = []
    while True:
        last = finish.is_set()
        jobs = json.loads(client.value("SELECT honker_claim_batch('work', ?, ?, 300)", worker_id, batch))
        if not jobs and last:
            return record
        if batch == 1:
            acked = [client.value("SELECT honker_ack(?, ?)", job["id"], worker_id) for job in jobs]
        else:
            ids = json.dumps([job["id"] for job in jobs])
            count = client.value("SELECT honker_ack_batch(?, ?)", ids, worker_id)
            acked = [int(count == len(jobs))] * len(jobs)
        record += [[job["id"], job["attempts"], job["payload"], ok] for job, ok in zip(jobs, acked)]
        # The work itself. Without it the first to come might do everything: who waits for SQLite's lock is not queued.
        time.sleep(0.001 * len(jobs) or 0.002)


def main(kind: str, path: str, worker_id: str, batch: str) -> None:
    client = open_client(kind, path)
    print("ready", flush=True)
    sys.stdin.readline()
    finish = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), finish.set()), daemon=True).start()
    record = work(client, worker_id, int(batch), finish)
    client.close()
    print(json.dumps(record))


if __name__ == "__main__":
    main(*sys.argv[1:])
