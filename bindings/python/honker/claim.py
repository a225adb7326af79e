"""Waiting for jobs: the iterator of `Queue.claim`, and the core's worker, which handlers are run with."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from . import _abi, _values
from ._consumer import WORKER_FALLBACK_S, Consumer, Iterator
from ._library import lib
from .errors import Error, InvalidError
from .job import Job, read_jobs

if TYPE_CHECKING:
    from .database import Database
    from .queue import Queue

# How many lost jobs are read with one call, and why they are.
LOST_ROOM = 16
LOST = {
    _abi.LOST_GONE: "gone",
    _abi.LOST_LAPSED: "lapsed",
    _abi.LOST_TAKEN: "taken",
    _abi.LOST_TIMEOUT: "timeout",
}


class Claims(Iterator[Job]):
    """Made by `Queue.claim`: claims under the name that was given, and belongs to no instance."""

    _free = "honker_worker_free"

    def __init__(self, database: Database, queues: Sequence[Queue], worker: str, idle_poll_s: float | None) -> None:
        self._queues = {queue.name: queue for queue in queues}
        self._visibility_timeout_s = min(queue.visibility_timeout_s for queue in queues)
        kept = _values.Kept()
        name = _values.text(worker, "worker")
        opts = worker_options(
            visibility_timeout_s=self._visibility_timeout_s, fallback_s=idle_poll_s, heartbeat=False, rescue=False
        )
        places = native_queues({queue.name: 1 for queue in queues}, kept)
        super().__init__(database, lib.honker_worker_new, places, len(queues), name, len(name), opts)
        self.worker_id = worker

    @property
    def _updates(self) -> Claims:
        return self

    def next_batch(self, n: int, timeout: float | None = None) -> list[Job]:
        """Up to `n` jobs, claimed in one commit, as soon as there is one; empty if the time is over."""
        count = _values.integer(n, "n")
        return [] if count <= 0 else self._wait(lambda: self._claim(count), timeout) or []

    async def anext_batch(self, n: int, timeout: float | None = None) -> list[Job]:
        count = _values.integer(n, "n")
        if count <= 0:
            return []
        return await self._await(lambda: self._claim(count), timeout, self._release_all) or []

    def _look(self) -> Job | None:
        jobs = self._claim(1)
        return jobs[0] if jobs else None

    def _undo(self, found: Job) -> None:
        found.release()

    def _release_all(self, jobs: list[Job]) -> None:
        for job in jobs:
            job.release()

    def _claim(self, count: int) -> list[Job] | None:
        out = ctypes.c_void_p()
        while True:
            status = self._database._call(lib.honker_worker_next, self._handle, count, 0, ctypes.byref(out))
            if not self._found(status) or not out.value:
                return None
            try:
                only = next(iter(self._queues.values())) if len(self._queues) == 1 else None
                jobs = read_jobs(self._database, out.value, count, self.worker_id, only)
            finally:
                lib.honker_jobs_free(out)
            if jobs:  # only jobs that were lost are nothing
                return jobs


class QueueShare(TypedDict, total=False):
    """What a worker gives to one of its queues.

    weight: how often it is asked first, compared with the others; 1. If all have 0 they are asked in the order given.
    max_in_hand: how many of its jobs the worker has in hand at most; None for as many as run at once.
    """

    weight: int
    max_in_hand: int | None


def share(given: int | QueueShare) -> tuple[int, int]:
    """The weight, and how many may be in hand, as the library takes them."""
    if not isinstance(given, Mapping):
        return _values.integer(given, "weight"), -1
    unknown = set(given) - set(QueueShare.__annotations__)
    if unknown:
        raise TypeError(f"a worker's queue has weight and max_in_hand, and no {', '.join(sorted(unknown))}")
    most = given.get("max_in_hand")
    return (
        _values.integer(given.get("weight", 1), "weight"),
        -1 if most is None else _values.positive(most, "max_in_hand"),
    )


def native_queues(queues: Mapping[str, int | QueueShare], kept: _values.Kept) -> bytes:
    pack, size = _abi.WORKER_QUEUE.pack, _abi.WORKER_QUEUE.size
    return b"".join(
        pack(size, 0, *kept.place(_values.text(name, "name")), *share(given)) for name, given in queues.items()
    )


def worker_options(
    *,
    visibility_timeout_s: _values.Seconds = 300,
    fallback_s: float | None = WORKER_FALLBACK_S,
    max_run_s: _values.Seconds | None = None,
    retry_base_s: _values.Seconds = 15,
    retry_max_s: _values.Seconds = 3600,
    retry_factor: float = 2.0,
    retry_jitter: float = 0.1,
    heartbeat: bool = True,
    rescue: bool = True,
) -> bytes:
    return _abi.WORKER_OPTS.pack(
        _abi.WORKER_OPTS.size,
        0,
        _values.seconds(visibility_timeout_s, "visibility_timeout_s"),
        _values.milliseconds(fallback_s, "idle_poll_s"),
        _values.optional_seconds(max_run_s, "max_run_s"),
        _values.seconds(retry_base_s, "retry_base_s"),
        _values.seconds(retry_max_s, "retry_max_s"),
        float(retry_factor),
        float(retry_jitter),
        int(heartbeat),
        int(rescue),
    )


KINDS = {
    "ack": _abi.SETTLE_ACK,
    "retry": _abi.SETTLE_RETRY,
    "fail": _abi.SETTLE_FAIL,
    "snooze": _abi.SETTLE_SNOOZE,
    "release": _abi.SETTLE_RELEASE,
}


@dataclass(eq=False)
class Settlement:
    """What becomes of a claim, by its job's id and serial: "ack", "retry", "fail", "snooze" or "release"; `delay_s` is
    None for the worker's own. `status` is what the library has said of it: 0 if that is done, positive if the claim was
    lost, and negative while it is not committed.
    """

    id: int
    serial: int
    kind: str
    delay_s: int | None = None
    error: str = ""
    status: int = _abi.BUSY

    @property
    def committed(self) -> bool:
        return self.status >= 0

    def pack(self, kept: _values.Kept) -> bytes:
        return _abi.SETTLEMENT.pack(
            _values.choice(KINDS, self.kind, "kind"),
            _abi.BUSY,
            _values.integer(self.id, "id"),
            _values.integer(self.serial, "serial"),
            _values.optional_seconds(self.delay_s, "delay_s"),
            *kept.place(_values.text(self.error, "error")),
        )


@dataclass(frozen=True)
class Lost:
    """A job in hand that is not the worker's any more: `reason` is "gone", "lapsed", "taken" or "timeout"."""

    id: int
    serial: int
    reason: str


