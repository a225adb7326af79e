"""Tasks: functions that are run by a worker, and what is left of them in a queue: an envelope with their name and
arguments.
"""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

from . import _values
from .cron import CronSchedule
from .enqueue import EnqueueOptions
from .outcome import TaskFailed, UnknownTaskError
from .scheduler import Scheduler

if TYPE_CHECKING:
    from .database import Database
    from .job import Job
    from .queue import Queue
    from .transaction import Transaction

P = ParamSpec("P")
R = TypeVar("R")

KEY = "__honker_task__"
RESULT_TTL_S = 3600
# How often a `TaskResult` that waits looks whether there will ever be a result.
LOOK_S = 0.5


@dataclass(frozen=True)
class Plan:
    """What a worker calls for a job, and what it does with the outcome. `retry_delay_s` None: the worker's backoff."""

    call: Callable[[], Any]
    is_async: bool
    name: str = ""
    timeout_s: float | None = None
    retry_delay_s: int | None = None
    save_result: bool = False
    result_ttl_s: int | None = None


class Unplanned(Exception):
    """Nobody can ever run the job: it ends among the dead with this message."""


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


class Task(Generic[P, R]):
    """A function that a worker runs; made by `Queue.task` and its like. Calling it enqueues: the worker of some
    process that has imported it runs it. Any thread or task may.

    name: by which workers find it: the module's and the function's, unless it was given.
    fn: the function; `call_local` calls it here and now.
    """

    def __init__(
        self,
        queue: Queue,
        fn: Callable[P, Any],
        name: str | None,
        *,
        retries: int | None = None,
        retry_delay_s: _values.Seconds | None = None,
        timeout_s: float | None = None,
        priority: int = 0,
        expires_s: _values.Seconds | None = None,
        store_result: bool = True,
        result_ttl_s: int | None = RESULT_TTL_S,
        periodic: Periodic | None = None,
    ) -> None:
        if not callable(fn):
            raise TypeError(f"a task has to be a function, not {type(fn).__name__}")
        self.queue = queue
        self.fn = fn
        if name is None:
            if not hasattr(fn, "__qualname__"):
                raise TypeError(f"{fn!r} has no name of its own, by which workers find it: give one")
            name = f"{fn.__module__}.{fn.__qualname__}"
        self.name = name
        _values.text(self.name, "name")
        self.store_result = store_result
        self.periodic = periodic
        self._timeout_s = _values.timeout(timeout_s, "timeout_s")
        self._retry_delay_s = None if retry_delay_s is None else max(0, _values.seconds(retry_delay_s, "retry_delay_s"))
        self._result_ttl_s = None if result_ttl_s is None else _values.positive(result_ttl_s, "result_ttl_s")
        self._is_async = is_coroutine_function(fn)
        self._options: EnqueueOptions = {}
        if retries is not None:
            self._options["max_attempts"] = _values.positive(retries, "retries")
        if priority:
            self._options["priority"] = _values.integer(priority, "priority")
        if expires_s is not None:
            self._options["expires"] = _values.positive(_values.seconds(expires_s, "expires_s"), "expires_s")
        functools.update_wrapper(self, fn, updated=())
        try:
            self._signature: inspect.Signature | None = inspect.signature(fn)
        except (TypeError, ValueError):  # some of those that are written in C have none
            self._signature = None
        if periodic is not None:
            self.envelope((), {})  # whether it can be called without arguments

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[R]:
        """Enqueues it. TypeError for arguments that the function does not take, or that JSON does not have: then
        nothing is enqueued.
        """
        return self.using().enqueue(*args, **kwargs)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[R]:
        """The same."""
        return self.using().enqueue(*args, **kwargs)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[R]:
        """The same for an event loop, which it does not keep while another has the writer."""
        return await self.using().aenqueue(*args, **kwargs)

    def call_local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function, here and now."""
        result: R = self.fn(*args, **kwargs)
        return result

    def using(self, tx: Transaction | None = None, **options: Unpack[EnqueueOptions]) -> Using[P, R]:
        """It with a transaction, and options of `Queue.enqueue` for this time.

        send_email.using(tx=tx, delay=60, unique_key="digest 7").enqueue("alice@example.com")
        """
        return Using(self, tx, {**self._options, **options})

    def envelope(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The payload of a job that calls it with these arguments, which it has to take."""
        if self._signature is not None:
            try:
                self._signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{self.name}: {error}") from None
        return envelope(self.name, args, kwargs)

    def schedule(self, database: Database | None = None) -> None:
        """Registers the schedule of a periodic task in the file. Workers do that when they begin."""
        if self.periodic is None:
            raise RuntimeError(f"{self.name} is no periodic task")
        options: Any = {} if self.queue.max_attempts is None else {"max_attempts": self.queue.max_attempts}
        options |= {key: value for key, value in self._options.items() if value is not None}
        Scheduler(database or self.queue._database).add(
            name=self.periodic.name or self.name,
            queue=self.queue.name,
            schedule=self.periodic.schedule,
            payload=self.envelope((), {}),
            overlap=self.periodic.overlap,  # type: ignore[arg-type]
            **options,
        )

    def plan(self, args: list[Any], kwargs: dict[str, Any]) -> Plan:
        return Plan(
            functools.partial(self.fn, *args, **kwargs),
            self._is_async,
            self.name,
            self._timeout_s,
            self._retry_delay_s,
            self.store_result,
            self._result_ttl_s,
        )

    def __repr__(self) -> str:
        return f"<Task {self.name!r} of {self.queue!r}>"


