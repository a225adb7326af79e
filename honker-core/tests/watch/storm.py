"""Commits rows in every way there is, and some that are not commits at all.

It says "<last id>" now and then, and goes on when it is told to; between phases it says "phase". Whatever it does, it does
with a seed, which makes its choices the same in every run.
"""

import random
import sqlite3
import sys
import time

path, commits, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
choose = random.Random(seed)
PHASES = 4


def connect():
    db = sqlite3.connect(path, isolation_level=None, timeout=120)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = 5")
    return db


def say(text):
    print(text, flush=True)
    sys.stdin.readline()


def insert(db, size=20):
    global last
    last = db.execute("INSERT INTO row (payload) VALUES (hex(randomblob(?)))", (size,)).lastrowid


last = 0
done = 0
db = connect()
for phase in range(PHASES):
    wal = phase % 2 == 0
    if wal:
        db.execute("PRAGMA journal_mode = WAL")
    say("phase")
    goal = commits * (phase + 1) // PHASES
    while done < goal:
        what = choose.random()
        if what < 0.70:
            insert(db)
            done += 1
        elif what < 0.85:  # a burst
            for _ in range(choose.randrange(2, 30)):
                insert(db)
                done += 1
        elif what < 0.93:
            time.sleep(choose.uniform(0, 0.004))
        elif what < 0.95:  # rolled back, spilled or not
            db.execute("BEGIN IMMEDIATE")
            before = last
            for _ in range(choose.choice([1, 60])):
                insert(db, 400)
            last = before
            db.execute("ROLLBACK")
        elif what < 0.96:  # spilled and committed
            db.execute("BEGIN IMMEDIATE")
            for _ in range(60):
                insert(db, 400)
            db.execute("COMMIT")
            done += 1
        elif what < 0.98:  # say so, and wait until it has been seen
            say(last)
        elif what < 0.985:
            db.execute("BEGIN IMMEDIATE")
            db.execute("DELETE FROM row WHERE id < ?", (last - 1000,))
            insert(db)
            db.execute("COMMIT")
            done += 1
        elif what < 0.995:
            if wal:
                mode = choose.choice(["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
                db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            else:
                mode = choose.choice(["DELETE", "TRUNCATE", "PERSIST"])
                db.execute(f"PRAGMA journal_mode = {mode}").fetchone()
        elif what < 0.998:
            db.close()
            db = connect()
        else:
            db.execute("VACUUM")
    say(last)
    say("end of phase")
    # Nobody watches now.
    mode = db.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    assert mode == "delete", mode
say("end")
