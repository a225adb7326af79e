"""What everything that waits has in common: claims, listeners, subscriptions, updates, leaders.

One thread or task uses it at a time; `wake` and `close` are for any.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import _abi, _loop, _values
from ._library import lib
from .errors import ClosedError, ForkedError, InterruptedError, MisuseError

if TYPE_CHECKING:
    from ._dispatcher import Dispatcher, Place
    from .database import Database

T = TypeVar("T")

# How often who claims looks without having been woken, and who reads.
WORKER_FALLBACK_S = 5.0
READER_FALLBACK_S = 15.0


def _release(dispatcher: Dispatcher, place: Place, free: str, handle: int, pid: int) -> None:
    dispatcher.leave(place)
    if handle and os.getpid() == pid:
        getattr(lib, free)(handle)


class Consumer:
    """A native consumer and its place at a dispatcher.

    It is made at once, so that nothing is missed from here on: in the running event loop, or for the thread or loop
    that uses it first. `private` is for those that a thread of a loop waits for without awaiting.
    """

    _free = ""

    def __init__(self, database: Database, make: Callable[..., Any], *arguments: Any, private: bool = False) -> None:
        self._database = database
        self._dispatcher = database._dispatcher(private=private)
        self._place = self._dispatcher.enter()
        self._busy = False
        self._closed = False
        # Whether the last wait was ended by `wake`.
        self.woken: bool = False
        self._lock = threading.Lock()
        self._finalizer: weakref.finalize[..., Any] | None = None
        try:
            self._handle = database._new(make, database._handle, self._dispatcher.waiter, self._place.token, *arguments)
        except BaseException:
            self._dispatcher.leave(self._place)
            raise
        self._finalizer = weakref.finalize(
            self, _release, self._dispatcher, self._place, self._free, self._handle, os.getpid()
        )
        self._finalizer.atexit = False
        database._consumers.add(self)

    @property
    def path(self) -> str:
        """That of the database."""
        return self._database.path

    @property
    def closed(self) -> bool:
        return self._closed or self._database.closed

    def wake(self) -> None:
        """Ends the wait that is running, or else the next one, as if its time were over; `woken` tells. For any
        thread.
        """
        self._check_open()
        self._place.woken = True
        self._dispatcher.wake(self._place)

    def close(self) -> None:
        """Ends the wait that is running, and all later ones. Closing again does nothing. For any thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._busy:
                self._dispatcher.wake(self._place)
                return
        self._part()
        self._release()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()

    def __enter__(self: T) -> T:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self: T) -> T:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._database._name}{' (closed)' if self.closed else ''}>"

    def _part(self) -> None:
        """What is to be done before the handle is freed."""

    def _release(self) -> None:
        self._database._consumers.discard(self)
        if self._finalizer is not None:
            self._finalizer()
        self._handle = 0

    def _closed_error(self) -> ClosedError:
        if self._database.closed:
            return self._database._closed_error()
        return ClosedError(f"this {type(self).__name__} has been closed")

    def _check_open(self) -> None:
        if self._database._pid != os.getpid():
            raise ForkedError(f"{self._database._name} was opened before this process was forked: open it again")
        if self.closed:
            raise self._closed_error()

    def _found(self, status: int) -> bool:
        """Whether a call that looks, without waiting, has found something."""
        if status == _abi.CLOSED:
            raise self._closed_error()
        return status == _abi.OK

    # Waiting: `look` answers None if there is nothing.

    def _wait(self, look: Callable[[], T | None], timeout: float | None = None) -> T | None:
        """In this thread; None if the time is over, or somebody woke it."""
        timeout = _values.timeout(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        self._begin()
        try:
            interrupts = self._database._interrupts
            while True:
                self._place.signalled = False
                found = look()
                if found is not None:
                    return found
                if self._is_over(interrupts, deadline):
                    return None
                self._dispatcher.wait(self._place, deadline)
        finally:
            self._end()

    async def _await(
        self, look: Callable[[], T | None], timeout: float | None = None, undo: Callable[[T], object] | None = None
    ) -> T | None:
        """In this task. What was found in a thread while the task was cancelled is given to `undo`."""
        timeout = _values.timeout(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        self._begin()
        try:
            interrupts = self._database._interrupts
            while True:
                self._place.signalled = False
                found = await self._database._arun(look, undo=lambda found: found and undo and undo(found))
                if found is not None:
                    return found
                if self._is_over(interrupts, deadline):
                    return None
                await self._dispatcher.await_(self._place, deadline)
        finally:
            self._end()

    def _is_over(self, interrupts: int, deadline: float | None) -> bool:
        if self.closed:
            raise self._closed_error()
        if interrupts != self._database._interrupts:
            raise InterruptedError("ended by interrupt")
        self.woken = self._place.take_wake()
        return self.woken or (deadline is not None and time.monotonic() >= deadline)

    # What ends an iteration: that this was closed, not that the database was.

    def _unless_closed(self, call: Callable[[], T]) -> T | None:
        if _loop.running() is not None:
            raise MisuseError("an event loop runs in this thread: use async for, or anext")
        try:
            return None if self._closed else call()
        except ClosedError:
            if self._closed and not self._database.closed:
                return None
            raise

    async def _aunless_closed(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        try:
            return None if self._closed else await call()
        except ClosedError:
            if self._closed and not self._database.closed:
                return None
            raise

    def _begin(self) -> None:
        """One at a time: a second one would take the wakes of the first."""
        with self._lock:
            self._check_open()
            if self._busy:
                raise MisuseError(f"another thread or task uses this {type(self).__name__}")
            self._busy = True

    def _end(self) -> None:
        with self._lock:
            self._busy = False
            is_closed = self.closed
        if is_closed:
            self._part()
            self._release()


class Iterator(Consumer, Generic[T]):
    """One thing after the other, for threads (`for`, `next`) and tasks (`async for`, `anext`)."""

    def next(self, timeout: float | None = None) -> T | None:
        """The next one; None if `timeout` seconds are over (None: without end, 0: not at all), or `wake` was called."""
        return self._wait(self._look, timeout)

    async def anext(self, timeout: float | None = None) -> T | None:
        """As `next`, in a task."""
        return await self._await(self._look, timeout, self._undo)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        found = self._unless_closed(self.next)
        if found is None:
            raise StopIteration
        return found

    def __aiter__(self) -> Iterator[T]:
        return self

    async def __anext__(self) -> T:
        found = await self._aunless_closed(self.anext)
        if found is None:
            raise StopAsyncIteration
        return found

    def _look(self) -> T | None:
        raise NotImplementedError

    def _undo(self, found: T) -> None:
        """Nobody gets it, since the task was cancelled."""
