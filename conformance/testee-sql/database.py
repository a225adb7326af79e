"""The databases of the testee of the SQL functions: Python's own SQLite with the extension in it.

A database is a path and a pool of connections, each set up as packages set up theirs. A call takes a connection out of
the pool for as long as it runs, a transaction for as long as it is open, so that no two threads use one at the same
time and a call outside of a transaction never ends up inside of one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import Any

from connections import Connections

FEATURES = (
    "queue tx stream notify sched cron result result_tx settle_tx by_id lock rate rate_sweep dead stats next_at "
    "enqueue_many text bytes journal foreign prune_keep tick_at updates release metadata settings "
    "batch step bulk unique schedule_options unknown_keys claims_by_id metrics"
).split()
EXTENSION = os.environ["HONKER_EXTENSION"]
LONG_MS = 2**31 - 1


class Outcome(Exception):
    """There was nothing to do or to give; the argument is the outcome's name."""


class Refused(Exception):
    """What SQLite, the extension or Python's driver says is wrong with the call."""

    def __init__(self, message: str, kind: type = sqlite3.ProgrammingError) -> None:
        super().__init__(message)
        self.kind = f"{kind.__module__}.{kind.__qualname__}"


class NotUtf8(bytes):
    """A text that SQLite stores but Python cannot hold."""


