"""Times of the calendar, and intervals."""

from __future__ import annotations

import ctypes
from datetime import datetime

from . import _values
from ._library import lib, load
from .errors import InvalidError, error_of


class CronSchedule:
    """Made by `crontab` and `every_s`: what `schedule` may be wherever there is one."""

    __slots__ = ("expr",)

    def __init__(self, expr: str) -> None:
        self.expr: str = expr

    def next_after(self, moment: datetime) -> datetime:
        """The first boundary after that: a local time without a time zone, or with the one that `moment` has."""
        found = datetime.fromtimestamp(next_after(self.expr, int(moment.timestamp())))
        return found.astimezone(moment.tzinfo) if moment.tzinfo is not None else found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CronSchedule) and other.expr == self.expr

    def __hash__(self) -> int:
        return hash(self.expr)

    def __repr__(self) -> str:
        return f"CronSchedule({self.expr!r})"


def crontab(expr: str) -> CronSchedule:
    """Five fields, six with seconds in front, or @daily and the like; "CRON_TZ=Europe/Berlin " before it sets the time
    zone. ValueError if it cannot be parsed.
    """
    if "@every" in _values.text(expr, "expr").decode():
        raise InvalidError(f"{expr!r} is an interval: every_s makes those")
    next_after(expr, 0)
    return CronSchedule(expr)


def every_s(n: float) -> CronSchedule:
    """Every `n` seconds, a whole number of them; ValueError otherwise."""
    seconds = _values.positive(n, "n")
    if seconds != n:
        raise InvalidError(f"n has to be a whole number of seconds: {n}")
    return CronSchedule(f"@every {seconds}s")


def next_after(expr: str, moment: int) -> int:
    """The first boundary of an expression after that, both in Unix seconds. It needs no database."""
    load()
    text, out, error = _values.text(expr, "schedule"), ctypes.c_int64(), ctypes.c_void_p()
    status = lib.honker_cron_next_after(
        text, len(text), _values.integer(moment, "moment"), ctypes.byref(out), ctypes.byref(error)
    )
    if status < 0:
        length = ctypes.c_size_t()
        address = lib.honker_error_message(error, ctypes.byref(length))
        message = ctypes.string_at(address, length.value).decode()
        lib.honker_error_free(error)
        raise error_of(status, message)
    return out.value


def expression(schedule: str | CronSchedule) -> bytes:
    return _values.text(schedule.expr if isinstance(schedule, CronSchedule) else schedule, "schedule")
