"""Jobs that are enqueued at times of the calendar, or at intervals."""

from __future__ import annotations

import ctypes
import secrets
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Unpack

from . import _abi, _values
from . import payload as payloads
from ._consumer import Iterator
from ._library import lib, memory
from ._stop import Stop, stopping
from ._trouble import Trouble
from .cron import CronSchedule, expression, next_after
from .enqueue import _STATUSES, ScheduleOptions
from .enqueue import options as enqueue_options
from .errors import Error, InvalidError, LeadershipLost
from .queue import Queue, _row

if TYPE_CHECKING:
    from .database import Database
    from .transaction import Transaction

OVERLAPS = {"allow": _abi.OVERLAP_ALLOW, "skip": _abi.OVERLAP_SKIP}
LOCK_NAME = "honker-scheduler"
_UNSET: Any = object()
_VIEW = _abi.FIRE_VIEW


class Fire(NamedTuple):
    """One boundary that was fired: the schedule, where its job went, the boundary in Unix seconds, the job (None if
    there is none), and "enqueued", "skipped" (the last one is live, and the schedule has overlap="skip"), or "exists"
    or "replaced" (the job has the unique key).
    """

    name: str
    queue: str
    fire_at: int
    job_id: int | None
    status: str


class Scheduler:
    """Schedules are in the file, for all processes. Any number of threads and tasks may use it.

    lock_name: of the lock by which the one who fires them is chosen.
    lock_ttl, heartbeat_interval: after how many seconds somebody takes over from one that died, and how often the lock
        is renewed. They are the library's, the same in every process: setting them changes nothing.
    """

    def __init__(self, database: Database, lock_name: str | None = None) -> None:
        if lock_name not in (None, LOCK_NAME):
            raise InvalidError(f"the schedules of a file are fired under one lock, {LOCK_NAME!r}, not {lock_name!r}")
        self._database = database
        self._registered: dict[str, str] = {}
        self.lock_name = LOCK_NAME
        self.lock_ttl = 60
        self.heartbeat_interval = 20

    def add(
        self,
        *,
        name: str,
        queue: str | Queue,
        schedule: str | CronSchedule,
        payload: Any = None,
        priority: int = 0,
        expires: _values.Seconds | None = None,
        max_attempts: int | None = None,
        overlap: Literal["allow", "skip"] = "allow",
        tx: Transaction | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> None:
        """Adds a schedule, or replaces the one of that name.

        schedule: `crontab(...)`, `every_s(...)`, or an expression: five fields, six with seconds in front, @daily and
            the like, or "@every 5m"; "CRON_TZ=Europe/Berlin " before it sets the time zone.
        expires: after how many seconds from its boundary a job may not be claimed any more.
        max_attempts: how often a job may be claimed; None: what is set for its queue, or else 3.
        overlap: "skip" enqueues nothing at a boundary while the schedule's last job is live; "allow" always does.
        options: others of `Queue.enqueue`, but for run_at and member, for its jobs.

        Raises ValueError for an expression that cannot be parsed, or never comes.
        """
        kept = _values.Kept()
        texts = [
            _values.text(name, "name"),
            _values.text(queue.name if isinstance(queue, Queue) else queue, "queue"),
            expression(schedule),
            payloads.encode(payload),
        ]
        opts = _abi.SCHEDULE_OPTS.pack(
            _abi.SCHEDULE_OPTS.size,
            0,
            _values.integer(priority, "priority"),
            _values.optional_seconds(expires, "expires"),
            _values.optional_integer(max_attempts, "max_attempts"),
            kept.struct(enqueue_options(kept, **options)) if options else 0,
            _values.choice(OVERLAPS, overlap, "overlap"),
            0,
        )
        arguments = [one for text in texts for one in (text, len(text))]
        self._database._write(tx, lib.honker_scheduler_register, *arguments, opts)
        self._registered[name] = texts[2].decode()

    def remove(self, name: str, tx: Transaction | None = None) -> bool:
        """Removes a schedule; jobs it has enqueued stay. False if there is none of that name."""
        self._registered.pop(name, None)
        return self._named(tx, lib.honker_scheduler_unregister, name)

    def pause(self, name: str, tx: Transaction | None = None) -> bool:
        """False if there is none of that name, or it is paused already."""
        return self._named(tx, lib.honker_scheduler_pause, name)

    def resume(self, name: str, tx: Transaction | None = None) -> bool:
        """The boundaries it missed are fired by the next tick, 64 at most. False if there is none of that name, or it
        is not paused.
        """
        return self._named(tx, lib.honker_scheduler_resume, name)

    def list(self, tx: Transaction | None = None) -> list[dict[str, Any]]:
        """All schedules by name, with the keys name, queue, cron_expr, payload, priority, expires_s, next_fire_at,
        enabled and max_attempts.
        """
        database = self._database
        rows = database._json(database._read, tx, lib.honker_scheduler_list)
        return [_row(row) or {} for row in rows]

    def update(
        self,
        name: str,
        *,
        schedule: str | CronSchedule | None = None,
        payload: Any = _UNSET,
        priority: int | None = None,
        expires: _values.Seconds | None = _UNSET,
        max_attempts: int | None = _UNSET,
        tx: Transaction | None = None,
    ) -> bool:
        """Changes what is given, for the jobs to come. None for `expires` takes it away, for `max_attempts` resets it
        to 3, and is a payload. False, and nothing changed, if there is no such schedule or nothing is given.
        """
        kept, fields = _values.Kept(), 0
        if schedule is not None:
            fields |= _abi.UPDATE_EXPRESSION
        for given, flag in (
            (payload, _abi.UPDATE_PAYLOAD),
            (expires, _abi.UPDATE_EXPIRES),
            (max_attempts, _abi.UPDATE_MAX_ATTEMPTS),
        ):
            if given is not _UNSET:
                fields |= flag
        if priority is not None:
            fields |= _abi.UPDATE_PRIORITY
        changes = _abi.SCHEDULE_UPDATE.pack(
            _abi.SCHEDULE_UPDATE.size,
            0,
            fields,
            *kept.place(None if schedule is None else expression(schedule)),
            *kept.place(None if payload is _UNSET else payloads.encode(payload)),
            _values.integer(priority or 0, "priority"),
            _values.optional_seconds(None if expires is _UNSET else expires, "expires"),
            _values.optional_integer(None if max_attempts is _UNSET else max_attempts, "max_attempts"),
        )
        return self._named(tx, lib.honker_scheduler_update, name, changes)

    def soonest(self) -> int | None:
        """The next boundary, in Unix seconds, of any schedule that is not paused; it may lie in the past."""
        out = ctypes.c_int64()
        status = self._database._read(None, lib.honker_scheduler_soonest, ctypes.byref(out))
        return out.value if status == _abi.OK else None

    def next_after(self, schedule: str | CronSchedule, moment: int) -> int:
        """The first boundary of an expression after that, both in Unix seconds."""
        return next_after(expression(schedule).decode(), moment)

    def tick(self, now: _values.Moment | None = None, tx: Transaction | None = None) -> list[Fire]:  # type: ignore[valid-type]
        """Enqueues a job for every boundary up to `now` that nobody has fired yet; what was fired. Any number of
        processes may.
        """
        out = ctypes.c_void_p()
        self._database._write(tx, lib.honker_scheduler_tick, _values.moment(now, "now"), ctypes.byref(out))
        return _read_fires(self._database, out)

    async def run(self, stop_event: Stop | None = None, *, standby: bool = True, owner: str | None = None) -> None:
        """Fires what is due, when it is due, until it is cancelled, or the event is set. Every process may run it: one
        leads, the others stand by and take over when it stops, or a minute after it died. With standby=False it raises
        LeadershipLost instead of standing by.

        owner: its name among them, which nobody else may have; a random one.

        A locked file, a full disk and other errors that pass by themselves are logged and waited out.
        """
        trouble = Trouble("the scheduler")
        async with self.leader(owner) as leader:
            async with stopping(stop_event, leader) as stop:
                while not stop():
                    try:
                        # Who may not stand by looks once, and then whether it leads.
                        await leader.anext(stop.check_s if standby else 0.0 if not leader.leads else 1.0)
                    except Error as error:
                        if not error.transient:
                            raise
                        await trouble.amet(error, stop)
                        continue
                    trouble.over()
                    if not standby and not leader.leads:
                        raise LeadershipLost("somebody else fires the schedules")
                await leader.aresign()

    def leader(self, owner: str | None = None) -> Leader:
        """A candidate, for those who need more than `run`."""
        return Leader(self._database, secrets.token_hex(16) if owner is None else owner)

    def _named(self, tx: Transaction | None, function: Any, name: str, *arguments: Any) -> bool:
        text = _values.text(name, "name")
        return self._database._write(tx, function, text, len(text), *arguments) == _abi.OK

    def __repr__(self) -> str:
        return f"<Scheduler of {self._database._name}>"


class Leader(Iterator[list[Fire]]):
    """One of those who may fire the schedules of a file; made by `Scheduler.leader`. It leads, or stands by, until
    something was fired, which is what it gives; only while it is waited for leadership is kept.
    """

    _free = "honker_leader_free"

    def __init__(self, database: Database, owner: str) -> None:
        text = _values.text(owner, "owner")
        super().__init__(database, lib.honker_leader_new, text, len(text))

    @property
    def leads(self) -> bool:
        """As far as it knows."""
        self._check_open()
        out = ctypes.c_int64()
        self._database._call(lib.honker_leader_leads, self._handle, ctypes.byref(out))
        return out.value == 1

    def resign(self) -> None:
        """Gives leadership up, so that somebody who stands by takes over at once."""
        self._check_open()
        self._database._call(lib.honker_leader_resign, self._handle)

    async def aresign(self) -> None:
        await self._database._arun(self.resign)

    def _part(self) -> None:
        if self._handle and not self._database.closed:
            try:
                self._database._call(lib.honker_leader_resign, self._handle)
            except Error:
                pass  # the free tries once more

    def _look(self) -> list[Fire] | None:
        out = ctypes.c_void_p()
        status = self._database._call(lib.honker_leader_next, self._handle, 0, ctypes.byref(out))
        return _read_fires(self._database, out) if self._found(status) and out.value else None


def _read_fires(database: Database, handle: ctypes.c_void_p) -> list[Fire]:
    if not handle.value:
        return []
    try:
        count = ctypes.c_size_t()
        database._call(lib.honker_fires_len, handle, ctypes.byref(count))
        view, fires = ctypes.create_string_buffer(_VIEW.size), []
        for i in range(count.value):
            _VIEW.pack_into(view, 0, _VIEW.size, *[0] * 9)
            database._call(lib.honker_fires_get, handle, i, view)
            _, _, name, name_length, queue, queue_length, fire_at, job_id, status, _ = _VIEW.unpack(view)
            fires.append(
                Fire(
                    memory[name : name + name_length].decode(),
                    memory[queue : queue + queue_length].decode(),
                    fire_at,
                    job_id or None,
                    "skipped" if status == _abi.EMPTY else _STATUSES[status],
                )
            )
        return fires
    finally:
        lib.honker_fires_free(handle)
