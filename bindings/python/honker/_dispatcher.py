"""A native waiter and the consumers that wait there: one for each database and event loop, and one for each consumer
that was made outside of a loop, which a thread or a loop may use.

In a loop its descriptor is watched while a task waits, and after that until there is something that no task waits for:
to begin and end that with each short rest would cost more than the rest. A thread polls it, so that signals are
handled, and Ctrl-C ends the wait. Nobody reads the descriptor: the library is asked which consumers have something.
"""

from __future__ import annotations

import ctypes
import os
import select
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _abi, _loop
from ._library import lib
from .errors import MisuseError

if TYPE_CHECKING:
    from .database import Database

# How many consumers are named by one call. More stay ready.
TOKENS = 64
# What poll takes is an int of C's.
POLL_MAX_S = 86_400
# How long a thread waits natively where there is no poll (Windows), between looks at signals.
SLICE_MS = 100


class Place:
    """A consumer's. `signalled` says that it may have something, and stays until it looks."""

    __slots__ = ("_event", "signalled", "token", "woken")

    def __init__(self, token: int) -> None:
        self.token = token
        self.signalled = False
        self.woken = False
        self._event: Callable[[], None] | None = None

    def signal(self) -> None:
        self.signalled = True
        event = self._event
        if event is not None:
            event()

    def take_wake(self) -> bool:
        """Whether somebody has woken it since this was last asked."""
        woken, self.woken = self.woken, False
        return woken


class Dispatcher:
    """`wait` is for one thread, `await_` for the tasks of one loop, the others for any thread."""

    def __init__(self, database: Database, loop: _loop.Loop | None) -> None:
        # Of the loop that it is for: not kept alive, and None while it is nobody's.
        self._key: weakref.ref[Any] | None = None if loop is None else weakref.ref(loop.key)
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._places: dict[int, Place] = {}
        self._last_token = 0
        self._waiting = 0
        self._stop_watching: Callable[[], None] | None = None
        self._closed = False
        self._tokens = (ctypes.c_uint64 * TOKENS)()
        out = ctypes.c_int64()
        self.waiter = database._new(lib.honker_waiter_new, database._handle)
        try:
            database._call(lib.honker_waiter_fd, self.waiter, ctypes.byref(out))
        except BaseException:
            lib.honker_waiter_free(self.waiter)
            raise
        self._descriptor = out.value

    def __del__(self) -> None:
        if getattr(self, "waiter", 0) and self._pid == os.getpid():
            lib.honker_waiter_free(self.waiter)

    def enter(self) -> Place:
        with self._lock:
            self._last_token += 1
            place = self._places[self._last_token] = Place(self._last_token)
            return place

    def leave(self, place: Place) -> None:
        self._places.pop(place.token, None)

    def dispatch(self) -> None:
        """Takes what was committed, and signals those who have something. If that cannot be found out all look, and
        each has its own error.
        """
        with self._lock:
            if not self.waiter:
                return
            count = ctypes.c_size_t()
            status = lib.honker_waiter_ready(self.waiter, self._tokens, TOKENS, ctypes.byref(count), None)
            if status < 0 or status == _abi.CLOSED:
                places = list(self._places.values())
                self._unwatch()  # nothing will come any more
            else:
                found = [self._places.get(token) for token in self._tokens[: count.value]]
                places = [place for place in found if place is not None]
        for place in places:
            place.signal()

    def wake(self, place: Place) -> None:
        """Ends its wait, or the next one."""
        place.signal()
        if self._waiting and self._key is None and self.waiter:
            lib.honker_waiter_wake(self.waiter, None)

    def wait(self, place: Place, deadline: float | None) -> None:
        """Until the place is signalled, or the time of the monotonic clock has come. In the calling thread."""
        if self._key is not None:
            raise MisuseError("this was made in an event loop: await it there, or make it outside")
        self._enter_wait()
        try:
            poll = None
            if hasattr(select, "poll"):
                poll = select.poll()
                poll.register(self._descriptor, select.POLLIN)
            while not (place.signalled or self._closed):
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return
                if poll is not None:
                    # Rounded up: it would spin for the last millisecond.
                    if poll.poll(None if left is None else int(min(left, POLL_MAX_S) * 1000) + 1):
                        self.dispatch()
                else:
                    slice_ms = SLICE_MS if left is None else min(SLICE_MS, int(left * 1000) + 1)
                    if lib.honker_wait(self.waiter, slice_ms, None) != _abi.TIMEOUT:
                        self.dispatch()
        finally:
            self._leave_wait()

    async def await_(self, place: Place, deadline: float | None) -> None:
        """The same in a loop. One that was made outside becomes the loop's."""
        loop = _loop.required()
        if self._key is None:
            self._key = weakref.ref(loop.key)
        elif self._key() is not loop.key:
            raise MisuseError("this was made in another event loop: await it there")
        event = loop.event()
        in_loop = threading.get_ident()

        def signalled() -> None:
            if threading.get_ident() == in_loop:
                event.set()
            else:
                loop.call_soon(event.set)

        place._event = signalled
        self._enter_wait()
        try:
            if place.signalled or self._closed:
                return
            if self._stop_watching is None:
                self._stop_watching = loop.watch(self._descriptor, self._readable)
            await event.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        finally:
            place._event = None
            self._leave_wait()

    def _readable(self) -> None:
        if self._waiting > 0:
            self.dispatch()
            return
        # Whoever waits next finds it readable still.
        self._unwatch()
        with self._lock:
            if self._closed:
                self._free()

    def close(self) -> None:
        """Ends all waits. The native waiter is freed when nobody watches its descriptor any more."""
        if self._pid != os.getpid():
            return
        with self._lock:
            self._closed = True
            places = list(self._places.values())
            if self._waiting == 0 and self._is_of_this_thread():
                self._unwatch()
            # Otherwise the loop finds the descriptor readable, which the end of the database makes it.
            if self._waiting == 0 and self._stop_watching is None:
                self._free()
        for place in places:
            self.wake(place)

    def _enter_wait(self) -> None:
        with self._lock:
            self._waiting += 1

    def _leave_wait(self) -> None:
        with self._lock:
            self._waiting -= 1
            if self._waiting == 0 and self._closed:
                self._unwatch()
                self._free()

    def _is_of_this_thread(self) -> bool:
        """Whether its loop runs here, or nowhere any more."""
        key = None if self._key is None else self._key()
        if key is None or (hasattr(key, "is_running") and not key.is_running()):
            return True
        loop = _loop.running()
        return loop is not None and loop.key is key

    def _unwatch(self) -> None:
        stop, self._stop_watching = self._stop_watching, None
        if stop is not None:
            stop()

    def _free(self) -> None:
        waiter, self.waiter = self.waiter, 0
        lib.honker_waiter_free(waiter)
