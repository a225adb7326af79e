"""When the run ends. Whatever waits, waits here, and gives up when the time is over or somebody ends the run."""

import math
import threading
import time

_stopped = threading.Event()
_until = math.inf


class OutOfTime(Exception):
    """The run's time is over, or somebody has ended it."""


def end_in(seconds):
    global _until
    _until = time.monotonic() + seconds


def stop():
    """From a signal's handler: all that waits gives up."""
    _stopped.set()


def is_stopped():
    return _stopped.is_set()


def left_s():
    return 0 if _stopped.is_set() else _until - time.monotonic()


def check():
    if _stopped.is_set():
        raise OutOfTime("the run was ended")
    if time.monotonic() > _until:
        raise OutOfTime("the time was over")


def sleep(seconds):
    check()
    _stopped.wait(max(0, min(seconds, _until - time.monotonic())))
    check()
