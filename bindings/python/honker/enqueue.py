"""What is enqueued: a job with its options, and how that is written to the library."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

from . import _abi, _values, payload
from ._library import lib
from .batch import Batch
from .errors import InvalidError

if TYPE_CHECKING:
    from .database import Database
    from .job import Job
    from .transaction import Transaction

UNTIL = {"settled": _abi.UNIQUE_SETTLED, "claimed": _abi.UNIQUE_CLAIMED}
ON_CONFLICT = {"keep": _abi.CONFLICT_KEEP, "replace": _abi.CONFLICT_REPLACE}
_STATUSES: dict[int, Literal["enqueued", "exists", "replaced"]] = {
    _abi.OK: "enqueued",
    _abi.EXISTS: "exists",
    _abi.REPLACED: "replaced",
}
# What is called otherwise in JSON.
_JSON_NAMES = {"delay": "delay_s", "expires": "expires_s"}


# How those are read that are numbers.
_NUMBERS: dict[str, Callable[[Any, str], int]] = {
    "run_at": _values.moment,
    "delay": _values.optional_seconds,
    "expires": _values.optional_seconds,
    "priority": _values.integer,
    "max_attempts": _values.optional_integer,
    "unique_for_s": _values.positive,
    "max_run_s": _values.positive,
}


class CommonOptions(TypedDict, total=False):
    """Those of `EnqueueOptions` that every job can have."""

    delay: _values.Seconds | None
    metadata: Mapping[str, str] | None


class PlainOptions(CommonOptions, total=False):
    """Those of `EnqueueOptions` that a plain INSERT can have."""

    run_at: _values.Moment | None
    priority: int
    expires: _values.Seconds | None
    max_attempts: int | None


class ScheduleOptions(CommonOptions, total=False):
    """Those of `EnqueueOptions` for the jobs of a schedule. `delay` counts from when they are enqueued."""

    unique_key: str | None
    unique_until: Literal["settled", "claimed"]
    unique_for_s: int | None
    on_conflict: Literal["keep", "replace"]
    concurrency_key: str | None
    batch: Batch | int | None
    max_run_s: int | None


class EnqueueOptions(PlainOptions, ScheduleOptions, total=False):
    """run_at: when it becomes due: Unix seconds or a datetime; not looked at if `delay` is given.
    delay: in how many seconds it becomes due; a number or a timedelta.
    priority: larger is sooner; 0.
    expires: after how many seconds from now it may not be claimed any more.
    max_attempts: how often it may be claimed; None for the queue's. With less than 1 it never is.
    metadata: texts that come back with the job, at most 8 kB as JSON.
    unique_key: of which there is one job in the queue. If another has it nothing is added.
    unique_until: "settled": the job has its key until it is done, dead or cancelled; "claimed": until it is claimed,
        and again while it waits for another attempt, unless another has it then.
    unique_for_s: for how many seconds the key is taken at least, whatever becomes of the job.
    on_conflict: "keep": the job that has the key stays as it is; "replace": it becomes this one if it still waits.
    concurrency_key: of which only so many jobs run at once as `Queue.configure` says (`concurrency_per_key`).
    batch: which it joins, a `Batch` or its id.
    member: a running member of the batch, for one that is sealed; `Job.batch` has it with it.
    max_run_s: after how many seconds a worker retries it and cancels its handler.
    """

    member: Job | None


@dataclass
class Enqueue:
    """A job that is about to be enqueued: the queue's name, the payload, and the options of `Queue.enqueue`."""

    queue: str
    payload: Any
    options: EnqueueOptions = field(default_factory=EnqueueOptions)


class Enqueued(NamedTuple):
    """What became of a job that was to be enqueued: its id, and "enqueued"; or the id of the job that has its unique
    key, and "exists" if that stays as it is, "replaced" if it has become this one.
    """

    id: int
    status: Literal["enqueued", "exists", "replaced"]


# Called around each enqueue with the job, which it may change, and what goes on; None as its answer holds the job back.
# Of several the first is the outermost. For what is enqueued with this package's own connection.
Middleware = Callable[[Enqueue, Callable[[], Enqueued | None]], Enqueued | None]
middlewares: list[Middleware] = []


def add_middleware(middleware: Middleware) -> Middleware:
    """Has it called around each enqueue of this process, for metadata or for a trace; also as a decorator.

    @honker.add_middleware
    def with_user(job, proceed):
        job.options["metadata"] = {**(job.options.get("metadata") or {}), "user": current_user()}
        return proceed()
    """
    middlewares.append(middleware)
    return middleware


def remove_middleware(middleware: Middleware) -> None:
    middlewares.remove(middleware)


def enqueue(database: Database, job: Enqueue, tx: Transaction | None) -> Enqueued | None:
    """Enqueues a job, with what stands around that."""
    if not middlewares:
        return write(database, job, tx)

    def proceed(depth: int) -> Enqueued | None:
        if depth == len(chain):
            return write(database, job, tx)
        return chain[depth](job, lambda: proceed(depth + 1))

    chain = list(middlewares)
    return proceed(0)


def around(job: Enqueue) -> bool:
    """What stands around a job that is enqueued with others; whether it goes on."""
    goes = False

    def proceed(depth: int) -> Enqueued:
        nonlocal goes
        if depth < len(chain):
            return chain[depth](job, lambda: proceed(depth + 1)) or Enqueued(0, "enqueued")
        goes = True
        return Enqueued(0, "enqueued")

    chain = list(middlewares)
    proceed(0)
    return goes


