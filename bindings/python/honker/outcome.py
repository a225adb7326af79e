"""What a handler may raise to say what becomes of its job. Anything else that it raises is a retry, with the worker's
own delay.
"""

from __future__ import annotations

from . import _values


class Outcome(Exception):
    """One of those below."""


class Retryable(Outcome):
    """The job could not be done now: it becomes due again in `delay_s` seconds (None: by the backoff, as after any
    other exception, but with no traceback) or, if its attempts are used up, ends among the dead with the message.
    """

    def __init__(self, message: str = "", delay_s: _values.Seconds | None = 60) -> None:
        super().__init__(message)
        self.delay_s: int | None = None if delay_s is None else max(0, _values.seconds(delay_s, "delay_s"))


class Discard(Outcome):
    """The job can never be done: it ends among the dead with the message."""


class Snooze(Outcome):
    """It is not the time for the job: it becomes due again in `delay_s` seconds, and this attempt does not count."""

    def __init__(self, delay_s: _values.Seconds, message: str = "") -> None:
        super().__init__(message)
        self.delay_s: int = max(0, _values.seconds(delay_s, "delay_s"))


class JobCancelled(Outcome):
    """Raised by `Job.check` when the handler should end, since its job was lost or its worker stops. Let it pass.

    reason: "gone" (cancelled, or settled by somebody else), "lapsed", "taken", "timeout", "replaced" (the file) or
        "stop".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the job was cancelled: {reason}")
        self.reason = reason


class UnknownTaskError(LookupError):
    """There is no task of that name in this process. Import the module that has it."""


class TaskFailed(RuntimeError):
    """`TaskResult.get`: the task's job is dead, and has no result. The message is why."""
