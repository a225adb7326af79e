"""honker: a durable job queue, event streams, notifications, locks and schedules in the SQLite file of the
application.
"""

from ._hand import current_job
from ._version import __version__
from .batch import Batch
from .claim import Claims, QueueShare
from .connection import aack_on, ack_on, aenqueue_on, enqueue_on, schema_sql
from .cron import CronSchedule, crontab, every_s
from .database import Database, open
from .enqueue import Enqueue, Enqueued, EnqueueOptions, add_middleware, remove_middleware
from .errors import (
    AbortedError,
    BusyError,
    CannotOpenError,
    ClosedError,
    ConnectionLostError,
    ConstraintError,
    CorruptError,
    EncodingError,
    Error,
    ForkedError,
    FullError,
    InternalError,
    InterruptedError,
    InvalidError,
    JobLost,
    LeadershipLost,
    LibraryError,
    LockHeld,
    MisuseError,
    MovedError,
    NotFoundError,
    PanicError,
    ReadOnlyError,
    SchemaError,
    SQLError,
    StorageError,
    SystemError,
    TooBigError,
    TooOldError,
    UnfinishedError,
    UnsupportedError,
    WatcherError,
)
from .extension import EXTENSION_ENTRYPOINT, ExtensionInfo, extension_info, load_extension
from .job import Job
from .jobs import Applied, Jobs
from .lock import Lock
from .notification import Listener, Notification, Updates
from .outbox import Outbox
from .outcome import Discard, JobCancelled, Outcome, Retryable, Snooze, TaskFailed, UnknownTaskError
from .payload import RawText
from .queue import Queue
from .scheduler import Fire, Leader, Scheduler
from .stream import Event, Stream, Subscription
from .task import Registry, Task, TaskResult, registry
from .transaction import AsyncTransaction, Transaction
from .worker import (
    Worker,
    add_error_reporter,
    add_job_middleware,
    remove_error_reporter,
    remove_job_middleware,
    run_workers,
)

__all__ = [
    "__version__",
    "AbortedError",
    "Applied",
    "AsyncTransaction",
    "Batch",
    "BusyError",
    "CannotOpenError",
    "Claims",
    "ClosedError",
    "ConnectionLostError",
    "ConstraintError",
    "CorruptError",
    "CronSchedule",
    "Database",
    "Discard",
    "EXTENSION_ENTRYPOINT",
    "EncodingError",
    "Enqueue",
    "EnqueueOptions",
    "Enqueued",
    "Error",
    "Event",
    "ExtensionInfo",
    "Fire",
    "ForkedError",
    "FullError",
    "InternalError",
    "InterruptedError",
    "InvalidError",
    "Job",
    "JobCancelled",
    "JobLost",
    "Jobs",
    "Leader",
    "LeadershipLost",
    "LibraryError",
    "Listener",
    "Lock",
    "LockHeld",
    "MisuseError",
    "MovedError",
    "NotFoundError",
    "Notification",
    "Outbox",
    "Outcome",
    "PanicError",
    "Queue",
    "QueueShare",
    "RawText",
    "ReadOnlyError",
    "Registry",
    "Retryable",
    "SQLError",
    "Scheduler",
    "SchemaError",
    "Snooze",
    "StorageError",
    "Stream",
    "Subscription",
    "SystemError",
    "Task",
    "TaskFailed",
    "TaskResult",
    "TooBigError",
    "TooOldError",
    "Transaction",
    "UnfinishedError",
    "UnknownTaskError",
    "UnsupportedError",
    "Updates",
    "WatcherError",
    "Worker",
    "aack_on",
    "ack_on",
    "add_error_reporter",
    "add_job_middleware",
    "add_middleware",
    "aenqueue_on",
    "crontab",
    "current_job",
    "enqueue_on",
    "every_s",
    "extension_info",
    "load_extension",
    "open",
    "registry",
    "remove_error_reporter",
    "remove_job_middleware",
    "remove_middleware",
    "run_workers",
    "schema_sql",
]
