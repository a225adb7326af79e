"""The event loop that runs in this thread, asyncio's (uvloop's, too) or trio's, and threads for what has to wait
there.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Waiting(threading.local):
    """How the calls of this thread wait for the writer: not at all, or until `check` raises."""

    never = False
    check: Callable[[], object] | None = None


waiting = Waiting()


class Stopped(BaseException):
    """A call that waited in a thread has been given up. It has done nothing."""


def _trio() -> Any:
    """The module, if this code runs in it."""
    trio = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        trio.lowlevel.current_trio_token()
    except RuntimeError:
        return None
    return trio


def running() -> Loop | None:
    """The loop of this thread; None without one."""
    trio = _trio()
    if trio is not None:
        return TrioLoop(trio)
    try:
        return AsyncioLoop(asyncio.get_running_loop())
    except RuntimeError:
        return None


def required() -> Loop:
    loop = running()
    if loop is None:
        raise RuntimeError("there is no running event loop")
    return loop


async def beside(other: Coroutine[Any, Any, object], function: Callable[[], Awaitable[T]]) -> T:
    return await required().beside(other, function)


class Loop(Protocol):
    """What differs between asyncio and trio."""

    @property
    def key(self) -> Any:
        """Of which there is one for each loop."""
        ...

    def sleep(self, seconds: float) -> Awaitable[None]: ...

    async def in_thread(self, pool: Pool, function: Callable[[], T], undo: Callable[[T], object] | None) -> T:
        """Calls it in a thread. If the task is cancelled meanwhile the thread ends soon, and what it has done is
        undone.
        """
        ...

    async def run_sync(self, function: Callable[[], T]) -> T:
        """Calls what is not honker's in a thread, which is abandoned if the task is cancelled."""
        ...

    async def beside(self, other: Coroutine[Any, Any, object], function: Callable[[], Awaitable[T]]) -> T:
        """Awaits the function's, and runs the other meanwhile, which is cancelled then."""
        ...

    def is_foreign(self, error: BaseException) -> bool:
        """Whether it is the cancellation of something that the calling task has awaited, and not its own."""
        ...

    def call_soon(self, function: Callable[[], object]) -> None:
        """Calls it in the loop; for any thread."""
        ...

    def watch(self, descriptor: int, readable: Callable[[], object]) -> Callable[[], None]:
        """Calls `readable` whenever there is something to read, until what this returns is called."""
        ...

    def event(self) -> Event: ...


class Event(Protocol):
    """Set once, and waited for by one task."""

    def set(self) -> None: ...

    async def wait(self, timeout: float | None) -> None: ...


class Pool:
    """A few threads, in which calls wait for the writer one after the other. They are made when one is needed."""

    THREADS = 4

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._limiter: Any = None

    @property
    def executor(self) -> ThreadPoolExecutor:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self.THREADS, thread_name_prefix="honker-writer")
        return self._executor

    def limiter(self, trio: Any) -> Any:
        if self._limiter is None:
            self._limiter = trio.CapacityLimiter(self.THREADS)
        return self._limiter

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False)


def _stoppable(function: Callable[[], T], check: Callable[[], object]) -> T:
    waiting.check = check
    try:
        return function()
    finally:
        waiting.check = None


class AsyncioLoop:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.key = loop

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def in_thread(self, pool: Pool, function: Callable[[], T], undo: Callable[[T], object] | None) -> T:
        stop = threading.Event()

        def check() -> None:
            if stop.is_set():
                raise Stopped

        context = contextvars.copy_context()
        future = self.key.run_in_executor(pool.executor, lambda: context.run(_stoppable, function, check))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            stop.set()
            while not future.done():
                try:
                    await asyncio.wait([future])
                except asyncio.CancelledError:
                    continue  # the thread ends at once; what it has done has to be known
            if not future.cancelled() and future.exception() is None and undo is not None:
                undo(future.result())
            raise

    async def run_sync(self, function: Callable[[], T]) -> T:
        return await asyncio.to_thread(function)

    async def beside(self, other: Coroutine[Any, Any, object], function: Callable[[], Awaitable[T]]) -> T:
        task = asyncio.create_task(other)
        try:
            return await function()
        finally:
            task.cancel()

    def is_foreign(self, error: BaseException) -> bool:
        task = asyncio.current_task()
        return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() == 0

    def call_soon(self, function: Callable[[], object]) -> None:
        try:
            self.key.call_soon_threadsafe(function)
        except RuntimeError:
            pass  # it is closed, and nobody waits there any more

    def watch(self, descriptor: int, readable: Callable[[], object]) -> Callable[[], None]:
        self.key.add_reader(descriptor, readable)
        key = weakref.ref(self.key)  # what is watched for longer than somebody waits does not keep the loop alive

        def stop() -> None:
            loop = key()
            if loop is not None and not loop.is_closed():
                loop.remove_reader(descriptor)

        return stop

    def event(self) -> AsyncioEvent:
        return AsyncioEvent(self.key)


class AsyncioEvent:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future = loop.create_future()

    def set(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self, timeout: float | None) -> None:
        timer = None if timeout is None else self._loop.call_later(timeout, self.set)
        try:
            await self._future
        finally:
            if timer is not None:
                timer.cancel()


class TrioLoop:
    def __init__(self, trio: Any) -> None:
        self._trio = trio
        self.key = trio.lowlevel.current_trio_token()

    async def sleep(self, seconds: float) -> None:
        await self._trio.sleep(seconds)

    async def in_thread(self, pool: Pool, function: Callable[[], T], undo: Callable[[T], object] | None) -> T:
        # It is not abandoned: what has been done is the result, and a cancellation strikes at the next checkpoint.
        trio = self._trio
        result: T = await trio.to_thread.run_sync(
            _stoppable, function, trio.from_thread.check_cancelled, limiter=pool.limiter(trio)
        )
        return result

    async def run_sync(self, function: Callable[[], T]) -> T:
        result: T = await self._trio.to_thread.run_sync(function, abandon_on_cancel=True)
        return result

    async def beside(self, other: Coroutine[Any, Any, object], function: Callable[[], Awaitable[T]]) -> T:
        async def run() -> None:
            await other

        try:
            async with self._trio.open_nursery() as nursery:
                nursery.start_soon(run)
                try:
                    return await function()
                finally:
                    nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        raise AssertionError("unreachable")

    def is_foreign(self, error: BaseException) -> bool:
        return False

    def call_soon(self, function: Callable[[], object]) -> None:
        try:
            self.key.run_sync_soon(function)
        except self._trio.RunFinishedError:
            pass

    def watch(self, descriptor: int, readable: Callable[[], object]) -> Callable[[], None]:
        trio, scope = self._trio, self._trio.CancelScope()

        async def poll() -> None:
            with scope:
                try:
                    while not scope.cancel_called:
                        await trio.lowlevel.wait_readable(descriptor)
                        readable()
                except trio.ClosedResourceError:
                    pass  # stopped

        trio.lowlevel.spawn_system_task(poll)

        def stop() -> None:
            # The descriptor may be closed now: trio must not look at it any more.
            scope.cancel()
            trio.lowlevel.notify_closing(descriptor)

        return stop

    def event(self) -> TrioEvent:
        return TrioEvent(self._trio)


class TrioEvent:
    def __init__(self, trio: Any) -> None:
        self._trio = trio
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, timeout: float | None) -> None:
        with self._trio.move_on_after(float("inf") if timeout is None else timeout):
            await self._event.wait()
