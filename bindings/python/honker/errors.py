"""What can go wrong. An operation that raises has done nothing.

Everything that the library refuses is an `Error`, a RuntimeError; what is wrong with an argument is a ValueError or a
TypeError as well.
"""

from __future__ import annotations

import builtins
from typing import Any, ClassVar

from . import _abi


class Error(RuntimeError):
    """What the library answers.

    status: the number of the C ABI, negative; 0 if the library was not asked at all.
    name: its name, "HONKER_BUSY".
    sqlite_code, sqlite_extended_code: SQLite's result codes, 5 and 517 for instance; 0 if it was not SQLite that
        refused.
    """

    STATUS: ClassVar[int] = 0

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        sqlite_code: int = 0,
        sqlite_extended_code: int = 0,
    ) -> None:
        super().__init__(message)
        self.status: int = self.STATUS if status is None else status
        self.name: str = _abi.STATUS_NAMES.get(self.status, "HONKER_UNKNOWN") if self.status else "HONKER_ERROR"
        self.sqlite_code = sqlite_code
        self.sqlite_extended_code = sqlite_extended_code

    @property
    def retryable(self) -> bool:
        """Whether nothing is wrong but the moment: somebody else was writing."""
        return self.status in (_abi.BUSY, _abi.ABORTED)

    @property
    def transient(self) -> bool:
        """Whether it passes by itself, or when somebody has made room or mended the disk: the same call may succeed
        later. The loops of this package wait for that.
        """
        return self.status in _abi.TRANSIENT and self.status != _abi.INTERRUPTED  # that is for whoever runs the loop

    def __reduce__(self) -> tuple[Any, ...]:  # for those who send them to another process
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[Error], arguments: tuple[Any, ...], state: dict[str, Any]) -> Error:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(state)
    return error


class InternalError(Error):
    """A bug of honker's, or memory that could not be had."""

    STATUS: ClassVar[int] = _abi.INTERNAL


class BusyError(Error):
    """Somebody else held the write lock for longer than the busy timeout. Try again."""

    STATUS: ClassVar[int] = _abi.BUSY


class ConstraintError(Error):
    """A constraint of your own tables refused the change."""

    STATUS: ClassVar[int] = _abi.CONSTRAINT


class StorageError(Error):
    """The operating system failed to read or write."""

    STATUS: ClassVar[int] = _abi.IO


class CorruptError(Error):
    """The file is damaged, or no database at all."""

    STATUS: ClassVar[int] = _abi.CORRUPT


class FullError(Error):
    """The disk, or the database, is full."""

    STATUS: ClassVar[int] = _abi.FULL


class ReadOnlyError(Error):
    """The file or its directory cannot be written to."""

    STATUS: ClassVar[int] = _abi.READONLY


class CannotOpenError(Error):
    """The file cannot be opened: no such directory, no permission."""

    STATUS: ClassVar[int] = _abi.CANNOT_OPEN


class SQLError(Error):
    """SQLite refused the statement."""

    STATUS: ClassVar[int] = _abi.SQL


class SchemaError(Error):
    """The schema changed again and again while the statement was prepared."""

    STATUS: ClassVar[int] = _abi.SCHEMA


class TooBigError(Error):
    """A text, a blob or a row is larger than SQLite stores."""

    STATUS: ClassVar[int] = _abi.TOO_BIG


class AbortedError(Error):
    """Rolled back because of somebody else's failure. Try again."""

    STATUS: ClassVar[int] = _abi.ABORTED


class MisuseError(Error):
    """The call cannot be made now: in a transaction that is over, or beside an open one of the same thread."""

    STATUS: ClassVar[int] = _abi.MISUSE


class InvalidError(Error, ValueError):
    """An argument cannot be used; the message names it."""

    STATUS: ClassVar[int] = _abi.INVALID


class EncodingError(InvalidError):
    """A text cannot be written as UTF-8."""

    STATUS: ClassVar[int] = _abi.UTF8


class NotFoundError(Error):
    """What the call is about does not exist."""

    STATUS: ClassVar[int] = _abi.NOT_FOUND


class ClosedError(Error):
    """The database, or what was used of it, is closed."""

    STATUS: ClassVar[int] = _abi.CLOSED_HANDLE


class ForkedError(Error):
    """It comes from before this process was forked: open the database again in the child."""

    STATUS: ClassVar[int] = _abi.FORKED


class UnsupportedError(Error):
    """This library, or this machine, cannot do that."""

    STATUS: ClassVar[int] = _abi.UNSUPPORTED


class InterruptedError(Error):
    """Ended by `Database.interrupt`."""

    STATUS: ClassVar[int] = _abi.INTERRUPTED


class PanicError(Error):
    """A bug of honker's. What the call was doing has been undone, with the transaction it was part of."""

    STATUS: ClassVar[int] = _abi.PANIC


class WatcherError(Error):
    """The watcher died: the file was replaced by another. Close the database and open it again."""

    STATUS: ClassVar[int] = _abi.WATCHER


class SystemError(Error):
    """The operating system refused what it has a limited number of: descriptors, threads, inotify instances."""

    STATUS: ClassVar[int] = _abi.SYSTEM


class TooOldError(Error):
    """The file was brought up to date by a newer honker, and this one may not write to it. Update it."""

    STATUS: ClassVar[int] = _abi.TOO_OLD


class ConnectionLostError(Error):
    """The connection to the server is lost, or there is none to be had. Try again."""

    STATUS: ClassVar[int] = _abi.CONNECTION


class MovedError(Error):
    """All that was in this database has been moved, or is being moved, to another one, which the message names."""

    STATUS: ClassVar[int] = _abi.MOVED


class LibraryError(Error):
    """libhonker, or its loadable extension, could not be loaded. `tried` has what was tried, in order."""

    def __init__(self, message: str = "", *, tried: list[str] | None = None, **options: Any) -> None:
        super().__init__(message, **options)
        self.tried: list[str] = tried or []


class JobLost(Error):
    """The worker does not hold the job any more."""


class LockHeld(Error):
    """Somebody else has the lock."""


class LeadershipLost(Error):
    """`Scheduler.run(standby=False)`: somebody else fires the schedules, or does so now."""


class UnfinishedError(Error):
    """A worker has stopped, and `running` handlers have not returned. Their jobs were given back."""

    def __init__(self, message: str = "", *, running: int = 0, **options: Any) -> None:
        super().__init__(message, **options)
        self.running = running


_BY_STATUS = {
    kind.STATUS: kind
    for kind in builtins.list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Error) and kind.STATUS
}
_BY_STATUS[_abi.NULL_ARG] = InvalidError


def error_of(status: int, message: str, sqlite_code: int = 0, sqlite_extended_code: int = 0) -> Error:
    """The exception for a status of the library."""
    return _BY_STATUS.get(status, Error)(
        message, status=status, sqlite_code=sqlite_code, sqlite_extended_code=sqlite_extended_code
    )
