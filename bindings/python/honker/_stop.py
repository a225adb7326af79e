"""Events of the user's that end a loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

# How often one is asked that cannot be waited for.
CHECK_S = 0.1


class Stop(Protocol):
    """asyncio.Event, threading.Event, multiprocessing.Event, trio.Event, anyio.Event."""

    def is_set(self) -> bool: ...


class Stopping:
    """Whether to stop; `check_s` is how long one may wait before asking again, None if one is woken."""

    def __init__(self, event: Stop | None, check_s: float | None) -> None:
        self._event = event
        self.check_s = check_s

    def __call__(self) -> bool:
        return self._event is not None and self._event.is_set()


@asynccontextmanager
async def stopping(event: Stop | None, consumer: Any) -> AsyncIterator[Stopping]:
    """The consumer is woken when the event is set, if that can be waited for."""
    if event is not None and not hasattr(event, "is_set"):
        raise TypeError(f"stop_event has to be an event, not {type(event).__name__}")
    if not isinstance(event, asyncio.Event):
        yield Stopping(event, None if event is None else CHECK_S)
        return

    async def wake() -> None:
        await event.wait()
        if not consumer.closed:
            consumer.wake()

    task = asyncio.create_task(wake())
    try:
        yield Stopping(event, None)
    finally:
        task.cancel()
