"""One claimed job."""

from __future__ import annotations

import ctypes
import inspect
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from . import _abi, _steps, _values, payload
from ._library import lib, memory
from .batch import Batch
from .errors import Error, MisuseError, TooBigError

if TYPE_CHECKING:
    from ._hand import Hand
    from .database import Database
    from .queue import Queue
    from .transaction import Transaction

T = TypeVar("T")

_UNREAD: Any = object()
# Of honker_job_view_t: the id, payload, attempts, claim_expires_at, serial, max_attempts and metadata; and the two
# texts that jobs of one claim have in common.
_VIEW = struct.Struct("@8xq16xPN16xqqqqPN")
_SHARED = struct.Struct("@16xPN16xPN48x")
_EMPTY_VIEW = struct.pack("@I", _abi.JOB_VIEW.size).ljust(_abi.JOB_VIEW.size, b"\0")
_arrays: dict[int, tuple[Any, bytes]] = {}
assert _VIEW.size == _SHARED.size == _abi.JOB_VIEW.size


class Job:
    """It is its worker's until it is settled, or until the queue's visibility timeout is over."""

    __slots__ = ("_hand", "_payload", "_queue", "_row_read", "_text", "_view", "id", "worker_id")

    id: int
    worker_id: str

    def __init__(self, queue: Queue, worker_id: str, id: int, text: bytes, view: tuple[Any, ...]) -> None:
        self._queue = queue
        self.worker_id = worker_id
        self.id = id
        self._text = text
        self._view = view
        self._payload: Any = _UNREAD
        self._hand: Hand | None = None

    @property
    def payload(self) -> Any:
        """What was enqueued, decoded when it is first looked at; a text that is not JSON is a RawText."""
        if self._payload is _UNREAD:
            self._payload = payload.decode(self._text)
        return self._payload

    @property
    def payload_text(self) -> str:
        """The payload as it is stored."""
        return self._text.decode(errors="replace")

    @property
    def queue(self) -> Queue:
        return self._queue

    @property
    def queue_name(self) -> str:
        return self._queue.name

    @property
    def attempts(self) -> int:
        """How often it has been claimed, this time included."""
        return self._view[0]  # type: ignore[no-any-return]

    @property
    def claim_expires_at(self) -> int:
        """The last second, in Unix time, in which the claim is valid."""
        return self._view[1]  # type: ignore[no-any-return]

    @property
    def serial(self) -> int:
        """Names this claim of the job, for the worker that made it; 0 if none did."""
        return self._view[2]  # type: ignore[no-any-return]

    @property
    def max_attempts(self) -> int:
        """How often it may be claimed."""
        return self._view[3]  # type: ignore[no-any-return]

    @property
    def metadata(self) -> dict[str, str]:
        """What was enqueued beside the payload: texts. Empty if there is nothing."""
        text = self._view[4]
        return payload.decode(text) if text else {}

    @property
    def state(self) -> str:
        return "processing"

    @property
    def last_error(self) -> str | None:
        """None: it is not dead."""
        return None

    @property
    def priority(self) -> int:
        """Read from the file when it is first looked at, as are `run_at` and `created_at`."""
        return self._row["priority"]  # type: ignore[no-any-return]

    @property
    def run_at(self) -> int:
        return self._row["run_at"]  # type: ignore[no-any-return]

    @property
    def created_at(self) -> int:
        return self._row["created_at"]  # type: ignore[no-any-return]

    @property
    def _row(self) -> dict[str, Any]:
        try:
            return self._row_read
        except AttributeError:
            row = self._queue.get_job(self.id)
            if row is None:
                raise Error(f"job {self.id} is gone") from None
            self._row_read: dict[str, Any] = row
            return row

    # Settling. Each is False, and changes nothing, if the worker does not hold the job any more.

    def ack(self, tx: Transaction | None = None) -> bool:
        """The job is done: removes it. `tx` makes that part of a transaction."""
        return self._settle(tx, lib.honker_ack)

    def retry(self, delay_s: _values.Seconds = 60, error: str = "", tx: Transaction | None = None) -> bool:
        """The job could not be done now: it becomes due again in `delay_s` seconds or, if its attempts are used up,
        ends among the dead with the text `error`.
        """
        text = _values.text(error, "error")
        return self._settle(tx, lib.honker_retry, _values.seconds(delay_s, "delay_s"), text, len(text))

    def fail(self, error: str = "", tx: Transaction | None = None) -> bool:
        """The job can never be done: it ends among the dead."""
        text = _values.text(error, "error")
        return self._settle(tx, lib.honker_fail, text, len(text))

    def snooze(self, delay_s: _values.Seconds, tx: Transaction | None = None) -> bool:
        """It is not the time for it: it becomes due again in `delay_s` seconds, and this attempt does not count."""
        return self._settle(tx, lib.honker_release, _values.seconds(delay_s, "delay_s"))

    def release(self, tx: Transaction | None = None) -> bool:
        """Gives the job back: it is due again at once, and this attempt does not count."""
        return self.snooze(0, tx)

    def heartbeat(self, extend_s: _values.Seconds | None = None, tx: Transaction | None = None) -> bool:
        """The job takes longer: its claim is valid for `extend_s` seconds from now, by default the queue's visibility
        timeout.
        """
        extend = self._queue.visibility_timeout_s if extend_s is None else _values.seconds(extend_s, "extend_s")
        return self._write(tx, lib.honker_heartbeat, extend)

    def settled(self) -> None:
        """Says that the handler settles the job with a connection of its own, before that is committed: its worker
        does not end it then for having lost the job. `ack_on` says so by itself.
        """
        if self._hand is not None:
            self._hand.settles()

    async def aack(self, tx: Transaction | None = None) -> bool:
        """As `ack`, without keeping the event loop while another has the writer; so are the others."""
        return await self._database._arun(lambda: self.ack(tx), tx=tx)

    async def aretry(self, delay_s: _values.Seconds = 60, error: str = "", tx: Transaction | None = None) -> bool:
        return await self._database._arun(lambda: self.retry(delay_s, error, tx), tx=tx)

    async def afail(self, error: str = "", tx: Transaction | None = None) -> bool:
        return await self._database._arun(lambda: self.fail(error, tx), tx=tx)

    async def asnooze(self, delay_s: _values.Seconds, tx: Transaction | None = None) -> bool:
        return await self._database._arun(lambda: self.snooze(delay_s, tx), tx=tx)

    async def arelease(self, tx: Transaction | None = None) -> bool:
        return await self._database._arun(lambda: self.release(tx), tx=tx)

    async def aheartbeat(self, extend_s: _values.Seconds | None = None, tx: Transaction | None = None) -> bool:
        return await self._database._arun(lambda: self.heartbeat(extend_s, tx), tx=tx)

    # Of a job that a `Worker` runs.

    @property
    def cancelled(self) -> str | None:
        """Why its handler should end: "gone" (cancelled, or settled by somebody else), "lapsed", "taken", "timeout",
        "replaced" (the file) or "stop"; None if it should not. For handlers that run in threads.
        """
        return None if self._hand is None else self._hand.reason

    def check(self) -> None:
        """Raises JobCancelled if the handler should end."""
        if self._hand is not None:
            self._hand.check()

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Sleeps for `timeout` seconds, or until the handler should end; whether it should."""
        if self._hand is None:
            raise MisuseError("no worker runs this job")
        return self._hand.wait(timeout)

    # Steps and batches.

    def step(self, name: str, function: Callable[[], T], tx: Transaction | None = None) -> T:
        """Does what the function does once, whatever is retried: what it returns is saved under the name, and an
        attempt that comes later has it without calling. With a `tx` the function's own writes there and the mark are
        committed together, or neither is; without one a crash in between does the step again.

            charge = job.step("charge", lambda: gateway.charge(job.payload["card"], idempotency_key=job.id))

        Names belong to the job: a step in a loop needs one for each time. They are kept as long as the job is, also
        dead.

        Returns what was saved, as JSON has it. Raises JobLost if the worker does not hold the job any more after it,
        and Discard if JSON does not have what the function returns, or it is too large for SQLite (a gigabyte); then
        nothing is saved. A worker leaves a job with such a step among the dead, whatever its handler raises then:
        another attempt would do the step again.
        """
        found, value = self._queue.get_step(self.id, name, tx)
        if found:
            return value  # type: ignore[no-any-return]
        text = _steps.encode(name, function(), self._hand)
        return self._save_step(name, text, tx)  # type: ignore[no-any-return]

    async def astep(self, name: str, function: Callable[[], Awaitable[T] | T], tx: Transaction | None = None) -> T:
        """As `step`, for a coroutine function."""
        found, value = self._queue.get_step(self.id, name, tx)
        if found:
            return value  # type: ignore[no-any-return]
        done = function()
        text = _steps.encode(name, await done if inspect.isawaitable(done) else done, self._hand)
        return await self._database._arun(lambda: self._save_step(name, text, tx), tx=tx)

    def _save_step(self, name: str, text: bytes, tx: Transaction | None) -> Any:
        try:
            return self._queue._save_step(self.id, self.worker_id, name, text, tx)
        except TooBigError as error:
            raise _steps.unsaved(name, error, self._hand) from error

    @property
    def batch(self) -> Batch | None:
        """The batch that it is a member of. While it runs it may add others (`batch=job.batch`), also if that is
        sealed.
        """
        options = self._database._table("_honker_job_options")
        rows = self._database.query(f"SELECT batch_id FROM {options} WHERE job_id = ?", [self.id])
        id = rows[0]["batch_id"] if rows else None
        return None if id is None else Batch(self._database, id, member=self)

    @property
    def _database(self) -> Database:
        return self._queue._database

    def _settle(self, tx: Transaction | None, function: Any, *arguments: Any) -> bool:
        self.settled()  # a process that runs it is not its worker's
        return self._write(tx, function, *arguments)

    def _write(self, tx: Transaction | None, function: Any, *arguments: Any) -> bool:
        worker = self.worker_id.encode()
        return self._database._write(tx, function, self.id, worker, len(worker), *arguments) == _abi.OK

    def __repr__(self) -> str:
        return f"<Job {self.id} of {self.queue_name!r}, payload {self.payload_text}>"


def read_jobs(database: Database, handle: int, count: int, worker_id: str | None, queue: Queue | None) -> list[Job]:
    """The jobs of a claim of `count` at most. Of those that a worker has made, the name it claims by, and their queues,
    are read; others have one queue.
    """
    size, read = _abi.JOB_VIEW.size, ctypes.c_size_t()
    if count > 1000:  # of memory there is what there are jobs for
        database._call(lib.honker_jobs_len, handle, ctypes.byref(read))
        count = max(1, read.value)
    array = _arrays.get(count)
    if array is None:
        if len(_arrays) > 64:
            _arrays.clear()
        array = _arrays[count] = (ctypes.c_char * (size * count), _EMPTY_VIEW * count)
    views = array[0].from_buffer_copy(array[1])
    database._call(lib.honker_jobs_views, handle, 0, views, count, ctypes.byref(read))
    found = memoryview(views)[: read.value * size]
    if queue is not None and worker_id is not None:
        return [
            Job(
                queue,
                worker_id,
                id,
                memory[at : at + length],
                (a, b, c, d, more and memory[metadata : metadata + more]),
            )
            for id, at, length, a, b, c, d, metadata, more in _VIEW.iter_unpack(found)
        ]
    jobs = []
    queues: dict[bytes, Queue] = {}
    for (id, at, length, *rest, metadata, more), (name_at, name_length, worker_at, worker_length) in zip(
        _VIEW.iter_unpack(found), _SHARED.iter_unpack(found)
    ):
        name = memory[name_at : name_at + name_length]
        known = queues.get(name)
        if known is None:
            known = queues[name] = database._known_queue(name.decode())
        worker = memory[worker_at : worker_at + worker_length].decode()
        view = (*rest, more and memory[metadata : metadata + more])
        jobs.append(Job(known, worker, id, memory[at : at + length], view))
    return jobs
