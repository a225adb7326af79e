"""What the tests share: a file, a database, programs beside them."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import honker
import pytest

PACKAGE = Path(__file__).resolve().parents[1]
# How long something may take that takes milliseconds: machines are loaded.
SOON_S = 120

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell has started this in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@pytest.fixture
def db(path: Path) -> Iterator[honker.Database]:
    with honker.open(path) as database:
        yield database


@pytest.fixture
def queue(db: honker.Database) -> honker.Queue:
    return db.queue("emails")


_numbers = itertools.count(1)


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of a new database on the server that tests/run starts."""
    given = os.environ.get("HONKER_POSTGRES_URL")
    if not given:
        pytest.skip("there is no Postgres server (HONKER_POSTGRES_URL)")
    psycopg = pytest.importorskip("psycopg")
    name = f"python_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(given, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    scheme, place, _, query, _ = urlsplit(given)
    yield f"{scheme}://{place}/{name}?{query}"
    with psycopg.connect(given, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def until(condition: Callable[[], object], what: str = "it", within_s: float = SOON_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.005)


class Program:
    """Python in another process, whose lines are read one by one."""

    def __init__(self, code: str, *arguments: object, python: str = sys.executable) -> None:
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
        command = [python, "-u", "-c", textwrap.dedent(code), *map(str, arguments)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate(timeout=SOON_S)
            raise AssertionError(f"the program ended: {errors}")
        return line.rstrip("\n")

    def end(self) -> tuple[str, str]:
        """What it still says, and its errors; it has to end well."""
        out, errors = self.process.communicate(timeout=SOON_S)
        assert self.process.returncode == 0, errors
        return out, errors

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=SOON_S)


@pytest.fixture
def program() -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def start(*arguments: object, **options: str) -> Program:
        started.append(Program(*arguments, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        with one.process:  # closes its pipes
            pass
