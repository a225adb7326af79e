"""Runs what it is told, a line at a time, on one connection of the SQLite that comes with Python."""

import sqlite3
import sys

db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=float(sys.argv[2]))
for line in sys.stdin:
    try:
        row = None
        for statement in line.split(";"):
            row = db.execute(statement).fetchone()
        answer = "ok" if row is None else row[0]
    except sqlite3.Error as error:
        answer = f"error: {error}"
    print(answer, flush=True)
