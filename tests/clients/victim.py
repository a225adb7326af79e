"""The process that the kill tests kill: a tight loop of everything that changes the queues.

    python victim.py CLIENT DATABASE WORKER_ID SEED SYNCHRONOUS

Says on stdout what it is about to do, and, when the call has returned, what the answer was: a JSON text a line, each
written at once, so that what it said stays said when it is killed. ledger.py reads it.
"""

from __future__ import annotations

import json
import os
import random
import sys
from typing import Any

import clients
from ledger import EXPIRES_S, SCHEDULES

# How often each is done, relative to the others.
OPERATIONS = {
    "enqueue": 20,
    "enqueue_stale": 5,
    "order": 6,
    "transaction": 6,
    "claim": 16,
    "ack": 6,
    "ack_batch": 12,
    "retry": 14,
    "fail": 7,
    "cancel": 2,
    "sweep": 4,
    "requeue": 6,
    "tick": 8,
    "publish": 2,
    "damage": 1,
    "bootstrap": 2,
}

# Without its version a file is one of the first version, whose definitions are replaced.
DAMAGE = """
DROP TABLE IF EXISTS _honker_schema;
DROP INDEX IF EXISTS _honker_live_exceptions;
DROP INDEX IF EXISTS _honker_stream_topic;
CREATE INDEX IF NOT EXISTS _honker_live_pending_deadline ON _honker_live (queue, run_at);
"""


