#!/usr/bin/env python3
"""Workers that are killed, stopped and replaced while their handlers fail, and an audit of what became of the jobs.

tests/soak.py WORKER [SECONDS]: three processes of WORKER, which is made of soak_worker.cpp, with eight handlers each.
"""

import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

worker, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 10
with tempfile.TemporaryDirectory() as directory:
    path = Path(directory) / "app.db"
    log = open(Path(directory) / "log", "w+")
    started = 0

    def start():
        global started
        started += 1
        return subprocess.Popen([worker, path, f"worker-{started}"], stderr=log)

    workers = [start() for _ in range(3)]  # they wait for the file
    subprocess.run([worker, path], check=True)  # makes it
    db = sqlite3.connect(path, timeout=60, isolation_level=None)
    db.execute("CREATE TABLE done (job INTEGER PRIMARY KEY)")
    db.execute("CREATE TABLE left (job INTEGER)")
    db.execute("CREATE TRIGGER leaves AFTER DELETE ON _honker_live BEGIN INSERT INTO left VALUES (OLD.id); END")

    enqueued = killed = stopped = bad = 0
    end = time.monotonic() + seconds
    disturb_at = time.monotonic() + 1
    while time.monotonic() < end:
        for queue in "ab":
            db.execute("INSERT INTO _honker_live (queue, payload, max_attempts) VALUES (?, '1', 1000)", (queue,))
            enqueued += 1
        time.sleep(0.01)
        if time.monotonic() > disturb_at:
            i = random.randrange(len(workers))
            if random.random() < 0.5:
                workers[i].kill()
                killed += 1
                workers[i].wait()
            else:
                workers[i].terminate()
                stopped += 1
                bad += workers[i].wait(timeout=60) != 0
            workers[i] = start()
            disturb_at = time.monotonic() + random.uniform(0.2, 2)
    give_up = time.monotonic() + 120
    while db.execute("SELECT EXISTS (SELECT 1 FROM _honker_live)").fetchone()[0] and time.monotonic() < give_up:
        time.sleep(0.1)
    for one in workers:
        one.send_signal(signal.SIGTERM)
        bad += one.wait(timeout=60) != 0

    def one(sql):
        return db.execute(sql).fetchone()[0]

    live, dead = one("SELECT count(*) FROM _honker_live"), one("SELECT count(*) FROM _honker_dead")
    left, different = one("SELECT count(*) FROM left"), one("SELECT count(DISTINCT job) FROM left")
    own, expected = one("SELECT count(*) FROM done"), one("SELECT count(*) FROM left WHERE job % 10 = 4")
    print(f"{enqueued} jobs, {killed} workers killed, {stopped} stopped: {live} live, {dead} dead, {left} left")
    if (live, dead, left, different, own, bad) != (0, 0, enqueued, enqueued, expected, 0):
        log.seek(0)
        problem = f"not each job once: {different} different ones, data of {own} of {expected}, {bad} bad ends"
        sys.exit(f"{log.read()[-4000:]}\n{problem}")
