"""Many processes, through different clients, on one queue: every job is done exactly once."""

from __future__ import annotations

import json
import subprocess
import unittest
from collections import Counter

import support

JOBS = 2_000


class Workers(support.TestCase):
    def start(self, processes: list[subprocess.Popen]) -> None:
        """All at the same moment: they wait until the slowest is ready."""
        for process in processes:
            self.assertEqual(process.stdout.readline(), "ready\n")
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()

    def finish(self, process: subprocess.Popen) -> str:
        process.stdin.close()
        output = process.stdout.read()
        self.assertEqual(process.wait(60), 0)
        return output

    def workers(self, *shapes: tuple[str, int]) -> list[subprocess.Popen]:
        kinds = support.present(kind for kind, _ in shapes)
        return [
            self.program("worker.py", kind, self.path, f"worker-{n}", batch)
            for n, (kind, (_, batch)) in enumerate(zip(kinds, shapes), 1)
        ]

    def assert_each_done_once(self, workers: list[subprocess.Popen], payloads: list[str]) -> None:
        """`payloads`: those of every job there ever was. Their ids are 1, 2, …: one that was rolled back is reused."""
        records = [json.loads(self.finish(worker)) for worker in workers]
        record = [entry for records_of_one in records for entry in records_of_one]
        times = Counter(job_id for job_id, *_ in record)
        self.assertEqual([job_id for job_id, n in times.items() if n > 1], [], "done twice")
        self.assertEqual(sorted(times), list(range(1, len(payloads) + 1)))
        self.assertEqual(sorted(payload for _, _, payload, _ in record), sorted(payloads))
        self.assertEqual({(attempts, acked) for _, attempts, _, acked in record}, {(1, 1)})
        # Otherwise this test would show nothing.
        self.assertGreater(sum(bool(records_of_one) for records_of_one in records), 1, "only one worker took part")

        with support.open_file(self.path) as db:
            self.assertEqual(support.value(db, "SELECT count(*) FROM _honker_live"), 0)
            self.assertEqual(support.value(db, "SELECT count(*) FROM _honker_dead"), 0)
            self.assertEqual(support.value(db, "SELECT count(*) FROM _honker_notifications"), 0)
        self.assert_sound()

    def share(self, journal_mode: str, jobs: int, *shapes: tuple[str, int]) -> None:
        self.bootstrap(journal_mode)
        with support.open_file(self.path) as db:
            db.execute("BEGIN")
            enqueue = "SELECT honker_enqueue('work', ?, NULL, NULL, ?, 3, NULL)"
            payloads = [f"job {n}" for n in range(jobs)]
            for n, payload in enumerate(payloads):
                db.execute(enqueue, (payload, n % 3))
            db.execute("COMMIT")
        workers = self.workers(*shapes)
        self.start(workers)
        self.assert_each_done_once(workers, payloads)

    def test_two_workers(self):
        self.share("wal", JOBS, ("python", 1), ("apsw", 20))

    def test_two_workers_with_single_claims(self):
        self.share("wal", JOBS, ("python", 1), ("apsw", 1))

    def test_four_workers(self):
        self.share("wal", JOBS, ("python", 25), ("apsw", 1), ("sqlite3", 10), ("python", 1))

    def test_four_workers_without_wal(self):
        for mode in ("delete", "truncate", "persist"):
            with self.subTest(journal_mode=mode):
                self.path = self.folder / f"{mode}.db"
                self.share(mode, JOBS // 4, ("python", 5), ("apsw", 1), ("sqlite3", 5), ("apsw", 2))

    def test_many_producers_and_many_workers_with_business_rows(self):
        """The jobs that were done are exactly the orders that were committed."""
        producers, orders_each = 4, 300
        for mode in ("wal", "delete"):
            with self.subTest(journal_mode=mode):
                self.path = self.folder / f"{mode}.db"
                self.bootstrap(mode)
                with support.open_file(self.path) as db:
                    db.execute("CREATE TABLE orders (name TEXT PRIMARY KEY)")
                kinds = support.present(["sqlite3", "python", "apsw", "python"])
                producing = [
                    self.program("producer.py", kind, self.path, f"producer-{n}", orders_each)
                    for n, kind in enumerate(kinds[:producers], 1)
                ]
                workers = self.workers(("apsw", 10), ("python", 10), ("sqlite3", 10), ("apsw", 10))
                self.start(producing + workers)
                for producer in producing:
                    self.finish(producer)
                with support.open_file(self.path) as db:
                    names = [name for (name,) in db.execute("SELECT name FROM orders")]
                committed = [
                    f"producer-{n}-{order}"
                    for n in range(1, producers + 1)
                    for order in range(1, orders_each + 1)
                    if order % 3
                ]
                self.assertEqual(sorted(names), sorted(committed))
                self.assert_each_done_once(workers, names)


if __name__ == "__main__":
    unittest.main()