def write(database: Database, job: Enqueue, tx: Transaction | None) -> Enqueued:
    kept = _values.Kept()
    queue, text = _values.text(job.queue, "queue"), payload.encode(job.payload)
    return insert(database, tx, queue, text, options(kept, **job.options) if job.options else None)


def insert(database: Database, tx: Transaction | None, queue: bytes, text: bytes, opts: bytes | None) -> Enqueued:
    out = ctypes.c_int64()
    status = database._write(tx, lib.honker_enqueue, queue, len(queue), text, len(text), opts, ctypes.byref(out))
    return Enqueued(out.value, _STATUSES[status])


def write_many(database: Database, jobs: Iterable[Enqueue], tx: Transaction | None) -> list[Enqueued]:
    """All or none, in one commit."""
    kept = _values.Kept()
    specs = []
    for job in jobs:
        opts = kept.struct(options(kept, **job.options)) if job.options else 0
        queue, text = _values.text(job.queue, "queue"), payload.encode(job.payload)
        specs.append(_abi.JOB_SPEC.pack(_abi.JOB_SPEC.size, 0, *kept.place(queue), *kept.place(text), opts))
    results = ctypes.create_string_buffer(max(1, len(specs) * _abi.ENQUEUE_RESULT.size))
    database._write(tx, lib.honker_enqueue_many, b"".join(specs), len(specs), results)
    rows = _abi.ENQUEUE_RESULT.iter_unpack(memoryview(results)[: len(specs) * _abi.ENQUEUE_RESULT.size])
    return [Enqueued(id, _STATUSES[status]) for id, status, _ in rows]


def options(
    kept: _values.Kept,
    *,
    run_at: _values.Moment | None = None,
    delay: _values.Seconds | None = None,
    priority: int = 0,
    expires: _values.Seconds | None = None,
    max_attempts: int | None = None,
    metadata: Mapping[str, str] | None = None,
    unique_key: str | None = None,
    unique_until: str = "settled",
    unique_for_s: int | None = None,
    on_conflict: str = "keep",
    concurrency_key: str | None = None,
    batch: Batch | int | None = None,
    member: Job | None = None,
    max_run_s: int | None = None,
) -> bytes:
    """honker_enqueue_opts_t; its texts go to `kept`."""
    member = _member(batch, member)
    return _abi.ENQUEUE_OPTS.pack(
        _abi.ENQUEUE_OPTS.size,
        0,
        _values.moment(run_at, "run_at"),
        _values.optional_seconds(delay, "delay"),
        _values.optional_seconds(expires, "expires"),
        _values.integer(priority, "priority"),
        _values.optional_integer(max_attempts, "max_attempts"),
        *kept.place(None if metadata is None else payload.encode(checked_metadata(metadata), "metadata")),
        *_key(kept, concurrency_key, "concurrency_key"),
        _batch_id(batch),
        member.id if member is not None else 0,
        *kept.place(member.worker_id.encode() if member is not None else None),
        *_key(kept, unique_key, "unique_key"),
        _values.choice(UNTIL, unique_until, "unique_until"),
        _values.choice(ON_CONFLICT, on_conflict, "on_conflict"),
        0 if unique_for_s is None else _values.positive(unique_for_s, "unique_for_s"),
        0 if max_run_s is None else _values.positive(max_run_s, "max_run_s"),
    )


def json_options(given: EnqueueOptions) -> dict[str, Any]:
    """The same as the JSON object of honker_enqueue_with."""
    made: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or name in ("batch", "member"):
            continue
        if name in _NUMBERS:
            value = _NUMBERS[name](value, name)
        made[_JSON_NAMES.get(name, name)] = value
    batch = given.get("batch")
    member = _member(batch, given.get("member"))
    if batch is not None:
        made["batch_id"] = _batch_id(batch)
    if member is not None:
        made["member"] = {"job_id": member.id, "worker_id": member.worker_id}
    return made


def callback(job: Enqueue | Mapping[str, Any], name: str) -> dict[str, Any]:
    """A job that the library enqueues later, as it reads it. Given as `Enqueue`, or a dict."""
    if not isinstance(job, Enqueue):
        if not isinstance(job, Mapping) or not {"queue", "payload"} <= set(job):
            raise TypeError(f"{name} has to be a dict with queue, payload and options of enqueue, not {job!r}")
        given: Any = {key: value for key, value in job.items() if key not in ("queue", "payload")}
        job = Enqueue(job["queue"], job["payload"], given)
    text = payload.encode(job.payload).decode()
    return {"queue": getattr(job.queue, "name", job.queue), "payload": text, "options": json_options(job.options)}


def options_text(given: Mapping[str, Any]) -> bytes:
    """Options for the library: JSON, in which an empty value is null."""
    try:
        return json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidError(f"options cannot be written as UTF-8: {error}") from None


def checked_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata has to be a dict of texts, not {type(metadata).__name__}")
    return dict(metadata)


def _key(kept: _values.Kept, value: str | None, name: str) -> tuple[int, int]:
    if value == "":
        raise InvalidError(f"{name} must not be empty")
    return kept.place(_values.optional_text(value, name))


def _batch_id(batch: Batch | int | None) -> int:
    if batch is None:
        return 0
    return batch.id if isinstance(batch, Batch) else _values.positive(batch, "batch")


def _member(batch: Batch | int | None, member: Job | None) -> Job | None:
    return batch._member if member is None and isinstance(batch, Batch) else member
