"""Errors that pass by themselves, as a loop meets them: logged once, waited out with growing pauses, and logged once
more when they are over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from . import _loop
from .errors import Error

PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 10.0
# How often a pause looks whether it is to end.
LOOK_S = 0.05

log = logging.getLogger("honker")


class Trouble:
    def __init__(self, who: str) -> None:
        self._who = who
        self._pause_s = 0.0
        self.error: Exception | None = None

    def met(self, error: Exception) -> float:
        """How long to wait after this one. It is logged if it is the first, or of another kind than the one before."""
        if type(error) is not type(self.error):
            log.warning("%s waits and tries again: %s (%s)", self._who, error, type(error).__name__)
        self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S) if self.error is not None else PAUSE_MIN_S
        self.error = error
        return self._pause_s

    async def amet(self, error: Error, stop: Callable[[], bool]) -> None:
        """Waits after this one, until it is to stop."""
        loop, until = _loop.required(), time.monotonic() + self.met(error)
        while not stop() and (left := until - time.monotonic()) > 0:
            await loop.sleep(min(LOOK_S, left))

    def over(self) -> None:
        if self.error is not None:
            self.error = None
            log.info("%s works again", self._who)
