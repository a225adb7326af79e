"""What tests of a project need. It works on Django's own connection: in a TestCase's transaction, in memory, with
--parallel.
"""

from __future__ import annotations

from inspect import iscoroutinefunction

from asgiref.sync import async_to_sync

from honker._outcomes import message

from . import store
from .backend import HonkerBackend
from .compat import DEFAULT_TASK_BACKEND_ALIAS, TaskResultDoesNotExist, task_backends
from .execution import Execution, delay_of

WORKER_ID = "run_due"


def run_due(*queues: str, backend: str = DEFAULT_TASK_BACKEND_ALIAS, limit: int | None = None) -> int:
    """Runs the tasks that are due, one after the other, in this thread and on Django's connection, until there are
    none, or `limit` have run; how many that were. One that fails is tried again after its delay, which is 15 s where a
    worker would back off, so that it is not due now.
    """
    found = task_backends[backend]
    if not isinstance(found, HonkerBackend):
        raise TypeError(f"TASKS[{backend!r}] is no HonkerBackend, but a {type(found).__name__}")
    names = list(queues) or sorted(found.queues)
    count = 0
    while (limit is None or count < limit) and (row := store.claim(found.connection, names, WORKER_ID)) is not None:
        _run(found, row)
        count += 1
    return count


def _run(backend: HonkerBackend, row: store.Row) -> None:
    connection = backend.connection
    try:
        execution = Execution(
            backend, row, WORKER_ID, lambda name, value: store.save_step(connection, row.id, name, value)
        )
    except TaskResultDoesNotExist as error:
        store.failed(connection, row, message(error), None)
        return
    except Exception as error:  # its module cannot be loaded
        store.failed(connection, row, message(error), delay_of(None, error))
        return
    try:
        value = (async_to_sync(execution.arun) if iscoroutinefunction(execution.task.func) else execution.run)()
    except Exception as error:
        store.failed(connection, row, message(error), delay_of(execution.task, error))
    else:
        store.done(connection, row.id, value, backend.keep_done_s)
