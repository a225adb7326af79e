"""The worker of `manage.py honker_worker`: tasks of a backend, in the process that has the project."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any

from django.core.exceptions import ImproperlyConfigured

import honker
from honker import Job, Worker
from honker.task import Plan, Unplanned

from . import server, store
from .backend import HonkerBackend
from .compat import TaskResultDoesNotExist
from .execution import Execution


class DjangoWorker(Worker):
    """Its database is that of the backend's, with honker's own connections; tasks have Django's."""

    def __init__(self, backend: HonkerBackend, queues: list[str] | None = None, **options: Any) -> None:
        connection = backend.connection
        if connection.vendor not in ("sqlite", "postgresql"):
            raise ImproperlyConfigured(f"the database {backend.database!r} is neither SQLite nor Postgres")
        is_server = connection.vendor == "postgresql"
        if not is_server and store.is_in_memory(connection):
            raise ImproperlyConfigured(
                f"the database {backend.database!r} is in memory, where no other connection finds it: a worker needs a "
                "file; in tests honker.contrib.django.testing.run_due() runs what is due"
            )
        names = queues or sorted(backend.queues)
        if not names:
            raise ImproperlyConfigured(
                f"TASKS[{backend.alias!r}] names no QUEUES: name those to be worked with --queue"
            )
        settings = connection.settings_dict
        timeout_s = 5 if is_server else settings.get("OPTIONS", {}).get("timeout", 5)
        super().__init__(
            server.url(connection) if is_server else str(settings["NAME"]),
            names,
            schedules=[],
            database_options={"busy_timeout_ms": int(timeout_s * 1000)},
            **options,
        )
        self._backend = backend

    def opened(self, database: honker.Database) -> None:
        for name in self.queues:
            if database.queue(name).settings()["keep_done_s"] != self._backend.keep_done_s:
                database.queue(name).configure(keep_done_s=self._backend.keep_done_s)

    def plan(self, job: Job) -> Plan:
        view = job._row
        row = store.Row(
            job.id,
            job.queue_name,
            job.payload_text,
            view["priority"],
            view["run_at"],
            job.attempts,
            job.max_attempts,
            view["created_at"],
            "running",
            None,
            None,
        )
        try:
            execution = Execution(self._backend, row, job.worker_id, lambda name, value: job.step(name, lambda: value))
        except TaskResultDoesNotExist as error:
            raise Unplanned(str(error)) from None
        task = execution.task
        is_async = iscoroutinefunction(task.func)
        return Plan(
            execution.arun if is_async else execution.run,
            is_async,
            task.module_path,
            getattr(task, "timeout_s", None),
            getattr(task, "retry_delay_s", None),
            True,
            self._backend.keep_done_s or None,
        )
