"""The rows of tasks, by plain SQL on a connection of Django's, to a SQLite file or to Postgres: they are part of its
transaction, and of a test's.

A job is in `_honker_live` until it is done or dead, then in `_honker_done` or `_honker_dead`. What is known of its
attempts is kept as steps of the job, which stay as long as it does: `attempt 1` and so on, and `error 1`.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import honker
from honker.connection import schema_sql

from . import server

COLUMNS = "id, queue, payload, priority, run_at, attempts, max_attempts, created_at"
_FIND = f"""
SELECT {COLUMNS},
  CASE WHEN state = 'processing' AND claim_expires_at >= unixepoch() THEN 'running' ELSE 'ready' END, NULL, NULL
  FROM _honker_live WHERE id = %s
UNION ALL SELECT {COLUMNS}, 'done', finished_at, NULL FROM _honker_done WHERE id = %s
UNION ALL SELECT {COLUMNS}, 'dead', died_at, last_error FROM _honker_dead WHERE id = %s"""


@dataclass(frozen=True)
class Row:
    id: int
    queue: str
    payload: str
    priority: int
    run_at: int
    attempts: int
    max_attempts: int
    created_at: int
    state: str  # "ready", "running", "done" or "dead"
    ended_at: int | None
    last_error: str | None


def sql(connection: Any, text: str) -> str:
    """As the database of the connection has it: on Postgres honker's tables are in a schema of their own."""
    if connection.vendor != "postgresql":
        return text
    return re.sub(r"\b_honker_", "honker._honker_", text).replace("unixepoch()", "honker._now()")


def is_in_memory(connection: Any) -> bool:
    name = str(connection.settings_dict["NAME"])
    return name in ("", ":memory:") or "mode=memory" in name


def create_schema(connection: Any) -> None:
    """Makes honker's tables, where they are not there yet. In SQLite not as a script, which would commit what is
    open.
    """
    if connection.vendor == "postgresql":
        honker.open(server.url(connection, migrate=True)).close()
        return
    with connection.cursor() as cursor:
        for statement in _statements(schema_sql()):
            cursor.execute(statement)


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


