"""manage.py honker_worker"""

from __future__ import annotations

import argparse
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

import honker
from honker.contrib.django.backend import HonkerBackend
from honker.contrib.django.compat import DEFAULT_TASK_BACKEND_ALIAS, task_backends
from honker.contrib.django.worker import DjangoWorker


class Command(BaseCommand):  # type: ignore[misc]
    help = (
        "Runs the tasks of a backend of honker's until SIGTERM or SIGINT comes. It sleeps until something is "
        "committed. What runs in the end has time to finish, and is given back after that."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--backend", default=DEFAULT_TASK_BACKEND_ALIAS, metavar="ALIAS", help="of TASKS; %(default)s")
        add("--queue", action="append", metavar="NAME", help="which to work; by default those of the backend")
        add("--concurrency", type=int, metavar="N", help="how many run at once; by default one a processor")
        add("--stop-timeout", type=float, default=8.0, metavar="S", help="how long tasks may go on; %(default)s s")

    def handle(self, *args: Any, **options: Any) -> None:
        backend = task_backends[options["backend"]]
        if not isinstance(backend, HonkerBackend):
            raise CommandError(f"TASKS[{options['backend']!r}] is no HonkerBackend, but a {type(backend).__name__}")
        try:
            worker = DjangoWorker(
                backend, options["queue"], concurrency=options["concurrency"], stop_timeout_s=options["stop_timeout"]
            )
            worker.run()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        except (ValueError, honker.Error) as error:
            raise CommandError(f"the worker has ended: {error}") from error
