"""No queue: the statements that one cannot do without, by hand, with Python's sqlite3.

A worker takes as many jobs as it runs at a time in one statement, runs them one after the other, and deletes them in
the next. It asks for `data_version` every millisecond; there are no retries, no attempts, and nothing is given back.
"""

import json
import sqlite3
import time

import peer

db = sqlite3.connect(peer.URL, timeout=30, isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute(f"PRAGMA synchronous = {'FULL' if peer.SYNCED else 'NORMAL'}")
db.execute("""
CREATE TABLE IF NOT EXISTS jobs
  (id INTEGER PRIMARY KEY, state INTEGER DEFAULT 0, run_at INTEGER DEFAULT 0, payload TEXT)""")
db.execute("CREATE INDEX IF NOT EXISTS due ON jobs (state, run_at, id)")
INSERT = "INSERT INTO jobs (run_at, payload) VALUES (?, ?)"
CLAIM = """
UPDATE jobs SET state = 1 WHERE id IN
  (SELECT id FROM jobs WHERE state = 0 AND run_at <= unixepoch() ORDER BY state, run_at, id LIMIT ?)
RETURNING id, payload"""


class Producer:
    def enqueue(self, kind, n):
        db.execute(INSERT, (0, json.dumps([kind, n])))

    def enqueue_many(self, jobs, run_at=0):
        db.execute("BEGIN IMMEDIATE")
        db.executemany(INSERT, [(run_at, json.dumps(job)) for job in jobs])
        db.execute("COMMIT")

    def enqueue_later(self, jobs):
        self.enqueue_many(jobs, int(time.time()) + peer.DAY_S)

    def transact(self, kind, n, commit):
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO orders (n) VALUES (?)", (n,))
        self.enqueue(kind, n)
        db.execute("COMMIT" if commit else "ROLLBACK")


def work():
    done, version = [], None
    while True:
        while True:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("DELETE FROM jobs WHERE id = ?", done)
            jobs = db.execute(CLAIM, (peer.CONCURRENCY,)).fetchall()
            db.execute("COMMIT")
            for _, payload in jobs:
                peer.handle(*json.loads(payload), lambda n: db.execute("INSERT INTO appended (n) VALUES (?)", (n,)))
            done = [(job_id,) for job_id, _ in jobs]
            if not jobs:
                break
        while (now := db.execute("PRAGMA data_version").fetchone()) == version:
            time.sleep(0.001)
        version = now


peer.main(work, Producer)
