"""The databases of the testee of the SQL functions on Postgres: psycopg's connections to one server.

A database is a URL and a pool of connections. A call takes a connection out of the pool for as long as it runs, a
transaction for as long as it is open. As users of psycopg do, a call in a transaction is made in a savepoint
(`connection.transaction()`), so that one that is refused leaves the transaction usable.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
from connections import Connections

FEATURES = (
    "queue tx stream notify result result_tx settle_tx by_id lock rate rate_sweep dead stats next_at "
    "enqueue_many text prune_keep updates release metadata settings "
    "batch step bulk unique unknown_keys claims_by_id metrics"
).split()
# psycopg ends a wait only when its time is over: so it looks whether it was closed.
LOOK_S = 0.05


class Outcome(Exception):
    """There was nothing to do or to give; the argument is the outcome's name."""


class Refused(Exception):
    """What the server or the driver says is wrong with the call."""

    def __init__(self, message: str, kind: type = psycopg.ProgrammingError) -> None:
        super().__init__(message)
        self.kind = f"{kind.__module__}.{kind.__qualname__}"


@contextlib.contextmanager
def driver() -> Iterator[None]:
    """Around calls of the driver, so that its errors are told from mistakes of the testee's."""
    try:
        yield
    except (psycopg.Error, OverflowError, UnicodeError) as error:
        raise Refused(str(error), type(error)) from error


def sql_from_json(value: Any) -> Any:
    match value:
        case {"$hex": digits}:
            return bytes.fromhex(digits)
    return value


def json_from_sql(value: Any) -> Any:
    match value:
        case bytes():
            return {"$hex": value.hex()}
        case bool():
            return int(value)
    return value


def placeholders(sql: str, parameters: tuple | list) -> str:
    """Cases number parameters as SQLite does."""
    sql = sql.replace("%", "%%") if parameters else sql
    for at in range(len(parameters), 0, -1):
        sql = sql.replace(f"?{at}", "%s")
    return sql.replace("?", "%s") if parameters else sql


def run(connection: psycopg.Connection, sql: str, parameters: tuple | list = (), **how: bool) -> psycopg.Cursor:
    with driver():
        return connection.execute(placeholders(sql, parameters), parameters or None, **how)


def execute(connection: psycopg.Connection, sql: str, parameters: tuple | list = ()) -> list[tuple]:
    cursor = run(connection, sql, parameters)
    return cursor.fetchall() if cursor.description else []


def changes(connection: psycopg.Connection, sql: str, parameters: list) -> int:
    """Executes a statement; how many rows it changed."""
    # What is prepared is one statement; without parameters psycopg sends several at once.
    return max(run(connection, sql, parameters, prepare=True).rowcount, 0)


def call(connection: psycopg.Connection, function: str, *arguments: Any) -> Any:
    """The answer of an SQL function."""
    values = [sql_from_json(argument) for argument in arguments]
    with all_or_none(connection) if is_within(connection) else contextlib.nullcontext():
        return execute(connection, f"SELECT honker.{function}({', '.join(['?'] * len(values))})", values)[0][0]


def is_within(connection: psycopg.Connection) -> bool:
    return connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE


@contextlib.contextmanager
def all_or_none(connection: psycopg.Connection) -> Iterator[None]:
    """Several calls as one, in a transaction or out of it."""
    with driver(), connection.transaction():
        yield


def execute_apart(path: str, sql: str, times: int) -> None:
    raise NotImplementedError("testee.toml says that there is none")


def version() -> str:
    return f"psycopg {psycopg.__version__}"


class Database(Connections):
    """A URL, and the connections that are not in use."""

    def __init__(self, path: str, busy_timeout_ms: int = 5000, journal: str = "WAL", poll_ms: int | None = None):
        self.url, self.busy_timeout_ms = path, busy_timeout_ms
        self.db = self
        super().__init__()

    def connect(self) -> psycopg.Connection:
        with driver():
            return psycopg.connect(self.url, autocommit=True, options=f"-c lock_timeout={self.busy_timeout_ms}")

    def refused(self) -> Refused:
        return Refused("the database is closed")

    def may_be_kept(self, connection: psycopg.Connection) -> bool:
        return not (connection.closed or is_within(connection))

    def interrupt(self, connection: psycopg.Connection) -> None:
        connection.cancel_safe(timeout=5)

    def discard(self, connection: psycopg.Connection) -> None:
        if connection.broken:
            # The others were lost with it.
            while self.idle:
                self.idle.pop().close()
        connection.close()


class Transaction:
    """An open transaction, and the connection it is on until it is over."""

    def __init__(self, db: Database):
        self.db, self.lock = db, threading.Lock()
        self.connection: psycopg.Connection | None = db.take()
        try:
            execute(self.connection, "BEGIN")
        except BaseException:
            db.give(self.connection)
            raise
        db.within.append(self)

    @contextlib.contextmanager
    def use(self) -> Iterator[psycopg.Connection]:
        with self.lock:
            if self.connection is None:
                raise Refused("the transaction is over")
            yield self.connection

    def end(self, statement: str) -> None:
        with self.use() as connection:
            try:
                failed = connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
                execute(connection, statement)
                if failed and statement == "COMMIT":
                    raise Refused("the transaction has failed, and was rolled back")
            finally:
                self._leave()

    def close(self) -> None:
        connection = self.connection
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.cancel_safe(timeout=5)
        with self.lock:
            if self.connection is not None:
                with contextlib.suppress(Refused):
                    execute(self.connection, "ROLLBACK")
                self._leave()

    def _leave(self) -> None:
        connection, self.connection = self.connection, None
        self.db.within.remove(self)
        self.db.give(connection)


class Updates:
    """A connection that listens, as docs/postgres.md has it for users of SQL."""

    def __init__(self, db: Database):
        self.db, self.closed, self.lock = db, False, threading.Lock()
        self.connection = db.connect()
        self.name = secrets.token_hex(16)
        execute(self.connection, "LISTEN honker")
        execute(self.connection, "SELECT honker._listen(?)", [self.name])
        db.within.append(self)

    def next(self, timeout_ms: int) -> dict:
        left = timeout_ms / 1000 if timeout_ms >= 0 else float("inf")
        with self.lock:
            while not self.closed:
                with driver():
                    if list(self.connection.notifies(timeout=max(0, min(left, LOOK_S)), stop_after=1)):
                        return {}
                left -= LOOK_S
                if left <= 0:
                    raise Outcome("TIMEOUT")
        raise Outcome("CLOSED")

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.db.within.remove(self)
            with self.lock:
                with contextlib.suppress(Refused):
                    execute(self.connection, "SELECT honker._unlisten(?)", [self.name])
                self.connection.close()
