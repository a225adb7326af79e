"""A worker that sleeps until there is something to do, and how long that takes.

    python3 waiting.py DATABASE EXTENSION ORDERS

Another process takes orders at random moments. It is a stock SQLite without honker: it enqueues by inserting a row. The
worker sleeps in the kernel meanwhile, is woken by each commit, and notes when it has the job in hand. Now and then its
sleep ends because a schedule is due (`@every 1s`): it fires that as well.

Prints what happened, a name and a figure on each line. Both processes read the machine's monotonic clock.
"""

import json
import subprocess
import sys
import time

from worker import connect

IDLE_S = 2

ARRIVALS = """
import random, sqlite3, sys, time
database, orders = sys.argv[1], int(sys.argv[2])
db = sqlite3.connect(database, timeout=5, isolation_level=None)
db.execute("PRAGMA synchronous = NORMAL")
for order in range(orders):
    time.sleep(random.uniform(0.005, 0.04))
    job = db.execute("INSERT INTO _honker_live (queue, payload) VALUES ('orders', ?)", (str(order),)).lastrowid
    print(job, time.monotonic_ns(), flush=True)
"""


class Worker:
    def __init__(self, database: str, extension: str) -> None:
        self.db = connect(database, extension)
        self.watcher = self.ask("honker_update_watcher_open(?, 'auto')", database)
        self.in_hand = {}
        self.fired = 0

    def ask(self, function: str, *arguments):
        return self.db.execute(f"SELECT {function}", arguments).fetchone()[0]

    def work(self) -> None:
        """Does what there is to do now."""
        while jobs := json.loads(self.ask("honker_claim_batch('orders', 'me', 1, 60)")):
            self.in_hand[jobs[0]["id"]] = time.monotonic_ns()
            self.ask("honker_ack(?, 'me')", jobs[0]["id"])
        self.fired += len(json.loads(self.ask("honker_scheduler_tick(unixepoch())")))

    def sleep(self, at_most_s: float) -> None:
        """Sleeps until a commit, by whomever, or until the schedule is due."""
        due = self.ask("honker_scheduler_soonest()")
        if due:
            at_most_s = min(at_most_s, max(0, due - time.time()))
        if self.ask("honker_update_watcher_wait(?, ?)", self.watcher, int(at_most_s * 1000) + 1) < 0:
            raise SystemExit("the file is not watched any more")


def main(database: str, extension: str, orders: str) -> None:
    worker = Worker(database, extension)

    # Nothing happens for a while: what does waiting cost?
    before, until = time.process_time(), time.monotonic() + IDLE_S
    while (left := until - time.monotonic()) > 0:
        worker.sleep(left)
    idle = (time.process_time() - before) / IDLE_S

    worker.ask("honker_scheduler_register('every-second', 'ticks', '@every 1s', '{}', 0, NULL)")
    arrivals = subprocess.Popen([sys.executable, "-c", ARRIVALS, database, orders], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while (len(worker.in_hand) < int(orders) or worker.fired < 2) and time.monotonic() < deadline:
        worker.work()
        worker.sleep(5)
    worker.work()
    committed = dict(map(int, line.split()) for line in arrivals.communicate()[0].splitlines())

    handled = [job for job in committed if job in worker.in_hand]
    waited_us = sorted(max(0, worker.in_hand[job] - committed[job]) // 1000 for job in handled)
    print("taken", len(committed))
    print("handled", len(handled))
    print("p50", waited_us[len(waited_us) // 2])
    print("p99", waited_us[len(waited_us) * 99 // 100])
    print("idle", f"{idle * 100:.2f}")
    print("fired", worker.fired)
    print("ticks", worker.ask("count(*) FROM _honker_live WHERE queue = 'ticks'"))
    worker.ask("honker_update_watcher_close(?)", worker.watcher)


if __name__ == "__main__":
    main(*sys.argv[1:])
