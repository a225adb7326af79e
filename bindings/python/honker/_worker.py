"""One claimed job and its handler, without a worker: for those who have a loop of their own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from . import _outcomes
from ._call import call_async, call_sync, finish, reporters
from ._hand import Hand
from .job import Job
from .outcome import Retryable
from .task import Plan, is_coroutine_function

log = logging.getLogger("honker.worker")

# What the file takes of a delay.
_LONGEST_S = 2**62


def _compute_delay(retry_delay: float, backoff: float, attempts: int) -> int:
    """In how many whole seconds a job is due again that has had so many attempts."""
    try:
        return int(min(max(retry_delay * float(backoff) ** (attempts - 1), 0), _LONGEST_S))
    except OverflowError:
        return _LONGEST_S


async def run_task(
    job: Job,
    handler: Callable[[Job], Any],
    *,
    timeout: float | None,
    retries: int,
    retry_delay: float = 60.0,
    backoff: float = 1.0,
    save_result: bool = False,
    result_ttl: float | None = 3600.0,
) -> None:
    """Calls the handler, a coroutine function, or a function, in a thread, and settles the job: acked if it returns,
    and what it returns is saved before, if that is asked for; retried in `retry_delay * backoff ** (attempts - 1)`
    seconds, or as `Retryable` says, if it raises, or takes longer than `timeout` seconds; dead if the job has had
    `retries` attempts. A thread that takes longer goes on.

    If the task is cancelled the job is given back, or is dead if a step of it is not saved.
    """
    delay_s = _compute_delay(retry_delay, backoff, job.attempts)
    plan = Plan(lambda: handler(job), is_coroutine_function(handler), retry_delay_s=delay_s)
    hand = job._hand = Hand(job, plan)
    value, error = None, None
    try:
        value, error = await asyncio.wait_for(_called(hand), timeout)
    except asyncio.CancelledError as cancelled:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            hand.cancel("stop")
            if hand.unsaved is None:
                job.release()
            else:
                job.fail(_outcomes.message(hand.unsaved))
            raise
        error = cancelled  # the handler's own
    except TimeoutError:
        hand.cancel("timeout")
        error = Retryable(f"timeout after {timeout:g}s", delay_s)
    error = hand.outcome(error)
    one = _outcomes.settlement(job, plan, error)
    if one.kind == "retry" and job.attempts >= retries:
        one.kind = "fail"
    if error is None and save_result:
        await _save(job, value, result_ttl)
    elif error is not None and _outcomes.is_failure(error):
        _outcomes.report_failure(one, error, reporters)
    await job._database._arun(one.apply)


async def _called(hand: Hand) -> tuple[Any, BaseException | None]:
    if hand.plan.is_async:
        value, error = await call_async(hand)
    else:
        loop = asyncio.get_running_loop()
        value, error = await asyncio.to_thread(
            call_sync, hand, lambda _, value: asyncio.run_coroutine_threadsafe(finish(value), loop).result()
        )
    if isinstance(error, asyncio.CancelledError):
        raise error
    return value, error


async def _save(job: Job, value: Any, ttl: float | None) -> None:
    try:
        await job.queue._database.asave_result(job.id, value, ttl)
    except Exception:
        log.exception("the result of job %d of %s cannot be saved", job.id, job.queue_name)
