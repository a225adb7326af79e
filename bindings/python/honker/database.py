"""An open database: the SQLite file, or the one on a Postgres server, and the connections to use it."""

from __future__ import annotations

import ctypes
import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, Unpack

from . import _abi, _library, _loop, _server, _values, payload
from . import _inspection as inspection
from ._consumer import READER_FALLBACK_S
from ._dispatcher import Dispatcher
from ._library import lib, memory
from .batch import Batch
from .claim import CoreWorker, QueueShare
from .enqueue import Enqueue, Enqueued, around, callback, middlewares, options_text, write_many
from .errors import (
    BusyError,
    CannotOpenError,
    ClosedError,
    Error,
    InterruptedError,
    InvalidError,
    MisuseError,
    error_of,
)
from .jobs import JobConditions, Jobs
from .lock import Lock
from .notification import Listener, Updates
from .outbox import Outbox
from .queue import Queue, _row
from .result import ResultWait
from .scheduler import Scheduler
from .stream import Stream
from .transaction import AsyncTransaction, OpenTransaction, Transaction

if TYPE_CHECKING:
    from ._stop import Stop
    from .cron import CronSchedule
    from .task import TaskDecorator, TaskOptions
    from .worker import Handler, Worker, WorkerOptions

T = TypeVar("T")

DURABILITIES = {"normal": _abi.DURABILITY_NORMAL, "full": _abi.DURABILITY_FULL}
JOURNALS = {
    "wal": _abi.JOURNAL_WAL,
    "delete": _abi.JOURNAL_DELETE,
    "truncate": _abi.JOURNAL_TRUNCATE,
    "persist": _abi.JOURNAL_PERSIST,
}
# A native call cannot be ended by a signal. So the library waits for a lock for a slice only, which is long enough to
# take turns with the threads of this process, and in between Python sleeps. With a rollback journal a commit waits for
# readers, who would never let it in if it gave up in between: there the library waits for all of it.
SLICE_MS = 10
PAUSE_MIN_S = 0.001
PAUSE_MAX_S = 0.02


def _close(handle: int, pid: int) -> None:
    if os.getpid() == pid:
        lib.honker_close(handle, None)


def open(
    path: str | os.PathLike[str],
    max_readers: int = 8,
    watcher_backend: str | None = None,
    watcher_poll_interval_ms: int | None = None,
    *,
    busy_timeout_ms: int = 5000,
    durability: str = "normal",
    journal_mode: str = "wal",
    library_path: str | os.PathLike[str] | None = None,
) -> Database:
    """Opens a file, creating it if need be, or connects to Postgres; the same as `Database(...)`, which says what the
    arguments are.
    """
    return Database(
        path,
        max_readers,
        watcher_backend,
        watcher_poll_interval_ms,
        busy_timeout_ms=busy_timeout_ms,
        durability=durability,
        journal_mode=journal_mode,
        library_path=library_path,
    )


