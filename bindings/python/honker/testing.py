"""What tests of an application need: a database of their own, its jobs done in the test's thread, a clock that they
move.

With pytest there are the fixtures `honker_db` and `honker_jobs` (`honker.pytest_plugin`).
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from . import _loop, _values
from ._call import call_async, call_sync
from ._hand import Hand
from ._outcomes import message, settlement
from .database import Database
from .errors import InvalidError, MisuseError
from .job import Job
from .outcome import Outcome
from .queue import Queue
from .task import Plan, Unplanned, is_coroutine_function, plan, registry

_COLUMNS = """
SELECT t.name AS "table", c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
WHERE t.type = 'table' AND t.name GLOB '_honker_*'"""
_SERVER_COLUMNS = """
SELECT c.table_name::text AS "table", c.column_name::text AS name
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE table_schema = 'honker' AND t.table_type = 'BASE TABLE'"""


class Jobs:
    """The jobs of a database, for one test."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def enqueued(self, queue: str | Queue | None = None) -> list[dict[str, Any]]:
        """The jobs that were enqueued and are not done, in that order, each as `Queue.get_job` gives it."""
        name = queue.name if isinstance(queue, Queue) else queue
        live = self.database._table("_honker_live")
        rows = self.database.query(f"SELECT id FROM {live} WHERE queue = coalesce(?, queue) ORDER BY id", [name])
        found = [self.database._known_queue("any").get_job(row["id"]) for row in rows]
        return [job for job in found if job is not None]

    def assert_enqueued(self, queue: str | Queue, payload: Any) -> dict[str, Any]:
        """The first such job; fails without one. Of a dict, those keys that are given have to be there."""
        jobs = self.enqueued(queue)
        for job in jobs:
            if _has(job["payload"], payload):
                return job
        raise AssertionError(f"no job of {queue} has {payload!r}; there are {[job['payload'] for job in jobs]!r}")

    def run_due(
        self, handler: Callable[[Job], Any] | None = None, *queues: str | Queue, raise_errors: bool = True
    ) -> int:
        """Does what is due, in this thread, until nothing is: each job is given to `handler`, a function or a coroutine
        function, and settled as a worker would. How many that were.

            honker_jobs.run_due(send_email, "emails")
            honker_jobs.run_due()  # tasks

        handler: None for the tasks of this process, with their results and delays.
        queues: which; by default all, and those that have tasks without a handler.
        raise_errors: what is raised is raised here, when the job has been settled; but for `Retryable`, `Discard` and
            `Snooze`, which say what is to become of it. A job is retried in 60 seconds (`advance`), unless its task
            says when.
        """
        done = 0
        names = [queue.name if isinstance(queue, Queue) else queue for queue in queues]
        if handler is None and not names:
            names = registry.queues()
            if not names:
                raise InvalidError("no tasks are registered in this process, and there is no handler")
        while (job := self._next_due(names)) is not None:
            done += 1
            try:
                planned = plan(job) if handler is None else Plan(partial(handler, job), is_coroutine_function(handler))
            except Unplanned as unplanned:
                job.fail(message(unplanned))
                if raise_errors:
                    raise
                continue
            error = _run(Hand(job, planned))
            if raise_errors and error is not None and not isinstance(error, Outcome):
                raise error
        return done

    def advance(self, seconds: _values.Seconds) -> None:
        """Moves the clock: everything in the file becomes older by so many seconds, as if that time had passed. What
        was to be due by then is due; claims, locks and results expire. Jobs that are enqueued afterwards have the real
        time.
        """
        older = _values.seconds(seconds, "seconds")
        with self.database.transaction() as tx:
            names: dict[str, list[str]] = {}
            for row in tx.query(_SERVER_COLUMNS if self.database._is_server else _COLUMNS):
                if row["name"].endswith("_at") or row["name"] in ("window_start", "until"):
                    names.setdefault(row["table"], []).append(row["name"])
            for table, columns_of in names.items():
                changes = ", ".join(f"{name} = {name} - ?1" for name in columns_of)
                tx.execute(f"UPDATE {self.database._table(table)} SET {changes}", [older])

    def _next_due(self, names: list[str]) -> Job | None:
        if not names:
            live = self.database._table("_honker_live")
            rows = self.database.query(f"SELECT DISTINCT queue FROM {live} ORDER BY queue")
            names = [row["queue"] for row in rows]
        for name in names:
            job = self.database._known_queue(name).claim_one("test")
            if job is not None:
                return job
        return None


def _run(hand: Hand) -> BaseException | None:
    """What was raised."""
    job = hand.job
    job._hand = hand
    if hand.plan.is_async and _loop.running() is not None:
        job.release()
        raise MisuseError("an event loop runs in this thread: run_due of a coroutine function is for other tests")
    value, error = asyncio.run(call_async(hand)) if hand.plan.is_async else call_sync(hand, _await)
    if error is None and hand.plan.save_result:
        job.queue.save_result(job.id, value, hand.plan.result_ttl_s)
    settlement(job, hand.plan, error).apply()
    return error


def _await(hand: Hand, value: Awaitable[Any]) -> Any:
    if _loop.running() is not None:
        if inspect.iscoroutine(value):
            value.close()
        raise MisuseError("an event loop runs in this thread: nothing can be awaited")

    async def wait() -> Any:
        return await value

    return asyncio.run(wait())


def _has(given: Any, wanted: Any) -> bool:
    wanted = json.loads(json.dumps(wanted))
    if isinstance(wanted, dict):
        return isinstance(given, dict) and all(key in given and _has(given[key], one) for key, one in wanted.items())
    return bool(given == wanted)
