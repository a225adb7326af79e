"""One attempt of a task: its context, its signals, and what is recorded of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from traceback import format_exception
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections

from honker._hand import current
from honker._outcomes import is_cancellation
from honker.outcome import Discard, Retryable, Snooze

from . import store
from .backend import HonkerBackend, moment
from .compat import TaskContext, TaskError, TaskResultStatus, normalize_json, task_finished, task_started

Save = Callable[[str, dict[str, Any]], object]


class Execution:
    """`save` keeps a step of the job. It is made in the worker's event loop, where Django allows no look at a database;
    the rest is for threads, and for tasks that are coroutine functions.

    Raises TaskResultDoesNotExist if the job is no task.
    """

    result: Any

    def __init__(self, backend: HonkerBackend, row: store.Row, worker_id: str, save: Save) -> None:
        self.task: Any = backend.task_of(row.payload)[0]
        self._backend = backend
        self._row = row
        self._worker_id = worker_id
        self._save = save

    def run(self) -> Any:
        """What the function returns, as JSON has it."""
        _close_old_connections()
        try:
            arguments = self._begin()
            try:
                return self._succeeded(self.task.func(*arguments, **self.result.kwargs))
            except BaseException as error:
                self._failed(error)
                raise
        finally:
            _close_old_connections()

    async def arun(self) -> Any:
        """The same for a coroutine function."""
        arguments = await sync_to_async(self._begin)()
        try:
            value = await self.task.func(*arguments, **self.result.kwargs)
            return await sync_to_async(self._succeeded)(value)
        except BaseException as error:
            await sync_to_async(self._failed)(error)
            raise

    def _begin(self) -> list[Any]:
        now = time.time()
        self.result = self._backend.result_of(self._row)
        self._save(f"attempt {self._row.attempts}", {"at": now, "worker_id": self._worker_id})
        self._set(status=TaskResultStatus.RUNNING, last_attempted_at=moment(now))
        if self.result.started_at is None:
            self._set(started_at=moment(now))
        self.result.worker_ids.append(self._worker_id)
        task_started.send(type(self._backend), task_result=self.result)
        context = [TaskContext(task_result=self.result)] if self.task.takes_context else []
        return [*context, *self.result.args]

    def _succeeded(self, value: Any) -> Any:
        try:
            value = normalize_json(value)
        except (TypeError, ValueError) as error:  # what has run is not run again for that
            raise Discard(f"what the task returned is not JSON: {error}") from error
        self._set(status=TaskResultStatus.SUCCESSFUL, finished_at=moment(time.time()), _return_value=value)
        # What a receiver raises is logged: the task has run, and is not run again for that.
        task_finished.send_robust(type(self._backend), task_result=self.result)
        return value

    def _failed(self, error: BaseException) -> None:
        hand = current.get(None)
        if hand is not None:
            error = hand.outcome(error) or error
        is_given_back = hand is not None and hand.reason == "stop" and is_cancellation(error)
        if self.result.is_finished or isinstance(error, Snooze) or is_given_back:
            return
        kind = type(error)
        recorded = {
            "exception_class_path": f"{kind.__module__}.{kind.__qualname__}",
            "traceback": "".join(format_exception(error)).encode(errors="replace").decode(),
        }
        self._save(f"error {self._row.attempts}", recorded)
        self.result.errors.append(TaskError(**recorded))
        if isinstance(error, Discard) or self._row.attempts >= self._row.max_attempts:
            self._set(status=TaskResultStatus.FAILED, finished_at=moment(time.time()))
            task_finished.send_robust(type(self._backend), task_result=self.result)
        else:
            self._set(status=TaskResultStatus.READY)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self.result, name, value)


def _close_old_connections() -> None:
    """As between requests; but a test's transaction is on its connection."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def delay_of(task: Any, error: BaseException) -> int | None:
    """In how many seconds it is tried again, where no worker's backoff says so; None for never."""
    if isinstance(error, Discard):
        return None
    if isinstance(error, Retryable | Snooze) and error.delay_s is not None:
        return error.delay_s
    delay: int | None = getattr(task, "retry_delay_s", None)
    return 15 if delay is None else delay
