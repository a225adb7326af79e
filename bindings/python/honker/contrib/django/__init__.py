"""honker as a backend of Django's Tasks: Django 6.0 and newer, or 5.2 with django-tasks.

    INSTALLED_APPS = [..., "honker.contrib.django"]
    TASKS = {"default": {"BACKEND": "honker.contrib.django.HonkerBackend"}}

Tasks are rows of a database of the project, in SQLite or Postgres, written by Django's own connection: one that is
enqueued in `atomic()` is rolled back with it. `manage.py honker_worker` runs them, and is woken by the commit.
"""

from __future__ import annotations

from typing import Any

__all__ = ["HonkerBackend", "HonkerTask"]


def __getattr__(name: str) -> Any:  # what needs the settings is imported when it is asked for
    if name in __all__:
        from . import backend

        return getattr(backend, name)
    raise AttributeError(name)
