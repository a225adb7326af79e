"""Notifications, and waiting for commits."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _abi, _values, payload
from ._consumer import Consumer, Iterator
from ._library import lib, memory

if TYPE_CHECKING:
    from .database import Database


class Notification(NamedTuple):
    id: int
    channel: str
    payload: Any
    created_at: int


class Listener(Iterator[Notification]):
    """Made by `Database.listen`: the notifications of one channel that are sent after that, in order. Close it
    (`aclose`, or `async with`) to be rid of it before it is garbage.
    """

    _free = "honker_listener_free"

    def __init__(self, database: Database, channel: str, fallback_poll_s: float | None) -> None:
        self.channel = channel
        name = _values.text(channel, "channel")
        fallback_ms = _values.milliseconds(fallback_poll_s, "fallback_poll_s")
        super().__init__(database, lib.honker_listener_new, name, len(name), fallback_ms)

    @property
    def _updates(self) -> Listener:
        return self

    def _look(self) -> Notification | None:
        view = ctypes.create_string_buffer(_abi.NOTIFICATION_VIEW.size)
        _abi.NOTIFICATION_VIEW.pack_into(view, 0, _abi.NOTIFICATION_VIEW.size, 0, 0, 0, 0, 0, 0, 0)
        if not self._found(self._database._call(lib.honker_listener_next, self._handle, 0, view)):
            return None
        _, _, id, channel, channel_length, text, length, created_at = _abi.NOTIFICATION_VIEW.unpack(view)
        return Notification(
            id,
            memory[channel : channel + channel_length].decode(),
            payload.decode(memory[text : text + length]),
            created_at,
        )


class Updates(Consumer):
    """Made by `Database.update_events`: None whenever something was committed, by anyone in any process. It is a hint:
    there may be nothing new to see. Raises WatcherError when the file was replaced.
    """

    _free = "honker_updates_free"

    def __init__(self, database: Database) -> None:
        super().__init__(database, lib.honker_updates_new)

    def next(self, timeout: float | None = None) -> bool:
        """Waits until something was committed, which may have been since the last time; False if the time is over, or
        `wake` was called.
        """
        return self._wait(self._look, timeout) is not None

    async def anext(self, timeout: float | None = None) -> bool:
        return await self._await(self._look, timeout) is not None

    def __iter__(self) -> Updates:
        return self

    def __next__(self) -> None:
        if not self._unless_closed(self.next):
            raise StopIteration

    def __aiter__(self) -> Updates:
        return self

    async def __anext__(self) -> None:
        if not await self._aunless_closed(self.anext):
            raise StopAsyncIteration

    def _look(self) -> bool | None:
        self._dispatcher.dispatch()  # the library counts the commits that the waiter has taken
        return True if self._found(self._database._call(lib.honker_updates_next, self._handle, 0)) else None
