"""The backend of Django's Tasks: a project's own tests, and workers of a project, with each Django that is supported.

target/django has one folder for each version but the newest, which is installed; scripts/setup python makes them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import PACKAGE, SOON_S, until

PROJECT = PACKAGE / "tests" / "django_project"
OTHERS = PACKAGE.parents[1] / "target" / "django"
VERSIONS = ["installed", *sorted(folder.name for folder in OTHERS.glob("*"))]

pytest.importorskip("django")


class Project:
    def __init__(self, version: str, database: Path | str) -> None:
        places = [str(PACKAGE)] if version == "installed" else [str(OTHERS / version), str(PACKAGE)]
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "PROJECT_DB": str(database)}
        self._started: list[subprocess.Popen[str]] = []

    def manage(self, *arguments: str, memory: bool = False, ok: bool = True) -> str:
        environment = {**self.environment, "PROJECT_DB": ":memory:"} if memory else self.environment
        done = subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", "manage.py", *arguments],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=10 * SOON_S,
        )
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        return done.stdout + done.stderr

    def shell(self, code: str) -> str:
        """What it prints, without what the shell says of its imports."""
        arguments = ["shell", "-c", f"from shop import tasks; from shop.models import Order; {code}"]
        return self.manage(*arguments).strip().splitlines()[-1]

    def worker(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "honker_worker", *arguments],
            cwd=PROJECT,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture(params=VERSIONS)
def project(request: pytest.FixtureRequest, path: Path) -> Any:
    made = Project(request.param, path)
    yield made
    made.end()


@pytest.fixture(params=VERSIONS)
def served_project(request: pytest.FixtureRequest, server: str) -> Any:
    """One whose database is on a Postgres server."""
    made = Project(request.param, server)
    yield made
    made.end()


@pytest.mark.parametrize("parallel", [[], ["--parallel", "2"]], ids=["serial", "parallel"])
def test_a_project_tests_its_tasks_in_memory(project: Project, parallel: list[str]) -> None:
    said = project.manage("test", *parallel, memory=True)
    assert "Ran 20 tests" in said and "OK" in said


@pytest.mark.parametrize("parallel", [[], ["--parallel", "2"]], ids=["serial", "parallel"])
def test_a_project_tests_its_tasks_on_postgres(served_project: Project, parallel: list[str]) -> None:
    said = served_project.manage("test", "--noinput", *parallel)
    assert "Ran 20 tests" in said and "OK (skipped=1)" in said


def test_a_worker_runs_what_a_transaction_has_committed(project: Project) -> None:
    runs_what_is_committed(project)


def test_a_worker_on_postgres(served_project: Project) -> None:
    runs_what_is_committed(served_project)


def runs_what_is_committed(project: Project) -> None:
    project.manage("migrate", "--run-syncdb", "--verbosity", "0")
    worker = project.worker("--concurrency", "4")
    code = """
from django.db import transaction
try:
    with transaction.atomic():
        Order.objects.create(number=1); tasks.write.enqueue(-1)
        raise ZeroDivisionError
except ZeroDivisionError: pass
with transaction.atomic():
    Order.objects.create(number=2); a = tasks.write.enqueue(3)
b = tasks.send.enqueue("alice"); c = tasks.fails.enqueue(1); d = tasks.odd.enqueue()
print(a.id, b.id, c.id, d.id)
"""
    ids = project.shell(f"exec({code!r})").split()

    def finished() -> str:
        code = f"print([tasks.write.get_backend().get_result(id).status for id in {ids}])"
        return project.shell(code)

    until(lambda: finished().count("SUCCESSFUL") == 3 and "FAILED" in finished())
    assert project.shell("print(sorted(Order.objects.values_list('number', flat=True)))") == "[0, 2, 3]"
    result = f"result = tasks.write.get_result({ids[0]!r}); print(result.return_value['number'], result.attempts, "
    assert (
        project.shell(result + "'@' in result.worker_ids[0], result.started_at <= result.finished_at)")
        == "3 1 True True"
    )
    worker.send_signal(signal.SIGTERM)
    _, errors = worker.communicate(timeout=SOON_S)
    assert worker.returncode == 0, errors


def test_a_worker_that_dies_costs_an_attempt(project: Project) -> None:
    project.manage("migrate", "--run-syncdb", "--verbosity", "0")
    id = project.shell("print(tasks.dies.enqueue().id)")
    for _ in range(2):
        worker = project.worker()
        worker.wait(timeout=SOON_S)
        assert worker.returncode == 3
    worker = project.worker()

    def state() -> str:
        code = f"result = tasks.dies.get_result({id!r}); print(result.status, result.attempts, "
        return project.shell(code + "[error.traceback for error in result.errors])")

    until(lambda: state() == "FAILED 2 ['max attempts exceeded']")


def test_what_a_worker_that_stops_gives_back_has_not_failed(project: Project, path: Path) -> None:
    project.manage("migrate", "--run-syncdb", "--verbosity", "0")
    id = project.shell("print(tasks.waits.enqueue().id)")
    worker = project.worker("--stop-timeout", "0")

    def count(sql: str) -> int:
        with contextlib.closing(sqlite3.connect(path, timeout=SOON_S)) as connection:
            return connection.execute(f"SELECT count(*) FROM {sql}").fetchone()[0]

    until(lambda: count("_honker_steps WHERE name = 'attempt 1'"))
    worker.send_signal(signal.SIGTERM)
    _, errors = worker.communicate(timeout=SOON_S)
    assert worker.returncode == 0, errors
    assert count("_honker_live WHERE state = 'pending' AND attempts = 0") == 1
    assert count("_honker_steps WHERE name GLOB 'error*'") == 0
    assert project.shell(f"print(tasks.waits.get_result({id!r}).status)") == "READY"


def test_retries_follow_the_workers_backoff(project: Project, path: Path) -> None:
    """It is due again a quarter of a minute later."""
    project.manage("migrate", "--run-syncdb", "--verbosity", "0")
    project.worker()
    id = project.shell("print(tasks.fails.enqueue(2).id)")
    columns = "attempts, state, run_at - created_at >= 13"

    def rows() -> list[tuple[object, ...]]:
        with contextlib.closing(sqlite3.connect(path, timeout=SOON_S)) as connection:
            return connection.execute(f"SELECT {columns} FROM _honker_live").fetchall()

    until(lambda: rows() == [(1, "pending", True)])
    code = f"result = tasks.fails.get_result({id!r}); print(result.status, result.attempts, len(result.errors))"
    assert project.shell(code) in ("READY 1 1", "RUNNING 2 1", "SUCCESSFUL 2 1")


def test_what_a_worker_cannot_be(project: Project) -> None:
    said = project.manage("honker_worker", memory=True, ok=False)
    assert "is in memory, where no other connection finds it" in said and "Traceback" not in said
    assert "concurrency must be positive" in project.manage("honker_worker", "--concurrency", "0", ok=False)
