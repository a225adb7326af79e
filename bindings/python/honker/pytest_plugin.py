"""Fixtures for pytest, there as soon as honker is installed. It is imported by pytest alone.

def test_sign_up(honker_db, honker_jobs):
    sign_up(honker_db, "alice@example.com")
    honker_jobs.assert_enqueued("emails", {"to": "alice@example.com"})
    honker_jobs.run_due(send_email)
    honker_jobs.advance(3600)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .database import Database
from .testing import Jobs


@pytest.fixture
def honker_db(tmp_path: Path) -> Iterator[Database]:
    """A database in a temporary file, which is closed after the test."""
    with Database(tmp_path / "honker.db") as database:
        yield database


@pytest.fixture
def honker_jobs(honker_db: Database) -> Jobs:
    """Its jobs: `run_due`, `enqueued`, `assert_enqueued`, and the clock, `advance`."""
    return Jobs(honker_db)