@contextlib.contextmanager
def driver() -> Iterator[None]:
    """Around calls of the driver, so that its errors are told from mistakes of the testee's."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError) as error:
        raise Refused(str(error), type(error)) from error


def text_from_sqlite(stored: bytes) -> str | NotUtf8:
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return NotUtf8(stored)


def sql_from_json(value: Any) -> Any:
    match value:
        case {"$hex": digits}:
            return bytes.fromhex(digits)
        case {"$bytes": digits}:
            return NotUtf8.fromhex(digits)
    return value


def json_from_sql(value: Any) -> Any:
    match value:
        case NotUtf8():
            return {"$bytes": value.hex()}
        case bytes():
            return {"$hex": value.hex()}
    return value


def load_extension(connection: sqlite3.Connection) -> None:
    with driver():
        connection.enable_load_extension(True)
        connection.load_extension(EXTENSION)
        connection.enable_load_extension(False)


def execute(connection: sqlite3.Connection, sql: str, parameters: tuple | list = ()) -> list[tuple]:
    # The driver cannot take text that is not UTF-8; it refuses surrogates, as it should.
    texts = (sql, *parameters)
    sql, *fit = [value.decode(errors="surrogateescape") if isinstance(value, NotUtf8) else value for value in texts]
    with driver():
        return connection.execute(sql, fit).fetchall()


def call(connection: sqlite3.Connection, function: str, *arguments: Any) -> Any:
    """The answer of an SQL function."""
    values = [sql_from_json(argument) for argument in arguments]
    places = ["CAST(? AS TEXT)" if isinstance(value, NotUtf8) else "?" for value in values]
    blobs = [bytes(value) if isinstance(value, NotUtf8) else value for value in values]
    return execute(connection, f"SELECT {function}({', '.join(places)})", blobs)[0][0]


def version() -> str:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        load_extension(connection)
        return call(connection, "honker_version")


def changes(connection: sqlite3.Connection, sql: str, parameters: list) -> int:
    """Executes a statement; how many rows it changed."""
    before = connection.total_changes
    execute(connection, sql, parameters)
    # changes() still has the number of an earlier statement if this one changed nothing.
    return execute(connection, "SELECT changes()")[0][0] if connection.total_changes != before else 0


def execute_apart(path: str, sql: str, times: int) -> None:
    """On a connection that honker knows nothing of."""
    with driver(), contextlib.closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as connection:
        for _ in range(times):
            connection.execute(sql).fetchall()


@contextlib.contextmanager
def all_or_none(connection: sqlite3.Connection) -> Iterator[None]:
    """Several calls as one, in a transaction or out of it."""
    within = connection.in_transaction
    execute(connection, "SAVEPOINT many" if within else "BEGIN IMMEDIATE")
    try:
        yield
        execute(connection, "RELEASE many" if within else "COMMIT")
    except BaseException:
        if connection.in_transaction:
            for statement in ("ROLLBACK TO many", "RELEASE many") if within else ("ROLLBACK",):
                execute(connection, statement)
        raise


class Database(Connections):
    """A path, how to open it, and the connections that are not in use."""

    def __init__(self, path: str, busy_timeout_ms: int = 5000, journal: str = "WAL", poll_ms: int | None = None):
        self.path, self.busy_timeout_ms, self.journal, self.poll_ms = path, busy_timeout_ms, journal, poll_ms
        self.db = self
        super().__init__()

    def connect(self) -> sqlite3.Connection:
        with driver():
            connection = sqlite3.connect(
                self.path,
                timeout=self.busy_timeout_ms / 1000,
                isolation_level=None,
                check_same_thread=False,
                uri=self.path.startswith("file:"),
            )
        try:
            connection.text_factory = text_from_sqlite
            if execute(connection, "PRAGMA database_list")[0][2] == "":
                raise Refused("an in-memory database cannot have a second connection; use a temporary file")
            # A mode that the file is in already is set without any lock, but TRUNCATE and PERSIST are the connection's.
            mode = self.set_journal_mode(connection)
            if mode != self.journal.lower():
                raise Refused(f"the journal mode is {mode}, and cannot be made {self.journal}")
            for pragma in ("synchronous = NORMAL", "foreign_keys = ON", "wal_autocheckpoint = 10000"):
                execute(connection, f"PRAGMA {pragma}")
            load_extension(connection)
            call(connection, "honker_bootstrap")
        except BaseException:
            connection.close()
            raise
        return connection

    def set_journal_mode(self, connection: sqlite3.Connection) -> str:
        """SQLite does not wait for the lock that a change of mode takes: the mode that the file then has."""
        deadline = time.monotonic() + self.busy_timeout_ms / 1000
        while True:
            try:
                return execute(connection, f"PRAGMA journal_mode = {self.journal}")[0][0]
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.002)

    def refused(self) -> Refused:
        return Refused("Cannot operate on a closed database.")

    def may_be_kept(self, connection: sqlite3.Connection) -> bool:
        return not connection.in_transaction

    def interrupt(self, connection: sqlite3.Connection) -> None:
        connection.interrupt()


class Transaction:
    """An open BEGIN IMMEDIATE, and the connection it is on until it is over."""

    def __init__(self, db: Database):
        self.db, self.lock = db, threading.Lock()
        self.connection: sqlite3.Connection | None = db.take()
        try:
            execute(self.connection, "BEGIN IMMEDIATE")
        except BaseException:
            db.give(self.connection)
            raise
        db.within.append(self)

    @contextlib.contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        with self.lock:
            # SQLite ends a transaction by itself after some errors; what came then would be committed one by one.
            if self.connection is None or not self.connection.in_transaction:
                raise Refused("the transaction is over")
            yield self.connection

    def end(self, statement: str) -> None:
        with self.use() as connection:
            try:
                execute(connection, statement)
            finally:
                if not connection.in_transaction:  # A COMMIT that was BUSY may be tried again.
                    self._leave()

    def close(self) -> None:
        with contextlib.suppress(AttributeError):
            self.connection.interrupt()
        with self.lock:
            if self.connection is not None:
                if self.connection.in_transaction:
                    execute(self.connection, "ROLLBACK")
                self._leave()

    def _leave(self) -> None:
        connection, self.connection = self.connection, None
        self.db.within.remove(self)
        self.db.give(connection)


class Updates:
    """A handle of honker_update_watcher_open."""

    def __init__(self, db: Database):
        self.db, self.closed = db, False
        more = () if db.poll_ms is None else (db.poll_ms,)
        with db.use() as connection:
            self.handle = call(connection, "honker_update_watcher_open", db.path, "auto", *more)
        db.within.append(self)

    def next(self, timeout_ms: int) -> dict:
        with self.db.use() as connection:
            while True:
                wait_ms = LONG_MS if timeout_ms < 0 else timeout_ms
                came = call(connection, "honker_update_watcher_wait", self.handle, wait_ms)
                if came == 1:
                    return {}
                if came == -1 and not self.closed:
                    raise Refused("the watcher died")
                if came == -1 or timeout_ms >= 0:
                    raise Outcome("CLOSED" if came == -1 else "TIMEOUT")

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.db.within.remove(self)
            with self.db.use() as connection:
                call(connection, "honker_update_watcher_close", self.handle)
