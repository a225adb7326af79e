"""Event streams."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, Unpack

from . import _abi, _values, payload
from ._consumer import Iterator
from ._library import lib, memory
from .enqueue import options_text
from .errors import Error

if TYPE_CHECKING:
    from .database import Database
    from .transaction import Transaction

_VIEW = _abi.EVENT_VIEW


class Event(NamedTuple):
    offset: int
    topic: str
    key: str | None
    payload: Any
    created_at: int


class Retention(TypedDict, total=False):
    """How much of a stream is kept. None sets one back.

    keep_s: for how many seconds; for ever.
    keep_n: how many events; all.
    past_consumers: whether events go that some consumer still has to read; False.
    """

    keep_s: int | None
    keep_n: int | None
    past_consumers: bool


class Stream:
    """Made by `Database.stream`: the events of one topic, in order, which stay. Any number of threads and tasks may
    use it.
    """

    def __init__(self, database: Database, topic: str) -> None:
        self._database = database
        self._text = _values.text(topic, "topic")
        self.topic = topic

    @property
    def name(self) -> str:
        return self.topic

    def publish(self, payload: Any, key: str | None = None, tx: Transaction | None = None) -> int:
        """Adds an event; its offset."""
        text, name, out = _encode(payload), _values.optional_text(key, "key"), ctypes.c_int64()
        self._database._write(
            tx,
            lib.honker_stream_publish,
            *self._name,
            name,
            len(name or b""),
            text,
            len(text),
            ctypes.byref(out),
        )
        return out.value

    async def apublish(self, payload: Any, key: str | None = None, tx: Transaction | None = None) -> int:
        return await self._database._arun(lambda: self.publish(payload, key, tx), tx=tx)

    def read_since(self, offset: int, limit: int = 1000, tx: Transaction | None = None) -> list[Event]:
        """The events behind an offset, `limit` of them at most."""
        out = ctypes.c_void_p()
        numbers = _values.integer(offset, "offset"), _values.integer(limit, "limit")
        database = self._database
        database._read(tx, lib.honker_stream_read_since, *self._name, *numbers, ctypes.byref(out))
        try:
            count = ctypes.c_size_t()
            if out.value:
                database._call(lib.honker_events_len, out, ctypes.byref(count))
            view, events = event_view(), []
            for i in range(count.value):
                database._call(lib.honker_events_get, out, i, view)
                events.append(read_event(view))
            return events
        finally:
            lib.honker_events_free(out)

    def read_from_consumer(self, consumer: str, limit: int = 1000) -> list[Event]:
        """The events behind what the consumer has saved."""
        return self.read_since(self.get_offset(consumer), limit)

    def save_offset(self, consumer: str, offset: int, tx: Transaction | None = None) -> bool:
        """Saves how far a consumer has come. False, and nothing changed, for an offset that is not behind the saved
        one.
        """
        name = _values.text(consumer, "consumer")
        status = self._database._write(
            tx,
            lib.honker_stream_save_offset,
            name,
            len(name),
            *self._name,
            _values.integer(offset, "offset"),
        )
        return status == _abi.OK

    async def asave_offset(self, consumer: str, offset: int, tx: Transaction | None = None) -> bool:
        return await self._database._arun(lambda: self.save_offset(consumer, offset, tx), tx=tx)

    def get_offset(self, consumer: str, tx: Transaction | None = None) -> int:
        """How far a consumer has come; 0 if it never saved."""
        name, out = _values.text(consumer, "consumer"), ctypes.c_int64()
        self._database._read(tx, lib.honker_stream_get_offset, name, len(name), *self._name, ctypes.byref(out))
        return out.value

    def subscribe(
        self,
        consumer: str | None = None,
        from_offset: int | None = None,
        save_every_n: int = 1000,
        save_every_s: float = 1.0,
    ) -> Subscription:
        """Everything behind an offset in order, then what is published: for `async for` and `for`. An event is finished
        when the next one is asked for, or with `Subscription.ack`: a consumer that dies, or breaks out, in the middle
        of one sees it again.

        consumer: under which name the offset is saved; None: it is not.
        from_offset: where it begins; None for where the consumer has saved, or else the beginning.
        save_every_n, save_every_s: after how many events and seconds the offset is saved, whichever comes first; 0 for
            never.
        """
        return Subscription(self._database, self.topic, consumer, from_offset, save_every_n, save_every_s)

    def configure(self, tx: Transaction | None = None, **options: Unpack[Retention]) -> None:
        """What is kept of it, in every process from now on."""
        text = options_text(options)
        self._database._write(tx, lib.honker_stream_configure, *self._name, text, len(text))

    def trim(self, tx: Transaction | None = None, **options: Unpack[Retention]) -> int:
        """Removes what `configure` would remove, or what the same options say here; how many events that were."""
        text, out = options_text(options), ctypes.c_int64()
        self._database._write(tx, lib.honker_stream_trim, *self._name, text, len(text), ctypes.byref(out))
        return out.value

    @property
    def _name(self) -> tuple[bytes, int]:
        return self._text, len(self._text)

    def __repr__(self) -> str:
        return f"<Stream {self.topic!r} of {self._database._name}>"


_encode = payload.encode


class Subscription(Iterator[Event]):
    """Made by `Stream.subscribe`. Closing it, or `aclose`, saves the offset of the last finished event."""

    _free = "honker_subscription_free"

    def __init__(
        self,
        database: Database,
        topic: str,
        consumer: str | None,
        from_offset: int | None,
        save_every_n: int,
        save_every_s: float,
    ) -> None:
        self.topic = topic
        self.consumer = consumer
        every_ms = save_every_s * 1000
        save_every_ms = _values.MAX if every_ms >= _values.MAX else _values.integer(every_ms, "save_every_s")
        # By itself: with neither, it is the consumer's.
        self._saves = consumer is not None and (save_every_n != 0 or save_every_ms != 0)
        kept, name = _values.Kept(), _values.text(topic, "topic")
        opts = _abi.SUBSCRIPTION_OPTS.pack(
            _abi.SUBSCRIPTION_OPTS.size,
            0,
            *kept.place(_values.optional_text(consumer, "consumer")),
            _values.optional_integer(from_offset, "from_offset"),
            _values.integer(save_every_n, "save_every_n"),
            save_every_ms,
        )
        super().__init__(database, lib.honker_subscription_new, name, len(name), opts)

    @property
    def _updates(self) -> Subscription:
        return self

    @property
    def offset(self) -> int:
        """That of the last event that is finished."""
        self._check_open()
        out = ctypes.c_int64()
        self._database._call(lib.honker_subscription_offset, self._handle, ctypes.byref(out))
        return out.value

    def ack(self) -> None:
        """The event that was given last is finished."""
        self._check_open()
        self._database._call(lib.honker_subscription_ack, self._handle)

    def save(self) -> None:
        """Saves the offset of the last finished event now."""
        self._check_open()
        self._database._call(lib.honker_subscription_save, self._handle)

    async def asave(self) -> None:
        await self._database._arun(self.save)

    async def aclose(self) -> None:
        """Saves the offset without keeping the event loop, and closes it."""
        if not self._closed and not self._busy and not self._database.closed and self._saves:
            try:
                await self.asave()
            except Error:
                pass  # closing tries once more
        self.close()

    def _part(self) -> None:
        # The free tries for a moment only. Who closes waits for a lock.
        if self._handle and self._saves and not self._database.closed:
            try:
                self._database._call(lib.honker_subscription_save, self._handle)
            except Error:
                pass

    def _look(self) -> Event | None:
        view = event_view()
        if not self._found(self._database._call(lib.honker_subscription_next, self._handle, 0, view)):
            return None
        return read_event(view)


def event_view() -> ctypes.Array[ctypes.c_char]:
    view = ctypes.create_string_buffer(_VIEW.size)
    _VIEW.pack_into(view, 0, _VIEW.size, *[0] * 9)
    return view


def read_event(view: ctypes.Array[ctypes.c_char]) -> Event:
    _, _, offset, topic, topic_length, key, key_length, text, length, created_at = _VIEW.unpack(view)
    return Event(
        offset,
        memory[topic : topic + topic_length].decode(),
        memory[key : key + key_length].decode() if key else None,
        payload.decode(memory[text : text + length]),
        created_at,
    )
