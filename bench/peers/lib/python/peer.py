"""What the peers in Python share: the lines they speak with the driver, and what their jobs do.

A peer's `program.py` has `work()` and a class for `produce()`. See bench/peers/README.md for the lines.
"""

import json
import os
import sqlite3
import sys
import threading
import time

DIR = os.environ["PEER_DIR"]
URL = os.environ["PEER_URL"]
SYNCED = os.environ.get("PEER_DURABILITY") == "synced"
SHORTEST = os.environ.get("PEER_RECOVERY") == "shortest"
CONCURRENCY = int(os.environ.get("PEER_CONCURRENCY", "1"))
DAY_S = 86400

_local = threading.local()
_events = None


def append_to_sqlite(n):
    """What the application does of its own: a row, on a connection of its own."""
    connection = getattr(_local, "connection", None)
    if connection is None:
        connection = _local.connection = sqlite3.connect(f"{DIR}/app.db", timeout=30, isolation_level=None)
    connection.execute("INSERT INTO appended (n) VALUES (?)", (n,))


def handle(kind, n, append=append_to_sqlite):
    """The job: it notes that it was run; `append` adds a row, in the middle of some work; `hold` does not end."""
    global _events
    if kind == "append":
        time.sleep(0.002)
        append(n)
        time.sleep(0.002)
    if _events is None:
        _events = os.open(os.environ["PEER_EVENTS"], os.O_WRONLY | os.O_APPEND)
    os.write(_events, f"{kind} {n} {time.time_ns()} {os.getpid()}\n".encode())
    if kind == "hold":
        time.sleep(3600)


def produce(peer, **ready):
    """Does what the driver asks. The peer has `enqueue(kind, n)`, and may have `enqueue_many(jobs)`,
    `enqueue_later(jobs)` and `transact(kind, n, commit)`."""
    answer({"ready": True, **ready})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(_do(peer, request))
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}"})


def answer(value):
    print(json.dumps(value), flush=True)


def _do(peer, request):
    kind, first, count = request["kind"], request["first"], request["count"]
    batch, cap_s = request.get("batch", 1), request.get("cap_s", 3600)
    way = request.get("way", "plain")
    method = {"plain": "enqueue" if batch == 1 else "enqueue_many", "later": "enqueue_later", "transact": "transact"}[
        way
    ]
    call = getattr(peer, method, None)
    if call is None:
        return {"unsupported": method}
    at, started, done = time.time_ns(), time.perf_counter(), 0
    while done < count and time.perf_counter() - started < cap_s:
        if method == "enqueue":
            call(kind, first + done)
            done += 1
        elif method == "transact":
            call(kind, first + done, request.get("commit", True))
            done += 1
        else:
            size = min(batch, count - done)
            call([(kind, n) for n in range(first + done, first + done + size)])
            done += size
    return {"at": at, "count": done, "seconds": time.perf_counter() - started}


def main(work, producer):
    """The program: `work`, or `produce` with what `producer()` gives."""
    if sys.argv[1:] == ["work"]:
        work()
    else:
        produce(producer())