class Victim:
    def __init__(self, db: Any, worker_id: str, seed: str) -> None:
        self.db = db
        self.worker_id = worker_id
        self.random = random.Random(seed)
        self.held: list[int] = []
        self.orders = self.rows("SELECT coalesce(max(id), 0) FROM orders")[0][0]

    def rows(self, sql: str, *parameters: int | str | None) -> list:
        # To the end: a statement that is not stepped to its end has not committed.
        return list(self.db.execute(sql, parameters))

    def call(self, function: str, *arguments: int | str | None) -> Any:
        """In a SELECT, or inside a writing statement, where the function cannot have a savepoint of its own."""
        call = f"{function}({', '.join('?' * len(arguments))})"
        if self.random.random() < 0.75:
            return self.rows(f"SELECT {call}", *arguments)[0][0]
        return self.rows(f"REPLACE INTO calls VALUES (1, {call}) RETURNING answer", *arguments)[0][0]

    def run(self) -> None:
        say({"ready": True})
        names, weights = list(OPERATIONS), list(OPERATIONS.values())
        while True:
            [name] = self.random.choices(names, weights)
            getattr(self, name)()

    def enqueue(self) -> None:
        budget = self.random.choice([1, 1, 2, 3])
        say({"op": "enqueue", "queue": "q", "max_attempts": budget})
        say({"answer": self.call("honker_enqueue", "q", "x", None, None, self.random.randrange(3), budget, None)})

    def enqueue_stale(self) -> None:
        """Born expired, in a queue that is only swept."""
        say({"op": "enqueue", "queue": "stale", "max_attempts": 3})
        say({"answer": self.call("honker_enqueue", "stale", "x", None, None, 0, 3, -1)})

    def order(self) -> None:
        """Order and job in one statement."""
        self.orders += 1
        say({"op": "order", "order": self.orders})
        insert = "INSERT INTO orders VALUES (?, honker_enqueue('q', 'order', NULL, NULL, 0, 3, NULL)) RETURNING job"
        say({"answer": self.rows(insert, self.orders)[0][0]})

    def transaction(self) -> None:
        """Order and job in one transaction."""
        self.orders += 1
        say({"op": "order", "order": self.orders})
        self.rows("BEGIN IMMEDIATE")
        job = self.call("honker_enqueue", "q", "order", None, None, 0, 3, None)
        self.rows("INSERT INTO orders VALUES (?, ?)", self.orders, job)
        self.rows("COMMIT")
        say({"answer": job})

    def claim(self) -> None:
        n, lapses_at_once = self.random.choice([1, 1, 3, 8]), self.random.random() < 0.2
        say({"op": "claim", "n": n, "holder": None if lapses_at_once else self.worker_id})
        answer = self.call("honker_claim_batch", "q", self.worker_id, n, -5 if lapses_at_once else 300)
        jobs = [(job["id"], job["attempts"]) for job in json.loads(answer)]
        say({"answer": jobs})
        if not lapses_at_once:
            self.held += [job_id for job_id, _ in jobs]

    def take(self, n: int) -> list[int]:
        """Up to n of the jobs we hold, which we are about to settle."""
        self.random.shuffle(self.held)
        taken, self.held = self.held[:n], self.held[n:]
        return taken

    def settle(self, op: str, function: str, *arguments: int | str) -> None:
        for job in self.take(1):
            say({"op": op, "job": job})
            say({"answer": self.call(function, job, self.worker_id, *arguments)})

    def ack(self) -> None:
        self.settle("ack", "honker_ack")

    def retry(self) -> None:
        self.settle("retry", "honker_retry", 0, "retried")

    def fail(self) -> None:
        self.settle("fail", "honker_fail", "failed")

    def ack_batch(self) -> None:
        jobs = self.take(self.random.randrange(2, 12))
        say({"op": "ack_batch", "jobs": jobs})
        # An id that is nobody's changes nothing.
        say({"answer": self.call("honker_ack_batch", json.dumps([*jobs, 10**12, *jobs[:1]]), self.worker_id)})

    def cancel(self) -> None:
        for job in self.take(1):
            say({"op": "cancel", "job": job})
            say({"answer": self.call("honker_cancel", job)})

    def sweep(self) -> None:
        say({"op": "sweep"})
        say({"answer": self.call("honker_sweep_expired", "stale")})

    def requeue(self) -> None:
        for (job,) in self.rows("SELECT id FROM _honker_dead WHERE queue = 'q' ORDER BY random() LIMIT 1"):
            say({"op": "requeue", "job": job})
            say({"answer": self.call("honker_dead_requeue", job)})

    def tick(self) -> None:
        until = self.rows("SELECT honker_scheduler_soonest()")[0][0] + self.random.randrange(6)
        say({"op": "tick", "until": until})
        fires = json.loads(self.call("honker_scheduler_tick", until))
        say({"answer": [(fire["job_id"], fire["name"], fire["fire_at"]) for fire in fires]})

    def publish(self) -> None:
        say({"op": "publish"})
        say({"answer": self.call("honker_stream_publish", "t", None, "x")})

    def damage(self) -> None:
        """Makes an older file of it; the next bootstrap will mend it."""
        say({"op": "schema", "schema": "old"})
        self.rows("BEGIN IMMEDIATE")
        for statement in DAMAGE.strip().splitlines():
            self.rows(statement)
        self.rows("COMMIT")
        say({"answer": 1})

    def bootstrap(self) -> None:
        say({"op": "schema", "schema": "new"})
        say({"answer": self.rows("SELECT honker_bootstrap()")[0][0]})


def say(what: dict) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def prepare(db: Any) -> None:
    """What the victims need in a new file."""
    db.execute("SELECT honker_bootstrap()")
    db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, job INTEGER NOT NULL UNIQUE)")
    db.execute("CREATE TABLE calls (id INTEGER PRIMARY KEY, answer)")
    for name, (period, first) in SCHEDULES.items():
        register = "SELECT honker_scheduler_register(?, 'ticks', ?, ?, 0, ?)"
        db.execute(register, (name, f"@every {period}s", name, EXPIRES_S))
        db.execute("UPDATE _honker_scheduler_tasks SET next_fire_at = ? WHERE name = ?", (first, name))


def main(kind: str, path: str, worker_id: str, seed: str, synchronous: str) -> None:
    db = clients.connect(kind, path)
    list(db.execute(f"PRAGMA synchronous = {synchronous}"))
    Victim(db, worker_id, seed).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
