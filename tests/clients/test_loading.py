"""Loading the library, and letting go of the file again."""

from __future__ import annotations

import gc
import json
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import unittest
from pathlib import Path

import clients
import support

# Leaves many statements prepared behind it.
WORK = """
SELECT honker_bootstrap();
SELECT honker_enqueue('q', 'x', NULL, NULL, 0, 3, NULL);
SELECT honker_claim_batch('q', 'w', 1, 60);
SELECT honker_retry(1, 'w', 0, 'again');
SELECT honker_stream_publish('t', NULL, 'x');
SELECT notify('c', 'x');
"""


def open_descriptors(path: Path) -> list[str]:
    """Those of this process on the file and its companions, where the system tells (Linux)."""
    found = []
    for descriptor in Path("/proc/self/fd").glob("*"):
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith(str(path)):
            found.append(target)
    return found


class Closing(support.TestCase):
    @unittest.skipUnless(clients.available("sqlite3"), "no sqlite3 on this machine")
    def test_command_line_exits_cleanly(self):
        for mode in support.JOURNAL_MODES:
            with self.subTest(journal_mode=mode):
                library = clients.extension().with_suffix("")
                done = subprocess.run(
                    [clients.command_line(), "-batch", str(self.folder / f"{mode}.db")],
                    input=f'PRAGMA journal_mode = {mode};\n.load "{library}"\n{WORK}',
                    capture_output=True,
                    encoding="utf-8",
                    timeout=30,
                )
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertNotIn("unable to close", done.stdout)
                companions = [path.name for path in self.folder.glob(f"{mode}.db-*")]
                self.assertEqual(companions, [f"{mode}.db-journal"] if mode in ("truncate", "persist") else [])

    def assert_closed(self) -> None:
        self.assertEqual(open_descriptors(self.path), [])
        # Only the last one to close a WAL file removes these: nobody is left.
        self.assertEqual(list(self.folder.glob("*-wal")) + list(self.folder.glob("*-shm")), [])
        self.path.unlink()

    def test_python_close_lets_go_of_the_file(self):
        self.bootstrap("wal")
        db = clients.connect("python", self.path)
        for statement in WORK.split(";"):
            db.execute(statement)
        db.close()
        self.assert_closed()

    def test_a_module_client_lets_go_of_the_file(self):
        """The same in a process that stays, for Python and apsw."""
        for kind in ("python", "apsw"):
            with self.subTest(client=kind):
                if not clients.available(kind):
                    self.skipTest(f"no {kind} on this machine")
                self.bootstrap("wal")
                client = self.spawn(kind, self.path)
                for statement in WORK.split(";")[:-1]:
                    client.rows(statement)
                client.send_open(":memory:")
                client.receive()
                self.assert_closed()

    def test_a_connection_dropped_without_close(self):
        """As close; garbage collection is how many a program closes its connections."""
        self.bootstrap("wal")
        db = clients.connect("python", self.path)
        db.execute("SELECT honker_enqueue('q', 'x', NULL, NULL, 0, 3, NULL)")
        del db
        gc.collect()  # A connection and its cache of statements refer to each other.
        self.assert_closed()


