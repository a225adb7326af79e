"""Workers that go on while others are killed: every job is done, and none is acked twice."""

from __future__ import annotations

import json
import random
import time
import unittest
from collections import Counter

import support
from support import ROUNDS, SEED

JOBS = 400


class Survivors(support.TestCase):
    def test_two_survivors_do_what_killed_workers_held(self):
        for mode in ("wal", "delete"):
            with self.subTest(journal_mode=mode, seed=SEED):
                self.path = self.folder / f"{mode}.db"
                self.work_and_kill(mode, random.Random(f"{SEED} {mode}"))

    def work_and_kill(self, mode: str, chance: random.Random) -> None:
        self.bootstrap(mode)
        with support.open_file(self.path) as db:
            db.execute("BEGIN")
            for _ in range(JOBS):
                db.execute("SELECT honker_enqueue('work', 'x', NULL, NULL, 0, 1000, NULL)")
            db.execute("COMMIT")

        kinds = support.present(["python", "apsw"])
        # One is killed with a job in hand for certain, the others at any moment.
        holder = self.program("steady_worker.py", kinds[0], self.path, "victim-holding", 60)
        self.assertEqual(holder.stdout.readline(), "ready\n")
        said: list[list] = [json.loads(holder.stdout.readline())]
        said += support.kill(holder, 0)
        survivors = [self.program("steady_worker.py", kind, self.path, f"survivor-{kind}", 0.01) for kind in kinds]
        for number in range(max(8, ROUNDS // 3)):
            worker = self.program("steady_worker.py", kinds[number % 2], self.path, f"victim-{number}", 0.001)
            self.assertEqual(worker.stdout.readline(), "ready\n")
            said += support.kill(worker, 0.03 * chance.random())

        # What the victims held comes back within two seconds; then nothing is left.
        with support.open_file(self.path) as db:
            deadline = time.monotonic() + 30
            while support.value(db, "SELECT count(*) FROM _honker_live"):
                self.assertLess(time.monotonic(), deadline, "jobs are left")
                time.sleep(0.02)
            self.assertEqual(support.value(db, "SELECT count(*) FROM _honker_dead"), 0)
        for worker in survivors:
            worker.stdin.close()
            lines = worker.stdout.read().splitlines()
            self.assertEqual((worker.wait(30), lines.pop(0)), (0, "ready"))
            said += [json.loads(line) for line in lines]
        self.assert_sound()

        claims = Counter(job for what, job, _ in said if what == "claimed")
        acks = Counter(job for what, job, _ in said if what == "acked")
        self.assertEqual([job for job, times in acks.items() if times > 1], [], "acked twice")
        self.assertGreater(max(attempts for _, _, attempts in said), 1, "no victim held a job when it was killed")
        # A job nobody says was acked was in doubt: a victim was about to ack it, and was killed.
        doubtful = {job for what, job, _ in said if what == "acking"} - acks.keys()
        self.assertEqual(acks.keys() | doubtful, set(range(1, JOBS + 1)))
        # Each claim counted once: attempts go up one by one, except for claims that were killed before they were told.
        for job in claims:
            attempts = [attempt for what, told, attempt in said if what == "claimed" and told == job]
            self.assertEqual(len(set(attempts)), len(attempts), f"job {job} was claimed twice with the same attempt")


if __name__ == "__main__":
    unittest.main()
