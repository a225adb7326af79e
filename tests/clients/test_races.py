"""Many processes doing at the same moment what only one of them may do, or what all of them must be able to do."""

from __future__ import annotations

import itertools
import json
import sqlite3
import unittest

import clients
import support


class Schedulers(support.TestCase):
    def test_ten_schedulers_fire_each_boundary_once(self):
        schedulers_count, rounds, schedules = 10, 25, ("every-second", "every-two", "paused")
        kinds = support.present(itertools.islice(itertools.cycle(["python", "apsw", "sqlite3"]), schedulers_count))
        for mode in ("wal", "delete"):
            with self.subTest(journal_mode=mode):
                self.path = self.folder / f"{mode}.db"
                self.bootstrap(mode)
                with support.open_file(self.path) as db:
                    for name, expression in zip(schedules, ("@every 1s", "@every 2s", "@every 1s")):
                        register = "SELECT honker_scheduler_register(?, ?, ?, '\"go\"', 0, NULL)"
                        db.execute(register, (name, f"jobs of {name}", expression))
                    db.execute("SELECT honker_scheduler_pause('paused')")
                    # In step, so that both are due in every round.
                    db.execute("UPDATE _honker_scheduler_tasks SET next_fire_at = 1000000000")
                schedulers = [self.spawn(kind, self.path) for kind in kinds]
                for scheduler in schedulers:
                    scheduler.rows("PRAGMA synchronous = OFF")
                fires = []
                moments = [1_000_000_000 + 2 * n for n in range(rounds)]
                for moment in moments:
                    for scheduler in schedulers:
                        scheduler.send("SELECT honker_scheduler_tick(?)", moment)
                    fires += [fire for scheduler in schedulers for fire in json.loads(scheduler.receive()[0][0])]
                self.assertEqual([scheduler.close() for scheduler in schedulers], [0] * schedulers_count)

                every_second = range(1_000_000_000, moments[-1] + 1)
                expected = [("every-second", moment) for moment in every_second]
                expected += [("every-two", moment) for moment in every_second[::2]]
                self.assertEqual(sorted((fire["name"], fire["fire_at"]) for fire in fires), sorted(expected))
                with support.open_file(self.path) as db:
                    jobs = db.execute("SELECT id, queue FROM _honker_live ORDER BY id").fetchall()
                    self.assertEqual(jobs, sorted((fire["job_id"], f"jobs of {fire['name']}") for fire in fires))
                self.assert_sound()


class NewFiles(support.TestCase):
    ROUNDS = 20

    def objects(self) -> list[tuple]:
        with support.open_file(self.path) as db:
            named = "SELECT type, name, sql FROM sqlite_master WHERE name GLOB '_honker_*' ORDER BY name"
            return db.execute(named).fetchall()

    def race(self, kinds: tuple[str, ...], journal_mode: str | None) -> None:
        """Loads and bootstraps a file from several processes at the same time, again and again on new files."""
        processes = [self.spawn(kind) for kind in support.present(kinds)]
        self.bootstrap()
        complete = self.objects()
        for number in range(self.ROUNDS):
            self.path = self.folder / f"{journal_mode}-{'-'.join(kinds)}-{number}.db"
            if journal_mode is not None:
                with sqlite3.connect(self.path) as db:
                    support.value(db, f"PRAGMA journal_mode = {journal_mode}")
                db.close()
            for process in processes:
                process.send_open(self.path)
            for process in processes:
                self.assertEqual(process.receive(), [])
            for process in processes:
                process.send("SELECT honker_bootstrap()")
            self.assertEqual([process.receive() for process in processes], [[[1]]] * len(processes))
            for process in processes:
                process.send("SELECT honker_enqueue('q', 'x')")
            ids = sorted(process.receive()[0][0] for process in processes)
            self.assertEqual(ids, list(range(1, len(processes) + 1)))
            self.assertEqual(self.objects(), complete)
            self.assert_sound()

    def test_two_processes_on_a_new_file(self):
        for kinds in (("python", "python"), ("python", "apsw"), ("sqlite3", "apsw")):
            with self.subTest(clients=kinds):
                self.race(kinds, None)

    def test_four_processes_on_a_new_wal_file(self):
        self.race(("python", "apsw", "sqlite3", "python"), "wal")

    def test_two_processes_upgrade_an_older_file(self):
        """The race for a missing column has one winner, and nobody notices."""
        processes = [self.spawn(kind) for kind in support.present(("python", "apsw"))]
        for number in range(self.ROUNDS):
            self.path = self.folder / f"old-{number}.db"
            self.bootstrap("wal" if number % 2 else "delete")
            with support.open_file(self.path) as db:
                db.execute("DROP TABLE _honker_schema")
                db.execute("ALTER TABLE _honker_scheduler_tasks DROP COLUMN max_attempts")
                db.execute("ALTER TABLE _honker_scheduler_tasks DROP COLUMN enabled")
                db.execute("INSERT INTO _honker_scheduler_tasks VALUES ('old', 'q', '@every 1s', 'x', 0, NULL, 5)")
                db.execute("DROP INDEX _honker_live_claim")
                db.execute("CREATE INDEX _honker_live_claim ON _honker_live (queue, priority DESC, run_at, id)")
            for process in processes:
                process.send_open(self.path)
                process.receive()
            for process in processes:
                process.send("SELECT honker_bootstrap()")
            self.assertEqual([process.receive() for process in processes], [[[1]]] * len(processes))
            with support.open_file(self.path) as db:
                [row] = db.execute("SELECT name, next_fire_at, enabled, max_attempts FROM _honker_scheduler_tasks")
                self.assertEqual(row, ("old", 5, 1, 3))
                definition = support.value(db, "SELECT sql FROM sqlite_master WHERE name = '_honker_live_claim'")
                self.assertIn("pending", definition)
            self.assert_sound()


