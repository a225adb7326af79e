"""A queue of jobs."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypedDict, TypeVar, Unpack, overload

from . import _abi, _values, payload
from ._consumer import WORKER_FALLBACK_S
from ._library import lib
from .claim import Claims, CoreWorker
from .cron import CronSchedule, expression, next_after
from .enqueue import Enqueue, Enqueued, EnqueueOptions, enqueue, insert, middlewares, options, options_text
from .errors import InvalidError, JobLost
from .job import Job, read_jobs

if TYPE_CHECKING:
    from .database import Database
    from .task import Task, TaskDecorator, TaskOptions
    from .transaction import Transaction

P = ParamSpec("P")
R = TypeVar("R")

VISIBILITY_TIMEOUT_S = 300


class Rate(TypedDict):
    """So many claims in each window."""

    limit: int
    per_s: int


class Retry(TypedDict, total=False):
    """The nth failure is retried in `base_s * factor ** (n - 1)` seconds, at most `max_s`, times a random number in
    1 ± `jitter`.
    """

    base_s: int
    factor: float
    max_s: int
    jitter: float


class QueueSettings(TypedDict, total=False):
    """Those of `Queue.configure`. None sets one back to its default.

    paused: nobody claims jobs; False.
    concurrency: how many claims may be valid at once; any number.
    concurrency_per_key: how many of those with the same concurrency key; any number.
    rate: how many claims there may be in each window; any number.
    max_attempts: of jobs whose enqueue does not say; 3.
    retry: goes before the worker's own backoff; 15 s, 2, 3600 s and 0.1.
    keep_done_s, keep_dead_s: for how many seconds done and dead jobs are kept; 0, and for ever.
    """

    paused: bool | None
    concurrency: int | None
    concurrency_per_key: int | None
    rate: Rate | None
    max_attempts: int | None
    retry: Retry | None
    keep_done_s: int | None
    keep_dead_s: int | None


class Queue:
    """Made by `Database.queue`. Any number of threads and tasks may use it at the same time. Whatever takes a `tx` is
    part of that transaction, and otherwise committed when it returns. The methods that begin with an a are for event
    loops: they are tried at once, and wait in a thread only if another has the writer.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        visibility_timeout_s: _values.Seconds | None = None,
        max_attempts: int | None = None,
    ) -> None:
        self._database = database
        self._text = _values.text(name, "queue name")
        self.name = name
        self.visibility_timeout_s: int = (
            VISIBILITY_TIMEOUT_S
            if visibility_timeout_s is None
            else _values.seconds(visibility_timeout_s, "visibility_timeout_s")
        )
        self.max_attempts: int | None = None if max_attempts is None else _values.integer(max_attempts, "max_attempts")
        self._opts = None if self.max_attempts is None else options(_values.Kept(), max_attempts=self.max_attempts)

    def _same(self, visibility_timeout_s: _values.Seconds | None, max_attempts: int | None) -> Queue:
        given = {"visibility_timeout_s": visibility_timeout_s, "max_attempts": max_attempts}
        for name, value in given.items():
            if value is not None and value != getattr(self, name):
                raise InvalidError(
                    f"queue {self.name!r} is already opened with {name}={getattr(self, name)}, not {value}"
                )
        return self

    # Enqueuing.

    def enqueue(self, payload: Any, tx: Transaction | None = None, **options: Unpack[EnqueueOptions]) -> int:
        """Adds a job; its id.

        payload: what JSON can write; a RawText is stored as it is.
        options: run_at, delay, priority, expires, max_attempts, metadata, unique_key and others: `EnqueueOptions` says
            what they are. If another job has the unique key, the answer is that one's id; `try_enqueue` tells. 0 if a
            middleware has held the job back.
        """
        if not options and not middlewares:
            return insert(self._database, tx, self._text, _encode(payload), self._opts).id
        enqueued = self.try_enqueue(payload, tx, **options)
        return 0 if enqueued is None else enqueued.id

    def try_enqueue(
        self, payload: Any, tx: Transaction | None = None, **options: Unpack[EnqueueOptions]
    ) -> Enqueued | None:
        """As `enqueue`, for those who want to know what came of it: None if a middleware has held the job back."""
        return enqueue(self._database, self._job(payload, options), tx)

    def enqueue_many(
        self, payloads: Iterable[Any], tx: Transaction | None = None, **options: Unpack[EnqueueOptions]
    ) -> list[int]:
        """Adds a job for each of the payloads, all or none, in one commit, with the same options; their ids.
        `Database.enqueue_many` has some for each job.
        """
        jobs = [self._job(payload, options) for payload in payloads]
        return [0 if one is None else one.id for one in self._database.enqueue_many(jobs, tx)]

    async def aenqueue(self, payload: Any, tx: Transaction | None = None, **options: Unpack[EnqueueOptions]) -> int:
        """As `enqueue`. If the task is cancelled while another has the writer, the job is not enqueued, or just was."""
        return await self._database._arun(lambda: self.enqueue(payload, tx, **options), tx=tx)

    async def atry_enqueue(
        self, payload: Any, tx: Transaction | None = None, **options: Unpack[EnqueueOptions]
    ) -> Enqueued | None:
        return await self._database._arun(lambda: self.try_enqueue(payload, tx, **options), tx=tx)

    async def aenqueue_many(
        self, payloads: Iterable[Any], tx: Transaction | None = None, **options: Unpack[EnqueueOptions]
    ) -> list[int]:
        given = list(payloads)
        return await self._database._arun(lambda: self.enqueue_many(given, tx, **options), tx=tx)

    def _job(self, payload: Any, options: EnqueueOptions) -> Enqueue:
        if self.max_attempts is not None and options.get("max_attempts") is None:
            options = {**options, "max_attempts": self.max_attempts}
        return Enqueue(self.name, payload, options)

    # Claiming.

    def claim_one(self, worker: str) -> Job | None:
        """Claims one job for `worker`, highest priority first, then oldest; None if none is due."""
        jobs = self.claim_batch(worker, 1)
        return jobs[0] if jobs else None

    def claim_batch(self, worker: str, n: int) -> list[Job]:
        """Claims up to `n` jobs in one commit."""
        count = _values.integer(n, "n")
        if count <= 0:
            return []
        database, name = self._database, _values.text(worker, "worker")
        out = ctypes.c_void_p()
        database._write(
            None,
            lib.honker_claim,
            self._text,
            len(self._text),
            name,
            len(name),
            count,
            self.visibility_timeout_s,
            ctypes.byref(out),
        )
        if not out.value:
            return []
        try:
            return read_jobs(database, out.value, count, worker, self)
        finally:
            lib.honker_jobs_free(out)

    async def aclaim_one(self, worker: str) -> Job | None:
        """As `claim_one`. A job that was claimed while the task was cancelled is given back."""
        jobs = await self.aclaim_batch(worker, 1)
        return jobs[0] if jobs else None

    async def aclaim_batch(self, worker: str, n: int) -> list[Job]:
        return await self._database._arun(lambda: self.claim_batch(worker, n), undo=release_all)

    def claim(self, worker: str, idle_poll_s: float | None = WORKER_FALLBACK_S) -> Claims:
        """Claims jobs for `worker`, one after the other, and waits for them: for `async for` and `for`. It sleeps until
        something is committed, a delayed job becomes due or a claim lapses.

            async for job in queue.claim("worker-1"):
                await handle(job.payload)
                job.ack()

        Each job has to be settled; one that is not goes to the next worker when its time is over. A task that is
        cancelled while it waits loses no job. Close it (`aclose`, or `async with`) to be rid of it before it is
        garbage.

        idle_poll_s: how often it looks without having been woken; None for never.
        """
        return Claims(self._database, [self], worker, idle_poll_s)

    def core_worker(self, name: str, **options: Any) -> CoreWorker:
        """See `Database.core_worker`."""
        return self._database.core_worker(
            {self.name: 1}, name, visibility_timeout_s=self.visibility_timeout_s, **options
        )

    # Settling, by id. See `Job` for what each means.

    def ack(self, id: int, worker: str, tx: Transaction | None = None) -> bool:
        return self._settle(tx, lib.honker_ack, id, worker)

    def retry(self, id: int, worker: str, delay_s: _values.Seconds, error: str, tx: Transaction | None = None) -> bool:
        text = _values.text(error, "error")
        return self._settle(tx, lib.honker_retry, id, worker, _values.seconds(delay_s, "delay_s"), text, len(text))

    def fail(self, id: int, worker: str, error: str, tx: Transaction | None = None) -> bool:
        text = _values.text(error, "error")
        return self._settle(tx, lib.honker_fail, id, worker, text, len(text))

    def heartbeat(
        self, id: int, worker: str, extend_s: _values.Seconds | None = None, tx: Transaction | None = None
    ) -> bool:
        extend = self.visibility_timeout_s if extend_s is None else _values.seconds(extend_s, "extend_s")
        return self._settle(tx, lib.honker_heartbeat, id, worker, extend)

    def release(self, id: int, worker: str, delay_s: _values.Seconds = 0, tx: Transaction | None = None) -> bool:
        """Gives it back, due in `delay_s` seconds; this attempt does not count."""
        return self._settle(tx, lib.honker_release, id, worker, _values.seconds(delay_s, "delay_s"))

    def ack_batch(self, ids: Sequence[int], worker: str, tx: Transaction | None = None) -> int:
        """Removes jobs that `worker` still holds, in one commit; how many that were."""
        try:
            packed = struct.pack(f"@{len(ids)}q", *ids)
        except struct.error:
            packed = struct.pack(f"@{len(ids)}q", *[_values.integer(id, "id") for id in ids])
        name, out = _values.text(worker, "worker"), ctypes.c_int64()
        self._database._write(tx, lib.honker_ack_batch, packed, len(ids), name, len(name), ctypes.byref(out))
        return out.value

    async def aack(self, id: int, worker: str, tx: Transaction | None = None) -> bool:
        return await self._database._arun(lambda: self.ack(id, worker, tx), tx=tx)

    async def aack_batch(self, ids: Sequence[int], worker: str, tx: Transaction | None = None) -> int:
        return await self._database._arun(lambda: self.ack_batch(ids, worker, tx), tx=tx)

    async def aretry(
        self, id: int, worker: str, delay_s: _values.Seconds, error: str, tx: Transaction | None = None
    ) -> bool:
        return await self._database._arun(lambda: self.retry(id, worker, delay_s, error, tx), tx=tx)

    async def afail(self, id: int, worker: str, error: str, tx: Transaction | None = None) -> bool:
        return await self._database._arun(lambda: self.fail(id, worker, error, tx), tx=tx)

    async def aheartbeat(
        self, id: int, worker: str, extend_s: _values.Seconds | None = None, tx: Transaction | None = None
    ) -> bool:
        return await self._database._arun(lambda: self.heartbeat(id, worker, extend_s, tx), tx=tx)

    def _settle(self, tx: Transaction | None, function: Any, id: int, worker: str, *arguments: Any) -> bool:
        name = _values.text(worker, "worker")
        status = self._database._write(tx, function, _values.integer(id, "id"), name, len(name), *arguments)
        return status == _abi.OK

    # Looking and acting.

    def cancel(self, id: int, tx: Transaction | None = None) -> bool:
        """Removes a job, pending or claimed; a handler that runs is told. False if there is no such job."""
        return self._database._write(tx, lib.honker_cancel, _values.integer(id, "id")) == _abi.OK

    async def acancel(self, id: int, tx: Transaction | None = None) -> bool:
        return await self._database._arun(lambda: self.cancel(id, tx), tx=tx)

    def get_job(self, id: int, tx: Transaction | None = None) -> dict[str, Any] | None:
        """The row of a job that is not done, with its payload decoded; None if there is none."""
        row = self._database._json(self._database._read, tx, lib.honker_get_job, _values.integer(id, "id"))
        return _row(row)

    def sweep_expired(self, tx: Transaction | None = None) -> int:
        """Moves jobs that have expired to the dead; how many that were."""
        out = ctypes.c_int64()
        self._database._write(tx, lib.honker_sweep_expired, *self._name, ctypes.byref(out))
        return out.value

    def stats(self, tx: Transaction | None = None) -> dict[str, Any]:
        """How many jobs there are, by state, and since when the oldest due one waits."""
        stats: dict[str, Any] = self._database._json(self._database._read, tx, lib.honker_queue_stats, *self._name)
        return stats

    def dead(self, limit: int = 100, tx: Transaction | None = None) -> list[dict[str, Any]]:
        """The rows of dead jobs, the last one first."""
        rows = self._database._json(
            self._database._read, tx, lib.honker_dead_list, *self._name, _values.integer(limit, "limit")
        )
        return [_row(row) or {} for row in rows]

    def requeue(self, id: int, tx: Transaction | None = None) -> bool:
        """A dead job becomes due, with all of its attempts. False if there is none of that id."""
        return self._database._write(tx, lib.honker_dead_requeue, _values.integer(id, "id")) == _abi.OK

    def purge_dead(self, older_than_s: _values.Seconds = 0, tx: Transaction | None = None) -> int:
        """Deletes jobs that have been dead for longer; how many that were."""
        out = ctypes.c_int64()
        seconds = _values.seconds(older_than_s, "older_than_s")
        self._database._write(tx, lib.honker_dead_purge, *self._name, seconds, ctypes.byref(out))
        return out.value

    def dead_groups(self, tx: Transaction | None = None) -> list[dict[str, Any]]:
        """See `Database.dead_groups`."""
        return self._database.dead_groups(self, tx)

    def next_claim_at(self) -> int | None:
        """When a claim may find something, in Unix seconds, should nobody enqueue; None if never."""
        return self._next_claim_at() or None

    def _next_claim_at(self) -> int:
        out = ctypes.c_int64()
        self._database._read(None, lib.honker_queue_next_claim_at, *self._name, ctypes.byref(out))
        return out.value

    def get_step(self, id: int, name: str, tx: Transaction | None = None) -> tuple[bool, Any]:
        """Whether a step of a job is done (`Job.step`), and what was saved."""
        key = _values.text(name, "name")
        saved = self._database._text(
            self._database._read, tx, lib.honker_step_get, _values.integer(id, "id"), key, len(key)
        )
        return (False, None) if saved is None else (True, payload.decode(saved))

    def save_step(self, id: int, worker: str, name: str, value: Any, tx: Transaction | None = None) -> Any:
        """Says that it is done, once: what is saved then, also if it was before. JobLost if `worker` does not hold the
        job.
        """
        return self._save_step(id, worker, name, payload.encode(value, f"step {name}"), tx)

    def _save_step(self, id: int, worker: str, name: str, text: bytes, tx: Transaction | None) -> Any:
        key, who = _values.text(name, "name"), _values.text(worker, "worker")
        arguments = (_values.integer(id, "id"), who, len(who), key, len(key), text, len(text))
        saved = self._database._text(self._database._write, tx, lib.honker_step_save, *arguments)
        if saved is None:
            raise JobLost(f"job {id} is lost, and step {name} not saved")
        return payload.decode(saved)

    # Settings.

    def configure(self, tx: Transaction | None = None, **settings: Unpack[QueueSettings]) -> None:
        """Sets what holds for the queue, in every process from the commit on. None sets something back to its default;
        what is not given stays as it is.

            emails.configure(concurrency=20, concurrency_per_key=1, rate={"limit": 100, "per_s": 60})

        settings: `QueueSettings` says what they are.

        Raises ValueError if there is no such setting, or no such value of it; then nothing is set.
        """
        text = options_text(settings)
        self._database._write(tx, lib.honker_queue_configure, *self._name, text, len(text))

    async def aconfigure(self, tx: Transaction | None = None, **settings: Unpack[QueueSettings]) -> None:
        await self._database._arun(lambda: self.configure(tx, **settings), tx=tx)

    def settings(self, tx: Transaction | None = None) -> dict[str, Any]:
        """What holds for the queue, with all keys of `configure`."""
        settings: dict[str, Any] = self._database._json(
            self._database._read, tx, lib.honker_queue_settings, *self._name
        )
        return settings

    def pause(self, tx: Transaction | None = None) -> None:
        """Nobody claims jobs any more, in whichever process. What runs goes on, and what is enqueued waits."""
        self.configure(tx, paused=True)

    def resume(self, tx: Transaction | None = None) -> None:
        """Ends that."""
        self.configure(tx, paused=None)

    # Tasks.

    @overload
    def task(self, name: Callable[P, Awaitable[R]], /) -> Task[P, R]: ...
    @overload
    def task(self, name: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(self, name: str | None = None, **options: Unpack[TaskOptions]) -> TaskDecorator: ...
    def task(self, name: Any = None, **options: Unpack[TaskOptions]) -> Any:
        """Makes a function a task, which workers of this queue run: calling it enqueues, and returns a `TaskResult`.

            @emails.task(retries=10, timeout_s=30)
            def send_email(to): ...

            send_email("alice@example.com")

        name: by which workers find it; None: the module's and the function's.
        options: `retries`, how often it may be tried (None: as the queue says); `retry_delay_s`, after which it is
            tried again (None: by the worker's or the queue's backoff); `timeout_s`, after which it is retried and
            cancelled (None: never; a thread goes on, and keeps its place until it returns); `priority`; `expires_s`,
            after which it is not begun any more; `store_result` (True) and `result_ttl_s` (3600; None: for ever).

        ValueError if another function has the name.
        """
        from .task import TaskDecorator

        if callable(name):
            return TaskDecorator(self, None, options)(name)
        return TaskDecorator(self, name, options)

    def periodic_task(
        self,
        schedule: str | CronSchedule,
        *,
        name: str | None = None,
        scheduler_name: str | None = None,
        overlap: Literal["allow", "skip"] = "allow",
        **options: Unpack[TaskOptions],
    ) -> TaskDecorator:
        """Makes a function a task that is enqueued by itself, without arguments: as `crontab(...)`, `every_s(...)` or
        an expression say. Workers register its schedule when they begin, by the task's name or `scheduler_name`, and
        fire it. Results are not stored, unless `store_result` says so.

            @reports.periodic_task(crontab("0 3 * * *"))
            def nightly(): ...
        """
        from .task import Periodic, TaskDecorator

        next_after(expression(schedule).decode(), 0)  # what is wrong with it is said here
        given: TaskOptions = {"store_result": False, **options}
        return TaskDecorator(self, name, given, Periodic(schedule, scheduler_name, overlap))

    # Results.

    def save_result(
        self, id: int, value: Any, ttl: _values.Seconds | None = None, tx: Transaction | None = None
    ) -> None:
        """Saves what came of a job, replacing an earlier result. It expires after `ttl` seconds; None: never."""
        self._database.save_result(id, value, ttl, tx)

    def get_result(self, id: int, tx: Transaction | None = None) -> tuple[bool, Any]:
        """Whether there is a result, and what it is."""
        return self._database.get_result(id, tx)

    async def wait_result(self, id: int, timeout: float | None = None) -> Any:
        """Waits for the result of a job. TimeoutError (asyncio's is the same) if there is none in `timeout` seconds; a
        job that ends without a result never has one.
        """
        return await self._database.await_result(id, timeout)

    def sweep_results(self, tx: Transaction | None = None) -> int:
        """Deletes expired results; how many that were."""
        return self._database.sweep_results(tx)

    @property
    def _name(self) -> tuple[bytes, int]:
        return self._text, len(self._text)

    def __repr__(self) -> str:
        return f"<Queue {self.name!r} of {self._database._name}>"


_encode = payload.encode


def _row(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """With its payload, and the result if it has one, decoded."""
    if row is None:
        return None
    made = dict(row)
    for name in ("payload", "result"):
        if isinstance(made.get(name), str):
            made[name] = payload.decode(made[name])
    return made


def release_all(jobs: Iterable[Job]) -> None:
    """They were claimed for a task that is cancelled."""
    for job in jobs:
        job.release()
