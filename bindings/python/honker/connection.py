"""Enqueueing on a connection that is not honker's: to a SQLite file a plain INSERT, to Postgres a call of honker's
function (`_postgres.py`). It commits and rolls back with the connection's transaction. Nothing native is loaded for it.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from . import _postgres, _values
from . import payload as payloads
from .enqueue import EnqueueOptions
from .errors import InvalidError, MisuseError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .job import Job

_INSERT = (
    "INSERT INTO _honker_live (queue, payload, priority, run_at, max_attempts, created_at, expires_at) "
    "SELECT queue, payload, priority, run_at, coalesce(max_attempts, "
    "(SELECT json_extract(settings, '$.max_attempts') FROM _honker_queues WHERE name = queue), 3), created_at, "
    "expires_at FROM (SELECT ? AS queue, ? AS payload, ? AS priority, ? AS run_at, ? AS max_attempts, "
    "? AS created_at, ? AS expires_at)"
)
_METADATA = "INSERT INTO _honker_job_options (job_id, metadata) VALUES (?, ?)"
_ACK = "DELETE FROM _honker_live WHERE id = ? AND worker_id = ? AND attempts = ? AND claim_expires_at >= ?"
# Of a member of a batch they say so, to whoever counts it.
_FORGET = "DELETE FROM _honker_job_options WHERE job_id = ? AND batch_id IS NULL"


def schema_sql() -> str:
    """The SQL that makes honker's tables and indexes, where they are not there yet: for the migrations of an
    application, or a database in memory for its tests. Opening a file does the same by itself, and brings older files
    up to date, which this does not.
    """
    return Path(__file__).with_name("schema.sql").read_text()


def enqueue_on(conn: Any, queue: str, payload: Any, **options: Unpack[EnqueueOptions]) -> int:
    """Enqueues on a connection of your own, in its transaction if one is open: the job is there if and only if that is
    committed; its id. Workers are woken by the commit, in whichever process. The database needs honker's tables, which
    `open` and `schema_sql` make in a file, and `honker migrate` in Postgres. No middleware sees the job.

    conn: to a file a sqlite3.Connection, or one like it; to Postgres one of psycopg or psycopg2; to either a Connection
        or Session of SQLAlchemy (SQLModel), or a scoped_session (Flask-SQLAlchemy); a Database of Peewee; a connection
        of Django.
    options: to Postgres all of `EnqueueOptions`. To a file run_at, delay, priority, expires, max_attempts (default: the
        queue's) and metadata, which is a MisuseError without an open transaction; the clock is that of this process.
    """
    call = _postgres.caller(conn)
    if call is not None:
        return _postgres.id_of(_called(call, _postgres.enqueue(queue, payload, options)))
    execute = _executor(conn)
    _check_metadata(conn, options)
    return _run(_enqueue(queue, payload, **options), execute)


async def aenqueue_on(conn: Any, queue: str, payload: Any, **options: Unpack[EnqueueOptions]) -> int:
    """As `enqueue_on`, for an AsyncConnection or AsyncSession of SQLAlchemy, an aiosqlite.Connection, a
    psycopg.AsyncConnection or a connection of asyncpg.
    """
    call = await _postgres.async_caller(conn)
    if call is not None:
        return _postgres.id_of(await _acalled(call, _postgres.enqueue(queue, payload, options)))
    execute = await _aexecutor(conn)
    _check_metadata(conn, options)
    return await _arun(_enqueue(queue, payload, **options), execute)


def ack_on(conn: Any, job: Job) -> bool:
    """Acks a job with a connection of your own, as a part of its transaction: what the job did there is done exactly
    once. False if the claim was lost: then roll back. A worker leaves the rest to the transaction: if its handler
    returns, and that was not committed, the job runs again when its claim is over.

    On a file the clock is that of this process, and what else the job had, workers let go of within a minute: its place
    in a batch, its steps, its slot of the concurrency key. Its unique key is free at once. It is not kept as done, and
    no metric counts it.
    """
    call = _postgres.caller(conn)
    if call is not None:
        return bool(_called(call, _postgres.ack(job)))
    return bool(_run(_ack(job), _executor(conn)))


async def aack_on(conn: Any, job: Job) -> bool:
    """As `ack_on`, for the connections of `aenqueue_on`."""
    call = await _postgres.async_caller(conn)
    if call is not None:
        return bool(await _acalled(call, _postgres.ack(job)))
    return bool(await _arun(_ack(job), await _aexecutor(conn)))


def _called(call: _postgres.Call, statement: tuple[str, tuple[Any, ...]]) -> Any:
    try:
        return call(*statement)
    except Exception as error:
        typed = _postgres.typed(error)
        if typed is None:
            raise
        raise typed from error


async def _acalled(call: Callable[..., Awaitable[Any]], statement: tuple[str, tuple[Any, ...]]) -> Any:
    try:
        return await call(*statement)
    except Exception as error:
        typed = _postgres.typed(error)
        if typed is None:
            raise
        raise typed from error


_Steps = Generator[tuple[str, tuple[Any, ...]], Any, int]
_Execute = Callable[[str, tuple[Any, ...]], Any]


def _enqueue(
    queue: str,
    payload: Any,
    *,
    run_at: _values.Moment | None = None,
    delay: _values.Seconds | None = None,
    priority: int = 0,
    expires: _values.Seconds | None = None,
    max_attempts: int | None = None,
    metadata: Mapping[str, str] | None = None,
    **others: Any,
) -> _Steps:
    for name in others:
        if name in EnqueueOptions.__annotations__:
            raise UnsupportedError(
                f"{name} has no column: enqueue with a Database, or by SELECT honker_enqueue_with(...)"
            )
        raise TypeError(f"unexpected option {name!r}")
    if b"\0" in _values.text(queue, "queue"):
        raise InvalidError("queue has a NUL in it")
    now = int(time.time())
    due = now
    if delay is not None:
        due = _values.integer(now + _values.seconds(delay, "delay"), "delay")
    elif run_at is not None:
        due = _values.moment(run_at, "run_at")
    expires_at = None if expires is None else _values.integer(now + _values.seconds(expires, "expires"), "expires")
    attempts = None if max_attempts is None else _values.integer(max_attempts, "max_attempts")
    text = payloads.encode(payload).decode()
    cursor = yield _INSERT, (queue, text, _values.integer(priority, "priority"), due, attempts, now, expires_at)
    id: int = cursor.lastrowid
    if metadata is not None:
        yield _METADATA, (id, payloads.encode(dict(metadata), "metadata").decode())
    return id


def _ack(job: Job) -> _Steps:
    job.settled()
    cursor = yield _ACK, (job.id, job.worker_id, job.attempts, int(time.time()))
    if cursor.rowcount < 1:
        return 0
    yield _FORGET, (job.id,)
    return 1


def _check_metadata(conn: Any, options: EnqueueOptions) -> None:
    """It has a row of its own: a worker could claim the job before it is there."""
    if options.get("metadata") is not None and not _is_in_transaction(conn):
        raise MisuseError("metadata needs an open transaction of the connection: begin one")


def _is_in_transaction(conn: Any) -> bool:
    """Whether it is, or begins one by itself."""
    if hasattr(conn, "in_atomic_block"):  # Django
        return conn.in_atomic_block or not conn.get_autocommit()
    if hasattr(conn, "execute_sql"):  # Peewee
        return bool(conn.in_transaction())
    if hasattr(conn, "isolation_level") and not callable(conn.in_transaction):  # sqlite3, aiosqlite
        begins = conn.isolation_level is not None and getattr(conn, "autocommit", None) is not True
        return conn.in_transaction or begins
    return True  # SQLAlchemy begins one


def _run(steps: _Steps, execute: _Execute) -> int:
    cursor = None
    while True:
        try:
            statement = steps.send(cursor)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        cursor = execute(*statement)


async def _arun(steps: _Steps, execute: Callable[..., Awaitable[Any]]) -> int:
    cursor = None
    while True:
        try:
            statement = steps.send(cursor)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        cursor = await execute(*statement)


def _executor(conn: Any) -> _Execute:
    """What executes a statement there and answers something like a cursor."""
    conn = _postgres.session_of(conn)
    if hasattr(conn, "exec_driver_sql"):  # SQLAlchemy's Connection
        return conn.exec_driver_sql  # type: ignore[no-any-return]
    if hasattr(conn, "execute_sql"):  # Peewee
        return conn.execute_sql  # type: ignore[no-any-return]
    if hasattr(conn, "connection") and callable(conn.connection) and hasattr(conn, "in_transaction"):
        return conn.connection().exec_driver_sql  # type: ignore[no-any-return]  # SQLAlchemy's Session
    if hasattr(conn, "vendor") and hasattr(conn, "ops"):  # Django, which has its own place-holders
        return _django(conn)
    if hasattr(conn, "execute") and not inspect.iscoroutinefunction(conn.execute):
        return conn.execute  # type: ignore[no-any-return]
    raise TypeError(f"{type(conn).__module__}.{type(conn).__qualname__} is no connection that honker knows")


def _django(conn: Any) -> _Execute:
    def execute(sql: str, parameters: tuple[Any, ...]) -> Any:
        cursor = conn.cursor()
        cursor.execute(sql.replace("?", "%s"), parameters)
        return cursor

    return execute


async def _aexecutor(conn: Any) -> Callable[..., Awaitable[Any]]:
    conn = _postgres.session_of(conn)
    if hasattr(conn, "sync_session"):  # SQLAlchemy's AsyncSession
        conn = await conn.connection()
    if hasattr(conn, "exec_driver_sql"):
        return conn.exec_driver_sql  # type: ignore[no-any-return]
    if hasattr(conn, "execute"):  # aiosqlite
        return conn.execute  # type: ignore[no-any-return]
    raise TypeError(f"{type(conn).__module__}.{type(conn).__qualname__} is no connection that honker knows")
