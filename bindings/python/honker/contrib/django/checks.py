"""System checks: what a database has to be for tasks, and what it had better be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import Error, Warning

if TYPE_CHECKING:
    from .backend import HonkerBackend


def check(backend: HonkerBackend) -> list[Any]:
    where = f"TASKS[{backend.alias!r}]"
    databases = settings.DATABASES
    if backend.database not in databases:
        return [Error(f"{where} names the database {backend.database!r}, which is not in DATABASES.", id="honker.E001")]
    database = databases[backend.database]
    is_server = database["ENGINE"].endswith((".postgresql", ".postgis"))
    if not is_server and database["ENGINE"] != "django.db.backends.sqlite3":
        return [
            Error(
                f"{where} names the database {backend.database!r}, which is neither SQLite nor Postgres.",
                hint='Name another one in OPTIONS["DATABASE"], a file beside the project\'s own for instance.',
                id="honker.E002",
            )
        ]
    messages: list[Any] = []
    for name in ("KEEP_DONE_S", "MAX_ATTEMPTS"):
        value = backend.options.get(name, 1)
        if not isinstance(value, int) or value < (0 if name == "KEEP_DONE_S" else 1):
            messages.append(Error(f'{where}["OPTIONS"]["{name}"] has to be a positive number.', id="honker.E003"))
    unknown = set(backend.options) - {"DATABASE", "KEEP_DONE_S", "MAX_ATTEMPTS"}
    if unknown:
        messages.append(Error(f"{where} has unknown OPTIONS: {', '.join(sorted(unknown))}.", id="honker.E004"))
    if is_server:
        return messages
    options = database.get("OPTIONS", {})
    if str(options.get("transaction_mode", "")).upper() != "IMMEDIATE":
        messages.append(
            Warning(
                f"The transactions of the database {backend.database!r} begin as readers.",
                hint="One that writes later fails at once with 'database is locked' if a worker has committed in "
                f"between, whatever the timeout. Set DATABASES[{backend.database!r}]"
                '["OPTIONS"]["transaction_mode"] = "IMMEDIATE".',
                id="honker.W001",
            )
        )
    if options.get("timeout", 5) < 1:
        messages.append(
            Warning(
                f"The database {backend.database!r} waits for a lock for less than a second.",
                hint=f'Set DATABASES[{backend.database!r}]["OPTIONS"]["timeout"] to 5 seconds or more.',
                id="honker.W002",
            )
        )
    if "journal_mode" not in str(options.get("init_command", "")).lower():
        messages.append(
            Warning(
                f"The journal mode of the database {backend.database!r} is left to the file.",
                hint="Workers switch it to WAL, in which readers and the writer do not wait for each other. Say so: "
                f'DATABASES[{backend.database!r}]["OPTIONS"]["init_command"] = "PRAGMA journal_mode=WAL; '
                'PRAGMA synchronous=NORMAL;".',
                id="honker.W003",
            )
        )
    return messages
