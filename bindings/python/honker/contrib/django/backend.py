"""The backend of Django's Tasks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connections

from honker.connection import enqueue_on
from honker.task import KEY, envelope

from . import checks, store
from .compat import (
    BaseTaskBackend,
    InvalidTask,
    Task,
    TaskError,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    normalize_json,
    task_enqueued,
)

KEEP_DONE_S = 86_400
MAX_ATTEMPTS = 3
_STATUSES = {
    "ready": TaskResultStatus.READY,
    "running": TaskResultStatus.RUNNING,
    "done": TaskResultStatus.SUCCESSFUL,
    "dead": TaskResultStatus.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HonkerTask(Task):  # type: ignore[misc]
    """A task with options of honker's, for `@task(...)` since Django 6.1.

    max_attempts: how often it may be tried; None: as OPTIONS["MAX_ATTEMPTS"] says.
    retry_delay_s: in how many seconds it is tried again; None: by the worker's backoff.
    timeout_s: after which it is tried again, and cancelled; None: never.
    """

    max_attempts: int | None = None
    retry_delay_s: int | None = None
    timeout_s: float | None = None


class HonkerBackend(BaseTaskBackend):  # type: ignore[misc]
    """Tasks in a database of the project, SQLite or Postgres.

    OPTIONS: DATABASE, the alias of the database ("default"); KEEP_DONE_S, for how many seconds finished tasks and their
    return values can be asked for (86400); MAX_ATTEMPTS, how often a task may be tried (3).
    """

    task_class = HonkerTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.database: str = self.options.get("DATABASE", "default")
        self.keep_done_s: int = self.options.get("KEEP_DONE_S", KEEP_DONE_S)
        self.max_attempts: int = self.options.get("MAX_ATTEMPTS", MAX_ATTEMPTS)

    @property
    def connection(self) -> Any:
        """That of the calling thread."""
        return connections[self.database]

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Part of the transaction that is open, and otherwise committed when it returns."""
        self.validate_task(task)
        args, kwargs = normalize_json(list(args)), normalize_json(dict(kwargs))
        id = enqueue_on(
            self.connection,
            task.queue_name,
            envelope(task.module_path, args, kwargs),
            priority=int(task.priority),
            run_at=task.run_after,
            max_attempts=getattr(task, "max_attempts", None) or self.max_attempts,
        )
        result = TaskResult(
            task=task,
            id=str(id),
            status=TaskResultStatus.READY,
            enqueued_at=datetime.now(UTC).replace(microsecond=0),
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=args,
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        is_id = str(result_id).isdecimal() and len(str(result_id)) < 20 and int(result_id) < 2**63
        row = store.find(self.connection, int(result_id)) if is_id else None
        if row is None:
            raise TaskResultDoesNotExist(f"there is no task of id {result_id}, or no longer")
        return self.result_of(row)

    def result_of(self, row: store.Row) -> Any:
        task, args, kwargs = self.task_of(row.payload)
        steps = store.steps(self.connection, row.id)
        attempts = [steps[name] for i in range(1, row.attempts + 1) if (name := f"attempt {i}") in steps]
        errors = [TaskError(**steps[name]) for i in range(1, row.attempts + 1) if (name := f"error {i}") in steps]
        if row.state == "dead" and (not errors or row.last_error and errors[-1].traceback not in row.last_error):
            if not errors or f"error {row.attempts}" not in steps:
                errors.append(TaskError(exception_class_path="honker.TaskFailed", traceback=row.last_error or ""))
        ended_at: float | None = row.ended_at
        if ended_at is not None and attempts:  # the file has whole seconds
            ended_at = max(ended_at, attempts[-1]["at"])
        result = TaskResult(
            task=self._as_enqueued(task, row),
            id=str(row.id),
            status=_STATUSES[row.state],
            enqueued_at=moment(row.created_at),
            started_at=moment(attempts[0]["at"]) if attempts else None,
            last_attempted_at=moment(attempts[-1]["at"]) if attempts else None,
            finished_at=moment(ended_at),
            args=args,
            kwargs=kwargs,
            backend=self.alias,
            errors=errors,
            worker_ids=[attempt["worker_id"] for attempt in attempts],
        )
        if row.state == "done":
            object.__setattr__(result, "_return_value", store.result(self.connection, row.id))
        return result

    def _as_enqueued(self, task: Any, row: store.Row) -> Any:
        """With its queue, priority and backend, and with `run_after` until it is tried; unless the settings do not
        allow those any more.
        """
        is_deferred = row.attempts == 0 and row.run_at > row.created_at
        run_after = moment(row.run_at) if is_deferred else None
        try:
            return task.using(priority=row.priority, queue_name=row.queue, run_after=run_after, backend=self.alias)
        except InvalidTask:
            return task

    def task_of(self, payload: str) -> tuple[Any, list[Any], dict[str, Any]]:
        """The task, as its module has it, and the arguments. TaskResultDoesNotExist if the job is no task, or one that
        is not there any more.
        """
        try:
            inner = json.loads(payload)[KEY]
            path, args, kwargs = str(inner["task"]), list(inner["args"]), dict(inner["kwargs"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise TaskResultDoesNotExist("the job is no task of Django's") from error
        try:
            return import_task(path), args, kwargs
        except ImportError as error:
            raise TaskResultDoesNotExist(str(error)) from error

    def check(self, **kwargs: Any) -> list[Any]:
        return checks.check(self)


def import_task(path: str) -> Any:
    """ImportError if there is none."""
    from django.utils.module_loading import import_string

    found = import_string(path)
    if not isinstance(found, Task):
        raise ImportError(f"{path} is no task, but a {type(found).__name__}")
    return found


def moment(seconds: int | float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