class _Cursor:
    """Django's, of which what is written for a file is understood by Postgres as well."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._cursor = connection.cursor()

    def __enter__(self) -> _Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        self._cursor.close()

    def execute(self, text: str, parameters: list[Any] | None = None) -> None:
        self._cursor.execute(sql(self._connection, text), parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


def find(connection: Any, id: int) -> Row | None:
    with _Cursor(connection) as cursor:
        cursor.execute(_FIND, [id] * 3)
        row = cursor.fetchone()
    return None if row is None else Row(*row)


def steps(connection: Any, id: int) -> dict[str, Any]:
    with _Cursor(connection) as cursor:
        cursor.execute("SELECT name, value FROM _honker_steps WHERE job_id = %s", [id])
        return {name: json.loads(value) for name, value in cursor.fetchall()}


def save_step(connection: Any, id: int, name: str, value: Any) -> None:
    with _Cursor(connection) as cursor:
        cursor.execute(
            "INSERT INTO _honker_steps (job_id, name, value) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [id, name, json.dumps(value)],
        )


def result(connection: Any, id: int) -> Any:
    """None if there is none, or no longer."""
    with _Cursor(connection) as cursor:
        cursor.execute(
            "SELECT value FROM _honker_results WHERE job_id = %s AND (expires_at IS NULL OR expires_at > unixepoch())",
            [id],
        )
        row = cursor.fetchone()
    return None if row is None or row[0] is None else json.loads(row[0])


# What a worker's claims and settlements are, for tests in a transaction of Django's, or in memory.


def claim(connection: Any, queues: list[str], worker_id: str) -> Row | None:
    """Claims the next job that is due."""
    places = ", ".join(["%s"] * len(queues))
    with _Cursor(connection) as cursor:
        cursor.execute(
            f"SELECT id FROM _honker_live WHERE queue IN ({places}) AND state = 'pending' AND run_at <= unixepoch() "
            "AND attempts < max_attempts AND (expires_at IS NULL OR expires_at > unixepoch()) "
            "ORDER BY priority DESC, run_at, id LIMIT 1",
            queues,
        )
        row = cursor.fetchone()
        if row is None:
            return None
        cursor.execute(
            "UPDATE _honker_live SET state = 'processing', worker_id = %s, attempts = attempts + 1, "
            "claim_expires_at = unixepoch() + 300 WHERE id = %s",
            [worker_id, row[0]],
        )
    return find(connection, row[0])


def done(connection: Any, id: int, value: Any, keep_s: int) -> None:
    with _Cursor(connection) as cursor:
        cursor.execute(
            "INSERT INTO _honker_results (job_id, value, expires_at) VALUES (%s, %s, unixepoch() + %s) "
            "ON CONFLICT (job_id) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at",
            [id, json.dumps(value), keep_s],
        )
        cursor.execute(f"INSERT INTO _honker_done ({COLUMNS}) SELECT {COLUMNS} FROM _honker_live WHERE id = %s", [id])
        cursor.execute("DELETE FROM _honker_live WHERE id = %s", [id])


def failed(connection: Any, row: Row, error: str, delay_s: int | None) -> None:
    """None for `delay_s`: it is not to be tried again."""
    with _Cursor(connection) as cursor:
        if delay_s is None or row.attempts >= row.max_attempts:
            cursor.execute(
                f"INSERT INTO _honker_dead ({COLUMNS}, last_error) "
                f"SELECT {COLUMNS}, %s FROM _honker_live WHERE id = %s",
                [error, row.id],
            )
            cursor.execute("DELETE FROM _honker_live WHERE id = %s", [row.id])
        else:
            cursor.execute(
                "UPDATE _honker_live SET state = 'pending', worker_id = NULL, claim_expires_at = NULL, run_at = %s "
                "WHERE id = %s",
                [int(time.time()) + delay_s, row.id],
            )


# What the admin does. Jobs with a unique key or in a batch are left to `Database.jobs`, which keeps those right.

_PLAIN = (
    "NOT EXISTS (SELECT 1 FROM _honker_job_options o WHERE o.job_id = _honker_dead.id "
    "AND (o.unique_key IS NOT NULL OR o.batch_id IS NOT NULL))"
)


def retry_dead(connection: Any, ids: list[int]) -> int:
    """They are due, with all of their attempts, and what earlier ones have left is forgotten; how many that were."""
    count = 0
    with _Cursor(connection) as cursor:
        for id in ids:
            cursor.execute(
                "INSERT INTO _honker_live (id, queue, payload, priority, max_attempts) "
                f"SELECT id, queue, payload, priority, max_attempts FROM _honker_dead WHERE id = %s AND {_PLAIN}",
                [id],
            )
            if cursor.rowcount > 0:
                count += 1
                cursor.execute("DELETE FROM _honker_dead WHERE id = %s", [id])
                cursor.execute("DELETE FROM _honker_steps WHERE job_id = %s", [id])
    return count


def delete_dead(connection: Any, ids: list[int]) -> int:
    count = 0
    with _Cursor(connection) as cursor:
        for id in ids:
            cursor.execute("DELETE FROM _honker_dead WHERE id = %s", [id])
            count += max(cursor.rowcount, 0)
            for table in ("_honker_steps", "_honker_job_options", "_honker_results"):
                cursor.execute(f"DELETE FROM {table} WHERE job_id = %s", [id])
    return count


def queues(connection: Any) -> list[dict[str, Any]]:
    """How many jobs there are of each."""
    with _Cursor(connection) as cursor:
        cursor.execute(
            """
            SELECT queue, count(*) FILTER (WHERE state = 'due'), count(*) FILTER (WHERE state = 'delayed'),
              count(*) FILTER (WHERE state = 'running'), count(*) FILTER (WHERE state = 'dead') FROM (
              SELECT queue, CASE WHEN state = 'processing' THEN 'running'
                WHEN run_at > unixepoch() THEN 'delayed' ELSE 'due' END AS state FROM _honker_live
              UNION ALL SELECT queue, 'dead' FROM _honker_dead
            ) jobs GROUP BY queue ORDER BY queue"""
        )
        names = ("queue", "due", "delayed", "running", "dead")
        return [dict(zip(names, row)) for row in cursor.fetchall()]