class ManyConnections(support.TestCase):
    def test_thirty_connections_at_once(self):
        self.bootstrap()
        connections = [clients.connect("python", self.path) for _ in range(30)]
        for number, db in enumerate(connections, 1):
            self.assertEqual(support.value(db, "SELECT honker_enqueue('q', 'x')"), number)
        # Closed from the middle outwards, while the others go on working.
        while connections:
            connections.pop(len(connections) // 2).close()
            for db in connections[:2]:
                self.assertEqual(support.value(db, "SELECT honker_ack(1, 'nobody')"), 0)
        with support.open_file(self.path) as db:
            self.assertEqual(support.value(db, "SELECT count(*) FROM _honker_live"), 30)

    def test_loading_again_on_one_connection(self):
        with support.open_file(self.path) as db:
            db.execute("SELECT honker_bootstrap()")
            db.enable_load_extension(True)
            for number in range(1, 4):
                db.load_extension(str(clients.extension()))
                self.assertEqual(support.value(db, "SELECT honker_enqueue('q', 'x')"), number)
            row = db.execute("SELECT load_extension(?)", (str(clients.extension()),)).fetchone()
            self.assertEqual(row, (None,))

    def test_many_threads_loading_working_and_closing(self):
        self.bootstrap()
        threads_count, rounds = 8, 6
        failures: list[BaseException] = []
        acked: list[int] = []

        def work(name: str) -> None:
            try:
                for _ in range(rounds):
                    db = clients.connect("python", self.path)
                    job = support.value(db, "SELECT honker_enqueue(?, 'x')", name)
                    [claimed] = json.loads(support.value(db, "SELECT honker_claim_batch(?, ?, 1, 60)", name, name))
                    assert claimed["id"] == job, (claimed, job)
                    assert support.value(db, "SELECT honker_ack(?, ?)", job, name) == 1
                    acked.append(job)
                    db.close()
            except BaseException as error:  # reported by the test
                failures.append(error)

        threads = [threading.Thread(target=work, args=(f"thread-{n}",)) for n in range(threads_count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(failures, [])
        self.assertEqual(sorted(acked), list(range(1, threads_count * rounds + 1)))
        self.assert_sound()

    def test_one_connection_used_from_many_threads_in_turn(self):
        self.bootstrap()
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        db.enable_load_extension(True)
        db.load_extension(str(clients.extension()))
        ids = []
        for _ in range(10):
            thread = threading.Thread(target=lambda: ids.append(support.value(db, "SELECT honker_enqueue('q', 'x')")))
            thread.start()
            thread.join()
        db.close()
        self.assertEqual(ids, list(range(1, 11)))
        self.assertEqual(open_descriptors(self.path), [])


@unittest.skipUnless(clients.available("apsw"), "no apsw on this machine")
class TwoCopiesOfSqlite(support.TestCase):
    """One process with two copies of SQLite: Python's and apsw's. Each on a file of its own."""

    PROGRAM = """
        import sys, clients
        first, second, library, copy = sys.argv[1:]

        def enqueue(kind, path, library):
            db = clients.connect(kind, path, library)
            list(db.execute("SELECT honker_bootstrap()"))
            [[job]] = list(db.execute("SELECT honker_enqueue('q', 'x')"))
            return db, job

        one, job = enqueue(first, "one.db", library)
        print(job)
        try:
            enqueue(second, "two.db", library)
        except Exception as error:
            print(error)
        two, job = enqueue(second, "two.db", copy)
        print(job)
        # The first goes on, on old and on new connections.
        print(list(one.execute("SELECT honker_enqueue('q', 'x')"))[0][0])
        print(enqueue(first, "one.db", library)[1])
        print(list(two.execute("SELECT honker_enqueue('q', 'x')"))[0][0])
        one.close(), two.close()
    """

    def test_the_second_is_refused_and_served_by_a_copy_of_the_library(self):
        library = clients.extension()
        # SQLite derives the entry point from the file's name, so the copy keeps that.
        (self.folder / "copy").mkdir()
        copy = shutil.copy(library, self.folder / "copy" / library.name)
        for order in (("python", "apsw"), ("apsw", "python")):
            with self.subTest(order=order):
                for name in ("one.db", "two.db"):
                    (self.folder / name).unlink(missing_ok=True)
                here = str(Path(__file__).parent)
                program = f"import sys; sys.path.insert(0, {here!r})\n{textwrap.dedent(self.PROGRAM)}"
                done = subprocess.run(
                    [sys.executable, "-c", program, *order, str(library), str(copy)],
                    cwd=self.folder,
                    capture_output=True,
                    encoding="utf-8",
                    timeout=30,
                )
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                first, refusal, second, *later = done.stdout.splitlines()
                self.assertEqual([first, second, *later], ["1", "1", "2", "3", "2"])
                self.assertIn("already serves another copy of SQLite", refusal)
                self.assertIn("load a copy of the library file", refusal)


class LoadingTime(support.TestCase):
    def test_loading_waits_for_a_writer(self):
        """A new file gets a table when the extension is loaded; another's write lock only delays that."""
        blocker = sqlite3.connect(self.path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        client = self.spawn("python")
        client.send_open(self.path)
        time.sleep(0.3)
        blocker.execute("COMMIT")
        blocker.close()
        self.assertEqual(client.receive(), [])


if __name__ == "__main__":
    unittest.main()
