"""Calls of honker's SQL functions on a connection to Postgres that is not honker's: psycopg's, psycopg2's, asyncpg's,
and what is built on them. They are part of its transaction.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from . import _abi, _values
from . import payload as payloads
from .enqueue import EnqueueOptions, checked_metadata, json_options
from .errors import Error, error_of

if TYPE_CHECKING:
    from .job import Job

# Runs a statement whose parameters are written as `?`, and answers its only value.
Call = Callable[[str, tuple[Any, ...]], Any]

_ENQUEUE = "SELECT honker.honker_enqueue(?::text, ?::text, ?::int8, ?::int8, ?::int8, ?::int8, ?::int8)"
_ENQUEUE_WITH = "SELECT honker.honker_enqueue_with(?::text, ?::text, ?::text)"
# The function knows the worker, not the claim: a worker may have claimed again what it had lost.
_ACK = (
    "SELECT CASE WHEN EXISTS (SELECT FROM honker._honker_live WHERE id = ?::int8 AND attempts = ?::int8) "
    "THEN honker.honker_ack(?::int8, ?::text) ELSE 0 END"
)
_COLUMNS = ("run_at", "delay_s", "priority", "max_attempts", "expires_s")
# SQLSTATEs of honker's own; all others are Postgres's, and stay the driver's.
_STATUSES = {
    "HK001": _abi.INVALID,
    "HK002": _abi.MISUSE,
    "HK003": _abi.TOO_OLD,
    "HK004": _abi.TOO_BIG,
    "HK005": _abi.MOVED,
}


def enqueue(queue: str, payload: Any, options: EnqueueOptions) -> tuple[str, tuple[Any, ...]]:
    """The statement and its parameters. Times are relative to the server's clock."""
    for name in options:
        if name not in EnqueueOptions.__annotations__:
            raise TypeError(f"unexpected option {name!r}")
    name = _values.text(queue, "queue").decode()
    text = payloads.encode(payload).decode()
    given = json_options(options)
    if "metadata" in given:
        given["metadata"] = checked_metadata(given["metadata"])
    if given.keys() <= set(_COLUMNS):
        return _ENQUEUE, (name, text, *({"priority": 0, **given}.get(column) for column in _COLUMNS))
    return _ENQUEUE_WITH, (name, text, json.dumps(given))


def id_of(answer: Any) -> int:
    return int(answer if isinstance(answer, int) else json.loads(answer)["id"])


def ack(job: Job) -> tuple[str, tuple[Any, ...]]:
    job.settled()
    return _ACK, (job.id, job.attempts, job.id, job.worker_id)


def session_of(conn: Any) -> Any:
    """The session for which a scoped_session or async_scoped_session of SQLAlchemy stands."""
    return conn() if callable(conn) and hasattr(conn, "registry") else conn


def caller(conn: Any) -> Call | None:
    """None if the connection is none to Postgres."""
    conn = session_of(conn)
    if hasattr(conn, "exec_driver_sql"):  # SQLAlchemy's Connection
        return _alchemy(conn)
    if hasattr(conn, "execute_sql"):  # Peewee, or a proxy for its database
        return _peewee(conn) if "PostgresqlDatabase" in _names(getattr(conn, "obj", conn)) else None
    if hasattr(conn, "connection") and callable(conn.connection) and hasattr(conn, "in_transaction"):
        return _alchemy(conn.connection())  # its Session
    if hasattr(conn, "vendor") and hasattr(conn, "ops"):  # Django
        return _cursor(conn.cursor) if conn.vendor == "postgresql" else None
    packages = _packages(conn)
    if "psycopg2" in packages:
        from psycopg2.extensions import cursor  # type: ignore[import-untyped, unused-ignore]

        session = getattr(conn, "connection", conn)
        return _cursor(lambda: session.cursor(cursor_factory=cursor))
    if "psycopg" in packages and not _is_async(conn):
        from psycopg import Cursor
        from psycopg.rows import tuple_row

        session = getattr(conn, "connection", conn)
        return _cursor(lambda: Cursor(session, row_factory=tuple_row))
    return None


async def async_caller(conn: Any) -> Callable[[str, tuple[Any, ...]], Awaitable[Any]] | None:
    conn = session_of(conn)
    if hasattr(conn, "sync_session"):  # SQLAlchemy's AsyncSession
        conn = await conn.connection()
    if hasattr(conn, "exec_driver_sql"):
        return _async_alchemy(conn)
    packages = _packages(conn)
    if "asyncpg" in packages:
        return lambda sql, parameters: conn.fetchval(_placed(sql, "numeric_dollar"), *parameters)
    if "psycopg" in packages and _is_async(conn):
        return _async_cursor(getattr(conn, "connection", conn))
    return None


def _alchemy(conn: Any) -> Call | None:
    if conn.dialect.name != "postgresql":
        return None
    style = conn.dialect.paramstyle
    return lambda sql, parameters: conn.exec_driver_sql(_placed(sql, style), parameters).scalar()


def _async_alchemy(conn: Any) -> Callable[[str, tuple[Any, ...]], Awaitable[Any]] | None:
    if conn.dialect.name != "postgresql":
        return None

    async def call(sql: str, parameters: tuple[Any, ...]) -> Any:
        return (await conn.exec_driver_sql(_placed(sql, conn.dialect.paramstyle), parameters)).scalar()

    return call


def _peewee(conn: Any) -> Call:
    return lambda sql, parameters: conn.execute_sql(_placed(sql, "format"), parameters).fetchone()[0]


def _cursor(make: Callable[[], Any]) -> Call:
    def call(sql: str, parameters: tuple[Any, ...]) -> Any:
        with make() as cursor:
            cursor.execute(_placed(sql, "format"), parameters)
            return cursor.fetchone()[0]

    return call


def _async_cursor(conn: Any) -> Callable[[str, tuple[Any, ...]], Awaitable[Any]]:
    from psycopg import AsyncCursor
    from psycopg.rows import tuple_row

    async def call(sql: str, parameters: tuple[Any, ...]) -> Any:
        async with AsyncCursor(conn, row_factory=tuple_row) as cursor:
            await cursor.execute(_placed(sql, "format").encode(), parameters)
            row = await cursor.fetchone()
            return row[0] if row else None

    return call


def _placed(sql: str, style: str) -> str:
    """With the place-holders of the driver."""
    if style.startswith("numeric"):
        parts = sql.split("?")
        return parts[0] + "".join(f"${n}{part}" for n, part in enumerate(parts[1:], 1))
    return sql.replace("?", "%s")


def _packages(conn: Any) -> set[str]:
    return {kind.__module__.partition(".")[0] for kind in type(conn).__mro__}


def _names(conn: Any) -> set[str]:
    return {kind.__name__ for kind in type(conn).__mro__}


def _is_async(conn: Any) -> bool:
    return any(name.startswith("Async") for name in _names(conn))


def typed(error: BaseException) -> Error | None:
    """honker's own error, if that is what the server has answered."""
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        seen.append(at)
        state = getattr(at, "sqlstate", None) or getattr(at, "pgcode", None)
        if isinstance(state, str):
            message = getattr(getattr(at, "diag", None), "message_primary", None) or str(at)
            return error_of(_STATUSES[state], message) if state in _STATUSES else None
        # SQLAlchemy and Peewee have the driver's in `orig`, Django as the cause. Not the context: that may be an error
        # of before, which the caller handles.
        at = getattr(at, "orig", None) or at.__cause__
    return None
