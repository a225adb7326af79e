"""Threads for handlers. They are daemons: one that never returns keeps no program from ending, which a
ThreadPoolExecutor's would.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable

# How long a thread waits for another handler before it ends.
IDLE_S = 5.0


class Threads:
    """As many as run at once. `start` is for the loop; what is started answers by itself."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._idle = 0
        self._count = 0
        self._closed = False

    def start(self, function: Callable[[], object]) -> None:
        """Calls it in a thread, with the caller's context. RuntimeError if the system has no thread to give."""
        context = contextvars.copy_context()

        def run() -> None:
            context.run(function)

        with self._lock:
            if self._idle > 0:
                self._idle -= 1
                self._work.put(run)
                return
            self._count += 1
            number = self._count
        threading.Thread(target=self._live, args=(run,), name=f"{self._name}-{number}", daemon=True).start()

    def close(self) -> None:
        """Those that are idle end, the others when they are."""
        with self._lock:
            self._closed = True
            for _ in range(self._idle):
                self._work.put(None)
            self._idle = 0

    def _live(self, function: Callable[[], object] | None) -> None:
        while function is not None:
            function()
            del function  # what it refers to may be large
            with self._lock:
                if self._closed:
                    return
                self._idle += 1
            function = self._next()

    def _next(self) -> Callable[[], object] | None:
        try:
            return self._work.get(timeout=IDLE_S)
        except queue.Empty:
            with self._lock:
                if self._idle > 0 and self._work.empty():
                    self._idle -= 1
                    return None
            return self._work.get()  # somebody counted on this thread
