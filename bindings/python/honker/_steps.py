"""What is saved of a step, and what becomes of one that cannot be."""

from __future__ import annotations

import inspect
import traceback
from typing import TYPE_CHECKING, Any

from . import payload
from .outcome import Discard

if TYPE_CHECKING:
    from ._hand import Hand


def encode(name: str, value: Any, hand: Hand | None) -> bytes:
    """The text of what a step has returned. Where there is none the job is discarded, whatever its handler makes of the
    error: another attempt would run the step again.
    """
    if inspect.iscoroutine(value) or inspect.isgenerator(value) or inspect.isasyncgen(value):
        if not inspect.isasyncgen(value):
            value.close()
        raise TypeError(f"step {name} has not run: {value!r} does nothing unless it is awaited; `astep` does that")
    try:
        return payload.encode(value, "its value")
    except Exception as error:
        raise unsaved(name, error, hand) from error


def unsaved(name: str, error: Exception, hand: Hand | None) -> Discard:
    why = "".join(traceback.format_exception_only(error)).strip()  # also of one that raises when it is asked
    discard = Discard(f"step {name} has run, and is not saved: {why}")
    if hand is not None:
        hand.discard(discard)
    return discard
