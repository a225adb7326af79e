"""The application: honker's tables, made after Django's own."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class HonkerConfig(AppConfig):  # type: ignore[misc]
    name = "honker.contrib.django"
    label = "honker"
    verbose_name = "honker"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        name_tables()
        post_migrate.connect(create_tables, sender=self, dispatch_uid="honker.create_tables")


def databases() -> set[str]:
    """The aliases that backends of honker's name."""
    from .backend import HonkerBackend
    from .compat import task_backends

    return {backend.database for backend in task_backends.all() if isinstance(backend, HonkerBackend)}


def name_tables() -> None:
    """As the database of the tasks has them: in Postgres they are in the schema `honker`."""
    from django.db import connections

    from .models import DeadJob, Job

    alias = min(databases(), default="default")
    if alias in connections and connections[alias].vendor == "postgresql":
        for model in (Job, DeadJob):
            # Django leaves a name alone that is quoted.
            model._meta.db_table = f'"honker"."{model._meta.db_table}"'


def create_tables(using: str, **kwargs: Any) -> None:
    """There are no migrations: tables are made where they are not there, and `honker.open` brings them up to date. In
    Postgres this does both.
    """
    from django.db import connections

    from . import store

    if using in databases() and connections[using].vendor in ("sqlite", "postgresql"):
        store.create_schema(connections[using])
