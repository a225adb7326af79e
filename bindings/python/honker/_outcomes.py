"""What becomes of a job by what its handler has raised, and what is said of that in the log."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import _values
from .claim import Settlement
from .errors import JobLost
from .outcome import Discard, JobCancelled, Retryable, Snooze

if TYPE_CHECKING:
    from .job import Job
    from .task import Plan

log = logging.getLogger("honker.worker")

ERROR_CHARACTERS = 20_000
# In how many seconds a job is tried again where no backoff says so.
RETRY_S = 60


def message(error: BaseException) -> str:
    """What it says, which may raise again."""
    try:
        text = str(error) or type(error).__name__
    except BaseException as second:
        text = f"{type(error).__name__}, which cannot say what happened: that raises {type(second).__name__}"
    return _writable(text)


def _writable(text: str) -> str:
    """What the file takes of it."""
    return text[:ERROR_CHARACTERS].replace("\0", "\N{SYMBOL FOR NULL}").encode(errors="replace").decode()


def report(error: BaseException) -> str:
    """The same with where it comes from, for the dead."""
    try:
        trace = "".join(traceback.format_exception(error))
    except BaseException:
        trace = ""
    return _writable(f"{message(error)}\n{trace}".rstrip())


class JobSettlement(Settlement):
    """A settlement, and the job that it is of. `delay_s` None: by the worker's, or the queue's, backoff."""

    def __init__(self, job: Job, kind: str, delay_s: int | None = None, error: str = "") -> None:
        super().__init__(job.id, job.serial, kind, delay_s, error)
        self.job = job

    def apply(self) -> bool:
        """Settles it by itself, for those who have no worker. False if the claim was lost."""
        match self.kind:
            case "ack":
                return self.job.ack()
            case "fail":
                return self.job.fail(self.error)
            case "retry":
                return self.job.retry(RETRY_S if self.delay_s is None else self.delay_s, self.error)
        return self.job.snooze(self.delay_s or 0)


def settlement(job: Job, plan: Plan, error: BaseException | None) -> JobSettlement:
    """None for what returned."""
    try:
        return _settlement(job, plan, error)
    except Exception as wrong:  # a subclass of ours without what it should have
        return JobSettlement(job, "retry", plan.retry_delay_s, report(wrong))


def _settlement(job: Job, plan: Plan, error: BaseException | None) -> JobSettlement:
    match error:
        case None:
            return JobSettlement(job, "ack")
        case Snooze():
            return JobSettlement(job, "snooze", _values.seconds(error.delay_s, "delay_s"), message(error))
        case Discard():
            return JobSettlement(job, "fail", error=message(error))
        case Retryable():
            delay_s = plan.retry_delay_s if error.delay_s is None else _values.seconds(error.delay_s, "delay_s")
            return JobSettlement(job, "retry", delay_s, message(error))
    return JobSettlement(job, "retry", plan.retry_delay_s, report(error))


def is_failure(error: BaseException | None) -> bool:
    return error is not None and not isinstance(error, Snooze)


def is_cancellation(error: BaseException | None) -> bool:
    return isinstance(error, JobCancelled | JobLost | asyncio.CancelledError)


def report_failure(
    one: JobSettlement, error: BaseException, reporters: list[Callable[[BaseException, Job], object]]
) -> None:
    """In the log, and to each reporter: what one raises is logged, and harms nobody."""
    job = one.job
    dead = one.kind == "fail" or job.attempts >= job.max_attempts
    if dead:
        then = "it is dead now"
    else:
        then = "next try by the backoff" if one.delay_s is None else f"next try in {one.delay_s} s"
    trace = None if isinstance(error, Discard | Retryable) else error
    log.error(
        "job %d of %s failed, attempt %d of %d, %s: %s",
        job.id,
        job.queue_name,
        job.attempts,
        job.max_attempts,
        then,
        message(error),
        exc_info=(type(trace), trace, trace.__traceback__) if trace is not None else None,
    )
    for reporter in list(reporters):
        try:
            reporter(error, job)
        except BaseException:
            log.exception("an error reporter raised")