class Database:
    """An open database. Any number of threads and event loops may use it at the same time; writes that meet share a
    commit, reads run beside them.

    What is called without a `tx` is committed when it returns; should the process die in the middle of it, it has
    happened completely or not at all. A child process that was forked opens it again.

    path: the file's name, or a `file:` URI; or the URL of a Postgres database, `postgres://...`, for which what follows
        says nothing, but for max_readers, the number of connections, and busy_timeout_ms.
    max_readers: how many reads may run at once.
    watcher_backend: how commits are noticed: "auto" (also None), "polling", "kernel" or "shm".
    watcher_poll_interval_ms: how often the back ends that poll look; 1.
    busy_timeout_ms: how long a call waits for a lock that somebody else holds.
    durability: "normal", where a power cut may take the last commits back, or "full".
    journal_mode: "wal", "delete", "truncate" or "persist".
    library_path: where libhonker is; by default HONKER_LIBRARY, the copy in this package, the system's.

    Raises ValueError for options that cannot be used, LibraryError, and otherwise an Error that says what is wrong with
    the file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        max_readers: int = 8,
        watcher_backend: str | None = None,
        watcher_poll_interval_ms: int | None = None,
        *,
        busy_timeout_ms: int = 5000,
        durability: str = "normal",
        journal_mode: str = "wal",
        library_path: str | os.PathLike[str] | None = None,
    ) -> None:
        name = os.fspath(path)
        if not isinstance(name, str):
            name = os.fsdecode(name)
        self.path: str = name
        self._name = _server.shown(name)
        self._is_server = _server.is_url(name)
        self.warning: str | None = None
        self._options: dict[str, Any] = {
            "max_readers": max_readers,
            "watcher_backend": watcher_backend,
            "watcher_poll_interval_ms": watcher_poll_interval_ms,
            "busy_timeout_ms": busy_timeout_ms,
            "durability": durability,
            "journal_mode": journal_mode,
            "library_path": library_path,
        }
        journal = _values.choice(JOURNALS, journal_mode, "journal_mode")
        busy_ms = _values.integer(busy_timeout_ms, "busy_timeout_ms")
        # A server does all of the waiting: a statement that gives up costs the transaction that it is in.
        self._waits = journal == _abi.JOURNAL_WAL and not self._is_server
        native_ms = min(busy_ms, SLICE_MS) if self._waits else busy_ms
        self._lock_wait_s = (busy_ms - native_ms) / 1000
        readers = _values.integer(max_readers, "max_readers")
        if not 1 <= readers <= 1000:
            raise InvalidError(f"max_readers has to be from 1 to 1000: {readers}")
        kept = _values.Kept()
        opts = _abi.OPEN_OPTS.pack(
            _abi.OPEN_OPTS.size,
            0,
            native_ms,
            readers,
            _values.choice(DURABILITIES, durability, "durability"),
            journal,
            10_000,
            _abi.NESTING_WAIT,  # of which thread a transaction is, is known here
            0,
            *kept.place(_values.optional_text(watcher_backend, "watcher_backend")),
            1
            if watcher_poll_interval_ms is None
            else _values.positive(watcher_poll_interval_ms, "watcher_poll_interval_ms"),
        )
        _library.load(library_path)
        self._pid = os.getpid()
        self._handle = 0
        self._closed = False
        self._interrupts = 0
        self._looked_after = False
        self._open_transaction: OpenTransaction | None = None
        self._queues: dict[str, Queue] = {}
        self._streams: dict[str, Stream] = {}
        self._outboxes: dict[str, Outbox] = {}
        self._lock = threading.Lock()
        self._dispatchers: weakref.WeakKeyDictionary[Any, Dispatcher] = weakref.WeakKeyDictionary()
        self._private: weakref.WeakSet[Dispatcher] = weakref.WeakSet()
        self._consumers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._pool = _loop.Pool()
        self._handle = self._open(_values.text(name, "path"), opts)
        self._finalizer = weakref.finalize(self, _close, self._handle, self._pid)

    def _open(self, path: bytes, opts: bytes) -> int:
        out, error = ctypes.c_void_p(), ctypes.c_void_p()
        deadline = time.monotonic() + self._lock_wait_s
        while True:
            status = lib.honker_open(path, len(path), opts, ctypes.byref(out), ctypes.byref(error))
            if status >= 0:
                break
            if status != _abi.BUSY or time.monotonic() >= deadline:
                raise self._error(status, error)
            lib.honker_error_free(error)
            time.sleep(PAUSE_MAX_S)
        if error.value:
            self.warning = str(self._error(_abi.UNSUPPORTED, error))
        return out.value or 0

    # Closing.

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Closes the file. Calls and waits of other threads and tasks end with ClosedError, as do later ones, and an
        open transaction is rolled back. Closing again does nothing; in a forked child it does nothing to the parent's.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            dispatchers = [*self._dispatchers.values(), *self._private]
        if self._pid != os.getpid():
            return
        self._finalizer.detach()
        handle, self._handle = self._handle, 0
        error = ctypes.c_void_p()
        status = lib.honker_close(handle, ctypes.byref(error))
        for dispatcher in dispatchers:
            dispatcher.close()
        self._pool.close()
        if status < 0:
            raise self._error(status, error)

    def interrupt(self) -> None:
        """Ends the calls and waits that are running, in whichever thread or task, with InterruptedError."""
        self._call(lib.honker_interrupt, self._handle)
        self._interrupts += 1
        for consumer in list(self._consumers):
            consumer._dispatcher.wake(consumer._place)

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a database cannot be sent to another process: open it there ({self._name})")

    def __repr__(self) -> str:
        return f"<Database {self._name}{' (closed)' if self._closed else ''}>"

    # SQL.

    def transaction(self) -> Transaction:
        """A block that is committed at its end, and rolled back if it is left by an exception.

            with db.transaction() as tx:
                tx.execute("INSERT INTO orders (id) VALUES (?)", [42])
                queue.enqueue({"order_id": 42}, tx=tx)

        It waits for one of another thread or process, for the busy timeout. While it is open, what is called without
        the `tx` in the same thread, and writes, is a MisuseError at once: it would wait for itself.
        """
        return Transaction(self)

    def atransaction(self) -> AsyncTransaction:
        """The same for tasks: `async with db.atransaction() as tx`. It waits for others without keeping the event loop,
        and the async forms of other tasks wait for it. What is done with the `tx` in the block is done at once.
        """
        return AsyncTransaction(self)

    def query(self, sql: str, params: Sequence[_values.Parameter] | None = None) -> list[_values.Row]:
        """The rows of one statement that only reads, each a dict by its columns' names. They are what is committed;
        honker's SQL functions are not there.
        """
        return self._rows(lib.honker_query, self._handle, sql, params)

    def queue(
        self, name: str, visibility_timeout_s: _values.Seconds | None = None, max_attempts: int | None = None
    ) -> Queue:
        """The queue of that name, always the same object.

        visibility_timeout_s: for how many seconds a claimed job is its worker's; 300.
        max_attempts: how often a job of this queue's `enqueue` may be claimed; None for what `Queue.configure` has set
            in the file, or else 3.

        Raises ValueError if it was asked for with other options before; without any, that one is given.
        """
        with self._lock:
            known = self._queues.get(name)
            if known is not None:
                return known._same(visibility_timeout_s, max_attempts)
            self._check_construction("Queue")
            queue = Queue(self, name, visibility_timeout_s, max_attempts)
            if not self._looked_after:
                self._looked_after = self._is_server or inspection.look_after(self)
            return self._queues.setdefault(name, queue)

    # Jobs of all queues.

    def core_worker(
        self, queues: Mapping[str, int | QueueShare], name: str, *, private: bool = False, **options: Any
    ) -> CoreWorker:
        """The core's worker, for those who run handlers in their own way.

        queues: by their names, each with how often it is asked first, compared with the others, or a `QueueShare`.
        private: for a thread that waits, although an event loop runs in it.
        options: visibility_timeout_s (300), fallback_s (5), max_run_s (None), retry_base_s (15), retry_factor (2.0),
            retry_max_s (3600), retry_jitter (0.1), heartbeat (True), rescue (True).
        """
        return CoreWorker(self, queues, name, private=private, **options)

    def enqueue_many(
        self, jobs: Iterable[Enqueue | Mapping[str, Any]], tx: Transaction | None = None
    ) -> list[Enqueued | None]:
        """Adds jobs to any queues, all or none, in one commit.

            db.enqueue_many([{"queue": "emails", "payload": {"to": "alice"}}, {"queue": "reports", "payload": 7,
            "delay": 60}])

        jobs: `Enqueue`, or dicts with `queue` (its name, or a Queue), `payload`, and the options of `Queue.enqueue`.

        In that order, each with its id and what came of it; None for one that a middleware has held back. Middlewares
        are called before all of them, and cannot know what comes of them.
        """
        specs = [self._enqueue_of(job) for job in jobs]
        if not middlewares:
            return list(write_many(self, specs, tx))
        let = [around(job) for job in specs]
        written = iter(write_many(self, [job for job, goes in zip(specs, let) if goes], tx))
        return [next(written) if goes else None for goes in let]

    async def aenqueue_many(
        self, jobs: Iterable[Enqueue | Mapping[str, Any]], tx: Transaction | None = None
    ) -> list[Enqueued | None]:
        given = list(jobs)
        return await self._arun(lambda: self.enqueue_many(given, tx), tx=tx)

    def _enqueue_of(self, job: Enqueue | Mapping[str, Any]) -> Enqueue:
        if isinstance(job, Enqueue):
            return job
        if not isinstance(job, Mapping) or not {"queue", "payload"} <= set(job):
            raise TypeError(f"a job has to be a dict with queue, payload and options of enqueue, not {job!r}")
        options: Any = {name: value for name, value in job.items() if name not in ("queue", "payload")}
        queue = job["queue"]
        if isinstance(queue, Queue):
            return queue._job(job["payload"], options)
        return Enqueue(queue, job["payload"], options)

    def queues(self, tx: Transaction | None = None) -> list[dict[str, Any]]:
        """Every queue that has settings or a job, by name, each with the keys queue and those of `Queue.settings`."""
        queues: list[dict[str, Any]] = self._json(self._read, tx, lib.honker_queues)
        return queues

    def batch(
        self,
        id: int | str | None = None,
        *,
        on_finished: Enqueue | Mapping[str, Any] | None = None,
        on_success: Enqueue | Mapping[str, Any] | None = None,
        keep_s: int | None = None,
        tx: Transaction | None = None,
    ) -> Batch:
        """Jobs that are waited for together: a new batch, which is sealed at the end of its block, or by `Batch.seal`;
        with an id the one that was made before. A callback's job has that in its metadata (`batch_id`).

            with db.batch(on_success={"queue": "reports", "payload": {"month": 7}}) as batch:
                for page in pages:
                    queue.enqueue({"page": page}, batch=batch)

        on_finished: what is enqueued when the last of its jobs has ended, in the same commit. Middlewares are not
            called.
        on_success: the same if all of them are done, and none is dead or cancelled.
        keep_s: for how many seconds it can be looked at after that; None for a day.
        """
        given = {"on_finished": on_finished, "on_success": on_success}
        if id is not None:
            if keep_s is not None or any(given.values()):
                raise InvalidError("on_finished, on_success and keep_s are for a new batch")
            return Batch(self, _values.positive(int(id), "id"), tx)
        options: dict[str, Any] = {name: callback(job, name) for name, job in given.items() if job is not None}
        if keep_s is not None:
            options["keep_s"] = keep_s
        out, text = ctypes.c_int64(), options_text(options)
        self._write(tx, lib.honker_batch_create, text, len(text), ctypes.byref(out))
        return Batch(self, out.value, tx)

    def jobs(self, *, tx: Transaction | None = None, **conditions: Unpack[JobConditions]) -> Jobs:
        """Jobs of all kinds, to look at and to act on: those that fulfil all conditions (`JobConditions`). One that is
        None is a ValueError.

            db.jobs(queue="emails", state="dead", error="503").retry()
        """
        return Jobs(self, conditions, tx)

    def dead_groups(self, queue: str | Queue | None = None, tx: Transaction | None = None) -> list[dict[str, Any]]:
        """The dead of a queue, or of all, by what they died of, the largest group first, each with the keys error (#
        stands for a number or an id), count, and newest, the row of the one that died last. It reads them all.
        """
        name = _values.optional_text(queue.name if isinstance(queue, Queue) else queue, "queue")
        groups = self._json(self._read, tx, lib.honker_dead_groups, name, len(name or b""))
        return [{**group, "newest": _row(group["newest"])} for group in groups]

    def metrics(self, tx: Transaction | None = None) -> dict[str, Any]:
        """What is known of each queue: its counts, histograms and depth, all in seconds. Processes add what they have
        counted to the file every ten seconds, and when they close it. It reads the indexes of all jobs.
        """
        metrics: dict[str, Any] = self._json(self._read, tx, lib.honker_metrics)
        return metrics

    def status(self) -> dict[str, Any]:
        """What is known of the file and its use: the watcher's back end and state, warnings, connections, versions."""
        status: dict[str, Any] = self._json(self._call, lib.honker_status, self._handle)
        return status

    # Streams, notifications, schedules, outboxes.

    def stream(self, name: str) -> Stream:
        """The stream of that topic, always the same object."""
        with self._lock:
            known = self._streams.get(name)
            return self._streams.setdefault(name, Stream(self, name)) if known is None else known

    def scheduler(self) -> Scheduler:
        return Scheduler(self)

    def outbox(
        self,
        name: str,
        delivery: Callable[[Any], Any],
        max_attempts: int = 5,
        base_backoff_s: _values.Seconds = 5,
        visibility_timeout_s: _values.Seconds = 60,
    ) -> Outbox:
        """The outbox of that name, always the same object: what is enqueued there is given to `delivery`, a function or
        a coroutine function that takes the payload and raises if that fails.

        max_attempts: how often it is tried.
        base_backoff_s: how long the first retry waits; each further one waits twice as long.
        visibility_timeout_s: how long an attempt of a worker that died is waited for.

        Raises ValueError if it was asked for with another delivery or other options before.
        """
        options = (
            _values.integer(max_attempts, "max_attempts"),
            _values.seconds(base_backoff_s, "base_backoff_s"),
            _values.seconds(visibility_timeout_s, "visibility_timeout_s"),
        )
        if not callable(delivery):
            raise TypeError(f"delivery has to be callable, not {type(delivery).__name__}")
        with self._lock:
            known = self._outboxes.get(name)
            if known is not None:
                return known._same(delivery, options)
            self._check_construction("Outbox")
            return self._outboxes.setdefault(name, Outbox(self, name, delivery, *options))

    def listen(self, channel: str, fallback_poll_s: float | None = READER_FALLBACK_S) -> Listener:
        """Delivers what is sent to a channel after this has returned: for `async for` and `for`.

        fallback_poll_s: how often it looks without having been woken; None for never.
        """
        return Listener(self, channel, fallback_poll_s)

    def update_events(self) -> Updates:
        """Tells that something was committed, by anyone in any process: for `async for` and `for`, None each time."""
        return Updates(self)

    def notify(self, channel: str, value: Any, tx: Transaction | None = None) -> int:
        """Sends a notification to whoever listens, when it is committed; its id."""
        name, text, out = _values.text(channel, "channel"), payload.encode(value), ctypes.c_int64()
        self._write(tx, lib.honker_notify, name, len(name), text, len(text), ctypes.byref(out))
        return out.value

    async def anotify(self, channel: str, value: Any, tx: Transaction | None = None) -> int:
        return await self._arun(lambda: self.notify(channel, value, tx), tx=tx)

    def prune_notifications(self, older_than_s: _values.Seconds | None = None, max_keep: int | None = None) -> int:
        """Deletes the notifications that are older, and those that are not among the `max_keep` newest; how many that
        were.
        """
        out = ctypes.c_int64()
        if max_keep is not None and max_keep < 0:
            raise InvalidError("max_keep must not be negative")
        self._write(
            None,
            lib.honker_notifications_prune,
            _values.optional_seconds(older_than_s, "older_than_s"),
            _values.optional_integer(max_keep, "max_keep"),
            ctypes.byref(out),
        )
        return out.value

    def configure_notifications(self, *, keep_s: int | None, tx: Transaction | None = None) -> None:
        """For how many seconds notifications are kept, in every process; None: until somebody prunes them."""
        text = options_text({"keep_s": keep_s})
        self._write(tx, lib.honker_notifications_configure, text, len(text))

    # Locks and rate limits.

    def lock(self, name: str, ttl: _values.Seconds = 60, owner: str | None = None) -> Lock:
        """A lock that others respect, for `with`, which raises LockHeld if somebody else has it.

        ttl: for how many whole seconds it is taken, should it not be released; with less than 1 it keeps nobody out.
        owner: by default a random name each time it is taken.
        """
        return Lock(self, name, ttl, owner)

    def try_rate_limit(self, name: str, limit: int, per: _values.Seconds) -> bool:
        """Counts one use of `name` if there were fewer than `limit` in the current window of `per` seconds; False, and
        nothing counted, if there were not.
        """
        text = _values.text(name, "name")
        numbers = _values.positive(limit, "limit"), _values.positive(_values.seconds(per, "per"), "per")
        return self._write(None, lib.honker_rate_limit_try, text, len(text), *numbers) == _abi.OK

    def sweep_rate_limits(self, older_than_s: _values.Seconds = 3600) -> int:
        """Deletes the counts of windows that began earlier than that; how many that were."""
        out = ctypes.c_int64()
        self._write(None, lib.honker_rate_limit_sweep, _values.seconds(older_than_s, "older_than_s"), ctypes.byref(out))
        return out.value

    # Results.

    def save_result(
        self, id: int, value: Any, ttl: _values.Seconds | None = None, tx: Transaction | None = None
    ) -> None:
        """See `Queue.save_result`."""
        text = payload.encode(value, "value")
        ttl_s = 0 if ttl is None else _values.seconds(ttl, "ttl")
        self._write(tx, lib.honker_result_save, _values.integer(id, "id"), text, len(text), ttl_s)

    async def asave_result(
        self, id: int, value: Any, ttl: _values.Seconds | None = None, tx: Transaction | None = None
    ) -> None:
        await self._arun(lambda: self.save_result(id, value, ttl, tx), tx=tx)

    def get_result(self, id: int, tx: Transaction | None = None) -> tuple[bool, Any]:
        """Whether there is a result, and what it is."""
        text = self._text(self._read, tx, lib.honker_result_get, _values.integer(id, "id"))
        return (False, None) if text is None else (True, payload.decode(text))

    def wait_result(self, id: int, timeout: float | None = None) -> Any:
        """Waits for the result of a job, in this thread. TimeoutError if there is none in `timeout` seconds; a job that
        ends without a result never has one.
        """
        found, value = self.get_result(id)  # the first look needs no waiter
        if found:
            return value
        with ResultWait(self, id, private=True) as waiting:
            return waiting.result(waiting._wait(waiting._look, timeout))

    async def await_result(self, id: int, timeout: float | None = None) -> Any:
        """As `wait_result`, in a task."""
        found, value = self.get_result(id)
        if found:
            return value
        async with ResultWait(self, id) as waiting:
            return waiting.result(await waiting._await(waiting._look, timeout))

    def sweep_results(self, tx: Transaction | None = None) -> int:
        """Deletes expired results; how many that were."""
        out = ctypes.c_int64()
        self._write(tx, lib.honker_result_sweep, ctypes.byref(out))
        return out.value

    # Workers and tasks.

    def worker(
        self,
        queues: str | Queue | Iterable[str | Queue] | Mapping[str, int | QueueShare] | None = None,
        handler: Handler | Mapping[str, Handler] | None = None,
        **options: Unpack[WorkerOptions],
    ) -> Worker:
        """A worker of these queues, and what handles their jobs; None: of tasks. See `Worker`.

        db.worker("emails", lambda job: send_email(job.payload), concurrency=8).run()
        """
        from .worker import Worker

        return Worker(self, queues, handler, **options)

    def task(
        self, queue: str | Queue = "default", name: str | None = None, **options: Unpack[TaskOptions]
    ) -> TaskDecorator:
        """`Queue.task` of the queue of that name."""
        return self._queue_of(queue).task(name, **options)

    def periodic_task(
        self,
        schedule: str | CronSchedule,
        queue: str | Queue = "default",
        *,
        name: str | None = None,
        scheduler_name: str | None = None,
        overlap: Literal["allow", "skip"] = "allow",
        **options: Unpack[TaskOptions],
    ) -> TaskDecorator:
        """`Queue.periodic_task` of the queue of that name."""
        return self._queue_of(queue).periodic_task(
            schedule, name=name, scheduler_name=scheduler_name, overlap=overlap, **options
        )

    async def run_workers(
        self,
        queue: str | Queue | Iterable[str | Queue] | None = None,
        concurrency: int | None = None,
        stop_event: Stop | None = None,
    ) -> None:
        """Runs tasks in this asyncio loop, `concurrency` at a time (None: as many as there are processors), until the
        event is set or it is cancelled; of the given queues, or all that have tasks. `Worker` has more.

        Raises ValueError if there are no tasks in this process.
        """
        await self.worker(queue, concurrency=concurrency).arun(stop_event)

    def _queue_of(self, queue: str | Queue) -> Queue:
        return queue if isinstance(queue, Queue) else self.queue(queue)

    # What the other parts of the package use.

    def _known_queue(self, name: str) -> Queue:
        known = self._queues.get(name)
        return known if known is not None else self._queues.setdefault(name, Queue(self, name, None, None))

    def _again(self) -> Database:
        """The file that is at the path now, opened as this one was. It is not made."""
        if not self._is_server and not os.path.exists(self.path):
            raise CannotOpenError(f"{self.path} does not exist yet")
        return Database(self.path, **self._options)

    def _table(self, name: str) -> str:
        """As SQL of this package names it."""
        return f"honker.{name}" if self._is_server else name

    @property
    def _tx_depth(self) -> int:
        """Of this thread."""
        return int(self._is_own(self._open_transaction))

    def _is_own(self, open_transaction: OpenTransaction | None) -> bool:
        return open_transaction is not None and open_transaction.thread == threading.get_ident()

    def _check_nesting(self, message: str) -> None:
        if self._is_own(self._open_transaction):
            raise MisuseError(f"{message}: a transaction is open on this thread; pass tx or use the async form")

    def _check_construction(self, what: str) -> None:
        if self._is_own(self._open_transaction):
            raise MisuseError(f"cannot construct {what} while a transaction is open on this thread: do it before")

    def _closed_error(self) -> ClosedError:
        return ClosedError(f"the database is closed: {self._name}")

    def _error(self, status: int, error: ctypes.c_void_p) -> Error:
        """The exception for what a call has answered; frees the error."""
        if status in (_abi.MISUSE, _abi.CLOSED_HANDLE) and self._closed:
            lib.honker_error_free(error)
            return self._closed_error()
        if not error.value:
            return self._error_of(status)
        length = ctypes.c_size_t()
        address = lib.honker_error_message(error, ctypes.byref(length)) or 0
        message = memory[address : address + length.value].decode(errors="replace")
        made = error_of(
            status,
            message,
            lib.honker_error_sqlite_code(error),
            lib.honker_error_sqlite_extended_code(error),
        )
        lib.honker_error_free(error)
        return made

    def _error_of(self, status: int) -> Error:
        """The same where there is a status only."""
        if self._closed and status in (_abi.MISUSE, _abi.CLOSED_HANDLE):
            return self._closed_error()
        return error_of(status, f"libhonker answered {_abi.STATUS_NAMES.get(status, status)}")

    def _call(self, function: Any, *arguments: Any) -> int:
        """Calls the library; the status, if that is no error. A lock that somebody holds is waited for."""
        error = ctypes.c_void_p()
        status: int = function(*arguments, ctypes.byref(error))
        if status >= 0:
            return status
        return self._failed(status, error, function, arguments)

    def _failed(self, status: int, error: ctypes.c_void_p, function: Any, arguments: tuple[Any, ...]) -> int:
        waiting = _loop.waiting
        if status == _abi.BUSY and self._lock_wait_s > 0 and not waiting.never:
            deadline = time.monotonic() + self._lock_wait_s
            interrupts, pause = self._interrupts, PAUSE_MIN_S
            while status == _abi.BUSY and (left := deadline - time.monotonic()) > 0:
                lib.honker_error_free(error)
                error.value = None
                time.sleep(min(pause, left))
                pause = min(pause * 2, PAUSE_MAX_S)
                if interrupts != self._interrupts:
                    raise InterruptedError("ended by interrupt")
                if waiting.check is not None:
                    waiting.check()
                status = function(*arguments, ctypes.byref(error))
            if status >= 0:
                return status
        raise self._error(status, error)

    def _write(self, tx: Transaction | None, function: Any, *arguments: Any) -> int:
        """A call that takes the database and the transaction first, and writes."""
        if tx is not None:
            return self._call(function, self._handle, tx._use(self), *arguments)
        open_transaction = self._open_transaction
        if open_transaction is not None and open_transaction.thread == threading.get_ident():
            self._check_nesting("it would wait for itself")
        error = ctypes.c_void_p()
        status: int = function(self._handle, None, *arguments, ctypes.byref(error))
        if status >= 0:
            return status
        return self._failed(status, error, function, (self._handle, None, *arguments))

    def _read(self, tx: Transaction | None, function: Any, *arguments: Any) -> int:
        return self._call(function, self._handle, tx._use(self) if tx is not None else None, *arguments)

    def _new(self, function: Any, *arguments: Any) -> int:
        """The handle that a call gives last."""
        out = ctypes.c_void_p()
        self._call(function, *arguments, ctypes.byref(out))
        return out.value or 0

    def _text(self, call: Callable[..., int], *arguments: Any) -> bytes | None:
        """The text that a call gives last; None if there is none. `call` is `_call` or one like it, or takes its
        place.
        """
        out = ctypes.c_void_p()
        call(*arguments, ctypes.byref(out))
        return self._take_text(out)

    def _take_text(self, out: ctypes.c_void_p) -> bytes | None:
        if not out.value:
            return None
        try:
            data, length = ctypes.c_void_p(), ctypes.c_size_t()
            self._call(lib.honker_text_get, out, ctypes.byref(data), ctypes.byref(length))
            address = data.value or 0
            return bytes(memory[address : address + length.value])
        finally:
            lib.honker_text_free(out)

    def _json(self, call: Callable[..., int], *arguments: Any) -> Any:
        text = self._text(call, *arguments)
        return None if not text else json.loads(text)

    def _rows(
        self, function: Any, handle: int, sql: str, params: Sequence[_values.Parameter] | None
    ) -> list[_values.Row]:
        kept, out = _values.Kept(), ctypes.c_void_p()
        sql_text = _values.text(sql, "sql")
        packed, count = _values.parameters(params, kept)
        self._call(function, handle, sql_text, len(sql_text), packed, count, ctypes.byref(out))
        try:
            height, width = ctypes.c_size_t(), ctypes.c_size_t()
            self._call(lib.honker_rows_size, out, ctypes.byref(height), ctypes.byref(width))
            names = [self._column_name(out, i) for i in range(width.value)]
            value = ctypes.create_string_buffer(_abi.VALUE.size)
            rows = []
            for row in range(height.value):
                read = {}
                for column, name in enumerate(names):
                    self._call(lib.honker_rows_get, out, row, column, value)
                    kind, _, *rest = _abi.VALUE.unpack(value)
                    read[name] = _values.column(kind, *rest)
                rows.append(read)
            return rows
        finally:
            lib.honker_rows_free(out)

    def _column_name(self, rows: ctypes.c_void_p, column: int) -> str:
        data, length = ctypes.c_void_p(), ctypes.c_size_t()
        self._call(lib.honker_rows_column, rows, column, ctypes.byref(data), ctypes.byref(length))
        address = data.value or 0
        return str(memory[address : address + length.value].decode(errors="replace"))

    async def _arun(
        self, function: Callable[[], T], *, tx: Transaction | None = None, undo: Callable[[T], object] | None = None
    ) -> T:
        """Calls what writes: at once, or in a thread if the writer is busy, or on a server."""
        if tx is not None:
            return function()
        loop = _loop.required()
        if self._waits and self._open_transaction is None:
            waiting = _loop.waiting
            before, waiting.never = waiting.never, True
            try:
                return function()
            except BusyError:
                if self._lock_wait_s <= 0:
                    raise
            finally:
                waiting.never = before
        return await loop.in_thread(self._pool, function, undo)

    def _dispatcher(self, *, private: bool = False) -> Dispatcher:
        loop = None if private else _loop.running()
        with self._lock:
            if self._closed:
                raise self._closed_error()
            if loop is None:
                made = Dispatcher(self, None)
                self._private.add(made)
                return made
            known = self._dispatchers.get(loop.key)
            if known is None:
                known = self._dispatchers[loop.key] = Dispatcher(self, loop)
            return known