class Transactions(support.TestCase):
    """What another process may see of a transaction, and when."""

    def test_nothing_is_seen_before_commit(self):
        self.bootstrap()
        writer, reader = (self.spawn(kind, self.path) for kind in support.present(("python", "apsw")))
        counts = "SELECT (SELECT count(*) FROM _honker_live), (SELECT count(*) FROM _honker_notifications)"
        for end, visible in (("ROLLBACK", [0, 0]), ("COMMIT", [1, 1])):
            writer.rows("BEGIN IMMEDIATE")
            writer.rows("SELECT honker_enqueue('q', 'x')")
            writer.rows("SELECT notify('c', 'x')")
            self.assertEqual(reader.rows(counts), [[0, 0]])
            self.assertEqual(reader.rows("SELECT honker_queue_next_claim_at('q')"), [[0]])
            writer.rows(end)
            self.assertEqual(reader.rows(counts), [visible])

    def test_a_writer_that_holds_the_lock_is_an_error_never_a_refusal(self):
        """BUSY must not look like "nothing to do" or "not yours"."""
        self.bootstrap()
        writer, other = (self.spawn(kind, self.path) for kind in support.present(("python", "apsw")))
        writer.rows("SELECT honker_enqueue('q', 'x')")
        job = json.loads(other.value("SELECT honker_claim_batch('q', 'w', 1, 60)"))[0]["id"]
        other.rows("SELECT honker_enqueue('q', 'y', NULL, NULL, 0, 3, -1)")
        writer.rows("SELECT honker_scheduler_register('s', 'q', '@every 1s', 'x', 0, NULL)")
        other.rows("PRAGMA busy_timeout = 0")
        writer.rows("BEGIN IMMEDIATE")
        for call in (
            "honker_enqueue('q', 'x')",
            "honker_claim_batch('q', 'w', 1, 60)",
            f"honker_ack({job}, 'w')",
            f"honker_ack_batch('[{job}]', 'w')",
            f"honker_retry({job}, 'w', 0, 'e')",
            f"honker_fail({job}, 'w', 'e')",
            f"honker_heartbeat({job}, 'w', 60)",
            f"honker_cancel({job})",
            "honker_sweep_expired('q')",
            "honker_scheduler_tick(unixepoch() + 5)",
            "honker_lock_acquire('l', 'o', 60)",
            "honker_rate_limit_try('r', 1, 60)",
            "honker_stream_publish('t', NULL, 'x')",
            "notify('c', 'x')",
        ):
            with self.subTest(call=call), self.assertRaisesRegex(clients.SqlError, "(?i)locked|busy"):
                other.rows(f"SELECT {call}")
        writer.rows("COMMIT")
        self.assertEqual(other.value("SELECT honker_ack(?, 'w')", job), 1)
        self.assert_sound()


if __name__ == "__main__":
    unittest.main()
