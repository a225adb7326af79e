"""What the tests here have in common: a folder that goes away, clients that are closed, and looking into the file."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Iterable, Iterator
from pathlib import Path

import clients

# Of the tests that kill: what makes their choices, and how many kills in each journal mode.
SEED = int(os.environ.get("HONKER_KILL_SEED") or random.randrange(10**9))
ROUNDS = int(os.environ.get("HONKER_KILL_ROUNDS") or 45)

JOURNAL_MODES = ("wal", "delete", "truncate", "persist")


class TestCase(unittest.TestCase):
    """A test with a folder of its own (`self.folder`) and a file name in it that does not exist yet (`self.path`)."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "app.db"

    def spawn(self, kind: str, path: Path | str | None = None) -> clients.Client:
        """A client process that ends with the test, if not before."""
        client = clients.spawn(kind, path)
        self.addCleanup(lambda: client.process.poll() is None and client.kill())
        return client

    def program(self, name: str, *arguments: object) -> subprocess.Popen:
        """One of the programs in this folder, talking over pipes, that ends with the test, if not before."""
        command = [sys.executable, str(Path(__file__).with_name(name)), *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
        self.addCleanup(_end, process)
        return process

    def bootstrap(self, journal_mode: str = "wal", path: Path | None = None) -> None:
        with open_file(path or self.path) as db:
            self.assertEqual(value(db, f"PRAGMA journal_mode = {journal_mode}"), journal_mode)
            db.execute("SELECT honker_bootstrap()")

    def assert_sound(self, path: Path | None = None) -> None:
        with open_file(path or self.path) as db:
            self.assertEqual(value(db, "PRAGMA integrity_check"), "ok")


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    process.stdout.close()


def kill(process: subprocess.Popen, after_s: float) -> list:
    """Kills (SIGKILL) the process after a while. What it wrote, from JSON, but for the first line, already read."""
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.append(process.stdout.read()))
    reader.start()
    time.sleep(after_s)
    process.kill()
    reader.join()
    process.wait()
    process.stdout.close()
    # A last line without its end was cut off by the kill.
    return [json.loads(line) for line in said[0][: said[0].rfind("\n") + 1].splitlines()]


@contextlib.contextmanager
def open_file(path: Path | str) -> Iterator[sqlite3.Connection]:
    """The file in this process, with Python's own sqlite3 and honker."""
    db = clients.connect("python", path)
    try:
        yield db
    finally:
        db.close()


def value(db: sqlite3.Connection, sql: str, *parameters: object) -> object:
    return db.execute(sql, parameters).fetchone()[0]


def present(kinds: Iterable[str]) -> list[str]:
    """The same clients with `python` in place of what this machine lacks: for tests that want any mix of processes."""
    return [kind if clients.available(kind) else "python" for kind in kinds]


def for_each_client(test):
    """Runs a test method once for each client, as a subtest that is skipped if the machine does not have it."""

    def run(self: TestCase) -> None:
        for kind in clients.KINDS:
            with self.subTest(client=kind):
                if not clients.available(kind):
                    self.skipTest(f"no {kind} on this machine")
                with tempfile.TemporaryDirectory() as folder:
                    self.folder = Path(folder)
                    self.path = self.folder / "app.db"
                    test(self, kind)

    run.__doc__ = test.__doc__
    return run