@dataclass(frozen=True)
class Periodic:
    """When a task is enqueued by itself, and the schedule's name if it is not the task's."""

    schedule: str | CronSchedule
    name: str | None = None
    overlap: str = "allow"


class TaskOptions(TypedDict, total=False):
    """Those of `Queue.task`."""

    retries: int | None
    retry_delay_s: _values.Seconds | None
    timeout_s: float | None
    priority: int
    expires_s: _values.Seconds | None
    store_result: bool
    result_ttl_s: int | None


class TaskDecorator:
    """Makes functions tasks; made by `Queue.task` and its like."""

    def __init__(self, queue: Queue, name: str | None, options: TaskOptions, periodic: Periodic | None = None) -> None:
        unknown = set(options) - set(TaskOptions.__annotations__)
        if unknown:
            raise TypeError(f"unknown options of a task: {', '.join(sorted(unknown))}")
        self._arguments = queue, name, options, periodic

    @overload
    def __call__(self, fn: Callable[P, Awaitable[R]]) -> Task[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R]) -> Task[P, R]: ...
    def __call__(self, fn: Callable[..., Any]) -> Task[..., Any]:
        queue, name, options, periodic = self._arguments
        task: Task[..., Any] = Task(queue, fn, name, periodic=periodic, **options)
        return registry.add(task)


@dataclass(frozen=True)
class Using(Generic[P, R]):
    """A task, and options for one enqueue of it; made by `Task.using`."""

    task: Task[P, R]
    tx: Transaction | None
    options: EnqueueOptions

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[R]:
        text = self.task.envelope(args, kwargs)
        return TaskResult(self.task.queue.enqueue(text, self.tx, **self.options), self.task)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[R]:
        text = self.task.envelope(args, kwargs)
        return TaskResult(await self.task.queue.aenqueue(text, self.tx, **self.options), self.task)


class TaskResult(Generic[R]):
    """What will come of a task that was enqueued: `id` is its job's."""

    def __init__(self, id: int, task: Task[..., R]) -> None:
        self.id = id
        self._task = task

    def get(self, timeout: float | None = None) -> R:
        """Waits for what the function returns, as JSON has it. TimeoutError if that takes longer than `timeout`
        seconds; TaskFailed if the job is dead, was cancelled, or its result was not kept for so long, within half a
        second or so.
        """
        database, deadline = self._begin(timeout)
        while True:
            try:
                result: R = database.wait_result(self.id, self._slice(deadline))
                return result
            except TimeoutError:
                self._check(deadline)

    async def aget(self, timeout: float | None = None) -> R:
        """As `get`, in a task."""
        database, deadline = self._begin(timeout)
        while True:
            try:
                result: R = await database.await_result(self.id, self._slice(deadline))
                return result
            except TimeoutError:
                self._check(deadline)

    def _begin(self, timeout: float | None) -> tuple[Any, float | None]:
        if not self._task.store_result:
            raise RuntimeError(f"results of {self._task.name} are not stored: it has store_result=False")
        timeout = _values.timeout(timeout)
        return self._task.queue._database, None if timeout is None else time.monotonic() + timeout

    def _slice(self, deadline: float | None) -> float:
        return LOOK_S if deadline is None else min(LOOK_S, max(0.0, deadline - time.monotonic()))

    def _check(self, deadline: float | None) -> None:
        database = self._task.queue._database
        if self._task.queue.get_job(self.id) is None and not database.get_result(self.id)[0]:
            dead = database._table("_honker_dead")
            rows = database.query(f"SELECT last_error FROM {dead} WHERE id = ?", [self.id])
            raise TaskFailed(rows[0]["last_error"] if rows else f"job {self.id} is gone, without a result")
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError(f"there is no result of job {self.id} yet")

    def __repr__(self) -> str:
        return f"<TaskResult of job {self.id}, {self._task.name}>"


@dataclass
class Registry(Mapping[str, Task[..., Any]]):
    """The tasks of this process, by name."""

    _tasks: dict[str, Task[..., Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, task: Task[..., Any]) -> Task[..., Any]:
        """The task of that name. Adding a function again changes nothing. ValueError if another one has the name."""
        with self._lock:
            known = self._tasks.setdefault(task.name, task)
        if known.fn is not task.fn:
            raise ValueError(f"duplicate task name {task.name!r}: it is {known.fn!r} already")
        return known

    def clear(self) -> None:
        """For tests."""
        self._tasks.clear()

    def queues(self) -> list[str]:
        """The names of the queues that have tasks."""
        return sorted({task.queue.name for task in self._tasks.values()})

    def __getitem__(self, name: str) -> Task[..., Any]:
        try:
            return self._tasks[name]
        except KeyError:
            raise UnknownTaskError(f"unknown task: {name}. Registered tasks: {sorted(self._tasks)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)


registry: Registry = Registry()


def envelope(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {KEY: {"task": name, "args": list(args), "kwargs": kwargs}}


def plan(job: Job) -> Plan:
    """For the task that a job is the envelope of. Unplanned if it is none, or of a task that this process does not
    have.
    """
    value = job.payload
    inner = value.get(KEY) if isinstance(value, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("task"), str):
        raise Unplanned("raw (non-decorated) payload on a decorated-task queue")
    args, kwargs = inner.get("args", []), inner.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise Unplanned(f"the arguments of task {inner['task']} are no array and object")
    try:
        task = registry[inner["task"]]
    except UnknownTaskError as error:
        raise Unplanned(str(error.args[0])) from None
    return task.plan(args, kwargs)
