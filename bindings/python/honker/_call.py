"""Calls a handler for the job in a hand, within what stands around jobs."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any

from ._hand import Hand, current

if TYPE_CHECKING:
    from .job import Job

JobMiddleware = Callable[["Job"], AbstractContextManager[Any] | AbstractAsyncContextManager[Any]]
Reporter = Callable[[BaseException, "Job"], object]

# Around each job that a worker of this process runs, the first outermost; and what is told of each failure.
middlewares: list[JobMiddleware] = []
reporters: list[Reporter] = []


async def call_async(hand: Hand) -> tuple[Any, BaseException | None]:
    """What it returns, or raises. All is contained: asyncio would end the loop for some of it. Middleware may suppress
    what was raised.
    """
    value = None
    try:
        async with AsyncExitStack() as stack:
            for middleware in _around(hand, stack):
                context = middleware(hand.job)
                if isinstance(context, AbstractContextManager):
                    stack.enter_context(context)
                else:
                    await stack.enter_async_context(context)
            value = await finish(hand.plan.call())
        return value, None
    except BaseException as error:
        return None, error


def call_sync(hand: Hand, wait: Callable[[Hand, Awaitable[Any]], Any]) -> tuple[Any, BaseException | None]:
    """The same for a plain function, in its thread. If what it returns can be awaited, `wait` does."""
    value = None
    try:
        with ExitStack() as stack:
            for middleware in _around(hand, stack):
                context = middleware(hand.job)
                if not isinstance(context, AbstractContextManager):
                    raise TypeError(f"{middleware!r} is for coroutine functions alone: it has no __enter__")
                stack.enter_context(context)
            value = _finished(hand.plan.call())
            if inspect.isawaitable(value):
                value = wait(hand, finish(value))
        return value, None
    except BaseException as error:
        return None, error


async def finish(value: Awaitable[Any]) -> Any:
    """What comes of it in the end."""
    while inspect.isawaitable(value):
        value = _finished(await value)
    return value


def _finished(value: Any) -> Any:
    """What was returned, unless nothing has run yet."""
    if inspect.isasyncgen(value) or inspect.isgenerator(value) and not inspect.isawaitable(value):
        raise TypeError(f"{value!r} was returned: a generator does nothing when it is called, and is no handler")
    return value


def _around(hand: Hand, stack: ExitStack | AsyncExitStack) -> Iterable[JobMiddleware]:
    stack.callback(current.reset, current.set(hand))
    return list(middlewares)
