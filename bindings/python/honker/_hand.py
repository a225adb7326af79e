"""Jobs in the hands of a worker: what runs for each, and how its handler is told to end.

A hand belongs to the loop of its worker. `reason` is read by the handler's thread as well.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any

from .outcome import Discard, JobCancelled

if TYPE_CHECKING:
    from ._processes import Child
    from .job import Job
    from .task import Plan

current: contextvars.ContextVar[Hand] = contextvars.ContextVar("honker_job")
_lock = threading.Lock()


class Hand:
    """One job, from its claim until its handler has returned."""

    __slots__ = ("_event", "held", "job", "plan", "process", "reason", "settled", "task", "timer", "unsaved")

    def __init__(self, job: Job, plan: Plan) -> None:
        self.job = job
        self.plan = plan
        # Whether what the handler does still decides what becomes of the job.
        self.held = True
        self.reason: str | None = None
        # A step that has run, and is not saved: the job has no further attempt.
        self.unsaved: Discard | None = None
        # The handler settles the job by itself.
        self.settled = False
        self.task: asyncio.Future[Any] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.process: Child | None = None
        self._event: threading.Event | None = None

    def discard(self, unsaved: Discard) -> None:
        """Says that the job has no further attempt, whatever its handler makes of that. For the handler's thread."""
        self.unsaved = unsaved

    def settles(self) -> None:
        """Says that the handler is about to settle the job: that it is gone then is no news to it. For its thread."""
        self.settled = True

    def outcome(self, error: BaseException | None) -> BaseException | None:
        """What counts of what the handler has raised: no failure after `discard` brings the job back to life."""
        return error if error is None or self.unsaved is None else self.unsaved

    def cancel(self, reason: str) -> None:
        """Tells the handler. For the worker's loop."""
        if self.reason is not None or (self.settled and reason == "gone"):
            return
        with _lock:
            self.reason = reason
            event = self._event
        if event is not None:
            event.set()
        if self.task is not None:
            self.task.cancel()
        if self.process is not None:
            self.process.cancel(reason)

    def check(self) -> None:
        if self.reason is not None:
            raise JobCancelled(self.reason)

    def wait(self, timeout: float | None) -> bool:
        with _lock:
            if self.reason is not None:
                return True
            if self._event is None:
                self._event = threading.Event()
            event = self._event
        return event.wait(timeout)


def current_job() -> Job:
    """The job that the calling handler, or what it has called, runs for. RuntimeError elsewhere."""
    try:
        return current.get().job
    except LookupError:
        raise RuntimeError("no job runs here") from None