@dataclass(frozen=True)
class Turn:
    """What a turn of `CoreWorker` has brought; None for `jobs` if there was nothing at all."""

    jobs: list[Job] | None
    lost: list[Lost]
    refusal: Error | None

    def filled(self, count: int) -> bool:
        """Whether it has all of the `count` jobs that were asked for, and nothing else was told: the worker rests then,
        as after a turn that brought nothing, and need not be asked again before it is signalled.
        """
        return count > 0 and len(self.jobs or []) == count and not self.lost and self.refusal is None


class CoreWorker(Consumer):
    """The worker of the core: claims jobs of its queues, keeps those in hand, and settles them, all in one commit. One
    thread or task uses it at a time; `nudge` is for any.

    It claims as `<name>@<instance>` (`rescue`), so that others have its jobs as soon as this process is dead, and
    prolongs its claims (`heartbeat`), for as long as `turn` is called at least at a third of the visibility timeout:
    `rest` ends for it.
    """

    _free = "honker_worker_free"

    def __init__(
        self,
        database: Database,
        queues: Mapping[str, int | QueueShare],
        name: str,
        *,
        private: bool = False,
        **options: object,
    ) -> None:
        if not queues:
            raise InvalidError("a worker needs a queue")
        kept, text = _values.Kept(), _values.text(name, "worker")
        places = native_queues(queues, kept)
        super().__init__(
            database,
            lib.honker_worker_new,
            places,
            len(queues),
            text,
            len(text),
            worker_options(**options),  # type: ignore[arg-type]
            private=private,
        )
        self.name = name

    def turn(self, settlements: Sequence[Settlement], count: int) -> Turn:
        """One commit: settles, claims up to `count`, and tells what was lost. Each settlement has its status
        afterwards, also if this raises. It waits for nothing but the writer.
        """
        kept = _values.Kept()
        packed = b"".join(one.pack(kept) for one in settlements)
        array = ctypes.create_string_buffer(packed, max(1, len(packed)))
        out, error = ctypes.c_void_p(), ctypes.c_void_p()
        arguments = (self._handle, array if packed else None, len(settlements), count, 0, ctypes.byref(out))
        try:
            status = lib.honker_worker_settle_next(*arguments, ctypes.byref(error))
            if status < 0:
                status = self._database._failed(status, error, lib.honker_worker_settle_next, arguments)
                error.value = None
            refusal = self._database._error(_abi.SQL, error) if error.value else None
            if not self._found(status) or not out.value:
                return Turn(None, [], refusal)
            lost = self._lost(out.value)
            jobs = read_jobs(self._database, out.value, max(count, 1), None, None)
            return Turn(jobs, lost, refusal)
        finally:
            lib.honker_jobs_free(out)
            for one, row in zip(settlements, _abi.SETTLEMENT.iter_unpack(memoryview(array)[: len(packed)])):
                one.status = row[1]

    def settle_next(self, settlements: Sequence[Settlement], count: int, timeout: float | None = None) -> Turn:
        """As `turn`, and then waits for jobs, or for what was lost: None as its `jobs` if the time is over."""
        left, turn = list(settlements), Turn(None, [], None)

        def look() -> Turn | None:
            nonlocal turn
            given = left.copy()
            left.clear()
            turn = self.turn(given, count)
            return turn if turn.jobs or turn.lost or turn.refusal is not None else None

        self._wait(look, timeout)
        return turn

    async def aturn(self, settlements: Sequence[Settlement], count: int) -> Turn:
        """As `turn`, in a task. It goes on although the task is cancelled, which is told afterwards: jobs are not
        lost.
        """
        return await self._database._arun(lambda: self.turn(settlements, count), undo=self._give_back)

    def _give_back(self, turn: Turn) -> None:
        if turn.jobs:
            self.turn([Settlement(job.id, job.serial, "release") for job in turn.jobs], 0)

    def put_down(self, job: Job) -> None:
        """It was settled by somebody else, or is to lapse: the worker does not keep it in hand any more."""
        self._database._call(lib.honker_worker_settled, self._handle, job.id, job.serial)

    def expect_signals(self) -> None:
        """What is signalled from here on ends the next rest."""
        self._place.signalled = False

    def nudge(self) -> None:
        """Ends `rest`, or the next one. For any thread, and for signal handlers."""
        self._dispatcher.wake(self._place)

    def rest(self, deadline: float | None) -> None:
        """Waits until there may be something to be claimed or told, until `deadline` of time.monotonic, or `nudge`."""
        self._dispatcher.wait(self._place, deadline)
        self._place.take_wake()

    async def arest(self, deadline: float | None) -> None:
        await self._dispatcher.await_(self._place, deadline)
        self._place.take_wake()

    def _lost(self, jobs: int) -> list[Lost]:
        lost: list[Lost] = []
        size = _abi.LOST_JOB_VIEW.size
        empty = _abi.LOST_JOB_VIEW.pack(size, 0, 0, 0, 0, 0) * LOST_ROOM
        read = ctypes.c_size_t()
        while True:
            views = ctypes.create_string_buffer(empty, len(empty))
            self._database._call(lib.honker_jobs_lost, jobs, len(lost), views, LOST_ROOM, ctypes.byref(read))
            for _, _, id, serial, reason, _ in _abi.LOST_JOB_VIEW.iter_unpack(memoryview(views)[: read.value * size]):
                lost.append(Lost(id, serial, LOST.get(reason, "lost")))
            if read.value < LOST_ROOM:
                return lost
