"""Workers: jobs of a file's queues, handled side by side until somebody says stop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict

from . import _loop, _server, _values
from ._call import JobMiddleware, Reporter, middlewares, reporters
from ._run import GRACE_S, Run
from ._stop import Stop
from .claim import QueueShare, share
from .database import Database
from .errors import InvalidError, MisuseError
from .job import Job
from .queue import Queue
from .task import Plan, Unplanned, is_coroutine_function, plan, registry

Handler = Callable[[Job], Any]


class WorkerOptions(TypedDict, total=False):
    """Those of `Worker`."""

    concurrency: int | None
    name: str | None
    visibility_timeout_s: _values.Seconds
    max_run_s: _values.Seconds | None
    retry_base_s: _values.Seconds
    retry_factor: float
    retry_max_s: _values.Seconds
    retry_jitter: float
    stop_timeout_s: float | None
    schedules: Sequence[Mapping[str, Any]] | None
    database_options: Mapping[str, Any] | None
    processes: str | None


def add_job_middleware(middleware: JobMiddleware) -> JobMiddleware:
    """Has a context manager made of each job, which its handler runs in; also as a decorator. An exception of the
    handler passes through it. One that can only be entered by `async with` serves asynchronous handlers alone.

    @honker.add_job_middleware
    @contextlib.contextmanager
    def timed(job):
        started = time.monotonic()
        try:
            yield
        finally:
            statistics.timing(job.queue_name, time.monotonic() - started)
    """
    middlewares.append(middleware)
    return middleware


def remove_job_middleware(middleware: JobMiddleware) -> None:
    middlewares.remove(middleware)


def add_error_reporter(reporter: Reporter) -> Reporter:
    """Has it called with the exception and the job of each failure, in the worker's loop; also as a decorator. What it
    raises is logged.
    """
    reporters.append(reporter)
    return reporter


def remove_error_reporter(reporter: Reporter) -> None:
    reporters.remove(reporter)


class Worker:
    """Claims jobs and has them handled, `concurrency` at a time: coroutine functions in the event loop, other functions
    each in a thread. `run` is for programs, `arun` for an asyncio loop that runs already.

    What returns is done; what raises is retried by the backoff and, when the attempts are used up, is among the dead,
    with the error and its traceback. `Retryable`, `Discard` and `Snooze` say otherwise. What is finished is settled,
    what there is room for claimed, and the claims in hand are prolonged, in one commit. A job that was cancelled, or
    ran for too long, has its task cancelled; in a thread `Job.cancelled` tells, and `Job.check` raises: no thread can
    be killed, and its place stays taken until it returns. If the process dies, others have its jobs at once.

    database: a `Database`; or the path of the file, which then may not exist yet, and is waited for, or a server's URL.
    queues: the name of one, or of several; with numbers, by which weights they are asked, or with a `QueueShare` each,
        which also says how many of its jobs run at once. None: those that have tasks when it begins.
    handler: called with each job; a dict has one for each queue. None: the jobs are tasks.
    concurrency: how many run at once; None: as many as there are processors.
    name: shown with its jobs, as `<name>@<instance>`; by default `honker-worker-<pid>`.
    visibility_timeout_s: for how long a claim is valid; it is prolonged while the worker runs.
    max_run_s: after how long a job is retried and its handler cancelled; None: never.
    retry_base_s, retry_factor, retry_max_s, retry_jitter: the nth failure is retried in `base * factor ** (n - 1)`
        seconds, at most `max`, times a random number in 1 ± `jitter`; `Queue.configure` overrides it.
    stop_timeout_s: how long jobs may go on after it was told to stop, before they are cancelled and given back; None:
        for ever.
    schedules: what `Scheduler.add` is called with when it begins. These, and all that are in the file, are fired while
        it runs; None: it fires schedules only if it has periodic tasks, [] for those that are there.
    database_options: of `honker.open`, if it opens the file itself.
    processes: "module:variable", where each of `concurrency` processes finds the database, and with it the tasks; None:
        tasks run in this process. One that exceeds a task's `timeout_s` is killed, and one that dies costs an attempt
        of its job.
    """

    def __init__(
        self,
        database: Database | str | os.PathLike[str],
        queues: str | Queue | Iterable[str | Queue] | Mapping[str, int | QueueShare] | None = None,
        handler: Handler | Mapping[str, Handler] | None = None,
        *,
        concurrency: int | None = None,
        name: str | None = None,
        visibility_timeout_s: _values.Seconds = 300,
        max_run_s: _values.Seconds | None = None,
        retry_base_s: _values.Seconds = 15,
        retry_factor: float = 2.0,
        retry_max_s: _values.Seconds = 3600,
        retry_jitter: float = 0.1,
        stop_timeout_s: float | None = 8.0,
        schedules: Sequence[Mapping[str, Any]] | None = None,
        database_options: Mapping[str, Any] | None = None,
        processes: str | None = None,
    ) -> None:
        if processes is not None and handler is not None:
            raise InvalidError("processes run tasks, and no handler")
        self.processes: str | None = processes
        self.database: Database | None = database if isinstance(database, Database) else None
        self.path: str = database.path if isinstance(database, Database) else os.fspath(database)
        self.database_options: dict[str, Any] = dict(database_options or {})
        self.handler: dict[str | None, Handler] | None = _handlers(handler)
        self._queues = _shares(queues)
        if isinstance(handler, Mapping) and self._queues is None:
            self._queues = dict.fromkeys(handler, 1)
        if handler is not None and self._queues is None:
            raise InvalidError("a worker with a handler needs a queue")
        count = os.cpu_count() or 1 if concurrency is None else concurrency
        self.concurrency: int = _values.positive(count, "concurrency")
        self.name: str = f"honker-worker-{os.getpid()}" if name is None else name
        _values.text(self.name, "name")
        self.stop_timeout_s: float | None = _values.timeout(stop_timeout_s, "stop_timeout_s")
        self.schedules: list[dict[str, Any]] | None = None if schedules is None else [dict(one) for one in schedules]
        self.options: dict[str, Any] = {
            "visibility_timeout_s": visibility_timeout_s,
            "max_run_s": max_run_s,
            "retry_base_s": retry_base_s,
            "retry_factor": retry_factor,
            "retry_max_s": retry_max_s,
            "retry_jitter": retry_jitter,
        }
        # By queue: its handler, and whether that is a coroutine function, which takes long to find out.
        self._kinds: dict[str, tuple[Handler, bool]] = {}
        self._runs: Run | None = None
        self._lock = threading.Lock()

    def run(self, stop_event: Stop | None = None, *, signals: bool | None = None) -> None:
        """Works until SIGTERM or SIGINT comes, the event is set, or `stop` is called: then no job is claimed any more,
        those that run have `stop_timeout_s` seconds, are then cancelled, and given back 1.5 seconds later, with their
        attempt. A second signal does that at once. What became of all is one line in the log.

        A file that is missing or locked, a full disk and other errors that pass by themselves are logged once and
        waited out; a file that was replaced is opened anew.

        signals: whether it listens to them; None: if this is the main thread.

        Raises UnfinishedError if handlers have not returned in the end, and any other error that it cannot go on after.
        """
        if _loop.running() is not None:
            raise MisuseError("an event loop runs in this thread: await arun")
        if signals is None:
            signals = threading.current_thread() is threading.main_thread()
        runner = asyncio.Runner()
        try:
            runner.run(self.arun(stop_event, signals=signals))
        finally:
            _close(runner)

    async def arun(self, stop_event: Stop | None = None, *, signals: bool = False) -> None:
        """As `run`, in an asyncio loop, whose program most often has its own way with signals. A worker whose task is
        cancelled cancels what runs, and gives it back.
        """
        if not isinstance(_loop.required(), _loop.AsyncioLoop):
            raise MisuseError("workers need asyncio: run them in a thread, or a process, of their own")
        run = Run(self, stop_event, signals)
        with self._lock:
            if self._runs is not None:
                raise MisuseError("this worker runs already")
            self._runs = run
        try:
            await run.call()
        finally:
            self._runs = None

    def stop(self) -> None:
        """As a signal. For any thread; if it does not run, nothing."""
        run = self._runs
        if run is not None:
            run.stop()

    def run_due(self, limit: int | None = None) -> int:
        """Handles what is due, one job after the other, until there is nothing due or `limit` were handled; how many
        that were. For programs that have a scheduler of their own, and for tests: it waits for nothing, and fires no
        schedules. As in `run`, functions that are no coroutine functions have a thread of their own.
        """
        if _loop.running() is not None:
            raise MisuseError("an event loop runs in this thread: await arun_due")
        return asyncio.run(self.arun_due(limit))

    async def arun_due(self, limit: int | None = None) -> int:
        return await Run(self, None, False).due(limit)

    def opened(self, database: Database) -> None:
        """Called with the database before it claims, again if the file was replaced. For subclasses."""

    @property
    def queues(self) -> Mapping[str, int | QueueShare]:
        """The names, and what each has of the worker."""
        if self._queues is not None:
            return self._queues
        names = registry.queues()
        if not names:
            raise InvalidError("no tasks are registered in this process: import the module that has them")
        return dict.fromkeys(names, 1)

    def plan(self, job: Job) -> Plan:
        """What is called for a job."""
        if self.handler is None:
            return plan(job)
        handler = self.handler.get(job.queue_name, self.handler.get(None))
        if handler is None:
            raise Unplanned(f"there is no handler for queue {job.queue_name!r}")
        kind = self._kinds.get(job.queue_name)
        if kind is None or kind[0] is not handler:
            kind = self._kinds[job.queue_name] = handler, is_coroutine_function(handler)
        return Plan(lambda: handler(job), kind[1])

    def __repr__(self) -> str:
        return f"<Worker {self.name!r} of {_server.shown(self.path)}>"


async def run_workers(
    database: Database,
    queue: str | Queue | Iterable[str | Queue] | None = None,
    concurrency: int | None = None,
    stop_event: Stop | None = None,
) -> None:
    """`Database.run_workers`."""
    await database.run_workers(queue, concurrency, stop_event)


def _close(runner: asyncio.Runner) -> None:
    """Without the tasks that ignore their cancellation: `Runner.close` would wait for them for ever."""
    loop = runner.get_loop()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks and loop.run_until_complete(asyncio.wait(tasks, timeout=GRACE_S))[1]:
        asyncio.set_event_loop(None)
        loop.close()
    else:
        runner.close()


def _handlers(given: Handler | Mapping[str, Handler] | None) -> dict[str | None, Handler] | None:
    if given is None:
        return None
    handlers: dict[str | None, Handler] = {}
    if isinstance(given, Mapping):
        handlers.update(given)
    else:
        handlers[None] = given
    for handler in handlers.values():
        if not callable(handler):
            raise TypeError(f"a handler has to be a function, not {type(handler).__name__}")
    return handlers


def _shares(
    queues: str | Queue | Iterable[str | Queue] | Mapping[str, int | QueueShare] | None,
) -> Mapping[str, int | QueueShare] | None:
    if queues is None:
        return None
    several: Iterable[str | Queue] = [queues] if isinstance(queues, str | Queue) else queues
    names: list[str] = [queue.name if isinstance(queue, Queue) else queue for queue in several]
    if len(set(names)) < len(names):
        raise InvalidError(f"a queue is named twice: {', '.join(names)}")
    if not names:
        raise InvalidError("a worker needs a queue")
    shares = list(queues.values()) if isinstance(queues, Mapping) else [1] * len(names)
    for name, given in zip(names, shares):
        _values.text(name, "name")
        share(given)
    return dict(zip(names, shares))
