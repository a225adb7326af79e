"""SIGKILL at arbitrary moments: nothing is lost, doubled or half done, and nobody is left waiting.

HONKER_KILL_SEED repeats the choices of a run (not its timing), HONKER_KILL_ROUNDS sets the kills in each journal mode.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
import unittest
from collections import Counter

import support
import victim
from ledger import Ledger, Picture
from support import ROUNDS, SEED


class Killed(support.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.random = random.Random(f"{SEED} {self.id()}")

    def victim(self, *arguments: object) -> subprocess.Popen:
        command = [sys.executable, victim.__file__, *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8")

    def assert_not_blocked(self) -> None:
        """The next writer gets in without waiting for anything."""
        db = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE calls SET answer = NULL")
        db.execute("COMMIT")
        db.close()

    def test_mixed_work(self):
        print(f"\n  HONKER_KILL_SEED={SEED} HONKER_KILL_ROUNDS={ROUNDS}", end=" ", flush=True)
        for mode in support.JOURNAL_MODES:
            with self.subTest(journal_mode=mode, seed=SEED):
                self.kill_in(mode)

    def kill_in(self, mode: str) -> None:
        self.path = self.folder / f"{mode}.db"
        with support.open_file(self.path) as db:
            self.assertEqual(support.value(db, f"PRAGMA journal_mode = {mode}"), mode)
            victim.prepare(db)
        ledger, settled = Ledger(), Counter()
        for number in range(ROUNDS):
            kind = support.present(["apsw" if number % 2 else "python"])[0]
            seed = self.random.getrandbits(32)
            after_s = self.random.random() * self.random.choice([0, 0.004, 0.015, 0.03])
            synchronous = self.random.choice(["OFF", "OFF", "NORMAL", "FULL"])
            process = self.victim(kind, self.path, f"worker-{number}", seed, synchronous)
            self.assertEqual(process.stdout.readline(), '{"ready": true}\n')
            said = support.kill(process, after_s)
            self.assertEqual(process.returncode, -9 if os.name == "posix" else 1, "ended before it was killed")
            self.assert_not_blocked()
            with support.open_file(self.path) as db:
                self.assertEqual(support.value(db, "PRAGMA integrity_check"), "ok")
                both = "SELECT count(*) FROM _honker_live JOIN _honker_dead USING (id)"
                self.assertEqual(support.value(db, both), 0, "jobs both live and dead")
                ledger.read(said)
                in_doubt = ledger.doubt is not None
                happened = ledger.settle(Picture.of(db))
                settled["in doubt"] += in_doubt
                settled["happened"] += happened is not None
                # As if the visibility timeout had passed: what the killed worker held comes back to the next one.
                db.execute("UPDATE _honker_live SET claim_expires_at = 1 WHERE state = 'processing'")
                ledger.lapse()
        self.assert_nothing_is_lost(ledger)
        print(f"\n  {mode}: {ROUNDS} kills, {ledger.done} calls, {dict(settled)}", end=" ", flush=True)

    def assert_nothing_is_lost(self, ledger: Ledger) -> None:
        """Every id there ever was is in exactly one place, and every live job can be claimed and acked, once."""
        picture = ledger.picture
        places = [picture.live.keys(), picture.dead.keys(), ledger.gone, picture.fires.keys()]
        with support.open_file(self.path) as db:
            last = support.value(db, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = '_honker_live'")
            self.assertEqual(sorted(job for place in places for job in place), list(range(1, last + 1)))

            for name, (period, first) in victim.SCHEDULES.items():
                fired = sorted(boundary for schedule, boundary in picture.fires.values() if schedule == name)
                self.assertEqual(fired, list(range(first, picture.next_fire_at[name], period)))

            jobs = json.loads(support.value(db, "SELECT honker_claim_batch('q', 'last', -1, 60)"))
            queued = {job: row for job, row in picture.live.items() if row.queue == "q"}
            claimable = {job for job, row in queued.items() if row.attempts < row.max_attempts}
            self.assertEqual({job["id"] for job in jobs}, claimable)
            for job in jobs:
                self.assertEqual(job["attempts"], picture.live[job["id"]].attempts + 1)
            ids = json.dumps([job["id"] for job in jobs])
            self.assertEqual(support.value(db, "SELECT honker_ack_batch(?, 'last')", ids), len(jobs))
            self.assertEqual(support.value(db, "SELECT count(*) FROM _honker_live WHERE queue = 'q'"), 0)

    def test_bootstrapping_a_new_file(self):
        """The tables are there all together or not at all, and the next one can finish."""
        program = (
            "import sys, clients\n"
            "kind, path, mode = sys.argv[1:]\n"
            "db = clients.connect(kind, ':memory:')\n"
            "print('ready', flush=True)\n"
            "db = clients.connect(kind, path)\n"
            "list(db.execute(f'PRAGMA journal_mode = {mode}'))\n"
            "list(db.execute('SELECT honker_bootstrap()'))\n"
        )
        sizes = Counter()
        for number in range(24):
            self.path = self.folder / f"{number}.db"
            mode = support.JOURNAL_MODES[number % 4]
            [kind] = support.present([("python", "apsw")[number // 4 % 2]])
            process = subprocess.Popen(
                [sys.executable, "-c", program, kind, str(self.path), mode],
                stdout=subprocess.PIPE,
                encoding="utf-8",
                env={**os.environ, "PYTHONPATH": os.path.dirname(__file__)},
            )
            self.assertEqual(process.stdout.readline(), "ready\n")
            support.kill(process, 0.05 * self.random.random())
            plain = sqlite3.connect(self.path, timeout=0, isolation_level=None)
            self.assertEqual(support.value(plain, "PRAGMA integrity_check"), "ok")
            count = "SELECT count(*) FROM sqlite_master WHERE name GLOB '_honker_*' AND name NOT GLOB '*notifications*'"
            sizes[support.value(plain, count)] += 1
            plain.close()
            with support.open_file(self.path) as db:
                db.execute("SELECT honker_bootstrap()")
                self.assertEqual(support.value(db, "SELECT honker_enqueue('q', 'x')"), 1)
                complete = support.value(db, count)
            self.assert_sound()
        self.assertLessEqual(sizes.keys(), {0, complete}, "half a schema")


class ComesBack(support.TestCase):
    """A worker that is killed with a job in hand, in real time."""

    def killed_with_a_job(self, kind: str, max_attempts: int) -> tuple[int, int]:
        """The job, and the last second of the claim."""
        self.bootstrap()
        with support.open_file(self.path) as db:
            enqueue = "SELECT honker_enqueue('q', 'x', NULL, NULL, 0, ?, NULL)"
            job = support.value(db, enqueue, max_attempts)
        worker = self.spawn(kind, self.path)
        [claimed] = json.loads(worker.value("SELECT honker_claim_batch('q', 'killed', 1, 1)"))
        self.assertEqual((claimed["id"], claimed["attempts"]), (job, 1))
        worker.kill()
        return job, claimed["claim_expires_at"]

    def claim_until(self, deadline: int) -> list[dict]:
        """What a second worker gets, asking all the time, until the clock says `deadline`."""
        with support.open_file(self.path) as db:
            while True:
                now = support.value(db, "SELECT unixepoch()")
                jobs = json.loads(support.value(db, "SELECT honker_claim_batch('q', 'second', 1, 60)"))
                if jobs:
                    # The second may have changed between the two.
                    self.assertGreaterEqual(support.value(db, "SELECT unixepoch()"), deadline, "too early")
                    return jobs
                if now >= deadline:
                    return []
                time.sleep(0.005)

    @support.for_each_client
    def test_after_the_visibility_timeout(self, kind):
        job, last_second = self.killed_with_a_job(kind, max_attempts=3)
        [again] = self.claim_until(last_second + 1)
        self.assertEqual((again["id"], again["attempts"]), (job, 2))
        with support.open_file(self.path) as db:
            self.assertEqual(support.value(db, "SELECT honker_ack(?, 'killed')", job), 0)
            self.assertEqual(support.value(db, "SELECT honker_ack(?, 'second')", job), 1)
        self.assert_sound()

    @support.for_each_client
    def test_on_the_last_attempt_it_is_dead(self, kind):
        job, last_second = self.killed_with_a_job(kind, max_attempts=1)
        self.assertEqual(self.claim_until(last_second + 1), [])
        with support.open_file(self.path) as db:
            [dead] = json.loads(support.value(db, "SELECT honker_dead_list('q', 10)"))
            self.assertEqual((dead["id"], dead["attempts"]), (job, 1))
            self.assertEqual(dead["last_error"], "max attempts exceeded")
            self.assertEqual(support.value(db, "SELECT count(*) FROM _honker_live"), 0)
        self.assert_sound()


if __name__ == "__main__":
    unittest.main()
