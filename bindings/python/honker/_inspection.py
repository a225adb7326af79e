"""What the first queue of a database sees to in the file: the view `_honker_jobs`, for people who look at it, and that
tables of versions long gone are gone. Where nothing is to be done it only reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _loop
from .errors import Error

if TYPE_CHECKING:
    from .database import Database

VIEW = """
CREATE VIEW IF NOT EXISTS _honker_jobs AS
SELECT id, queue, payload, state, priority, run_at, worker_id, claim_expires_at, attempts, max_attempts, NULL AS
last_error,
       created_at
FROM _honker_live
UNION ALL
SELECT id, queue, payload, 'dead', priority, run_at, NULL, NULL, attempts, max_attempts, last_error, created_at
FROM _honker_dead
"""
# Their rows are not moved: whoever runs the application has drained them.
LEGACY_TABLES = ("_honker_pending", "_honker_processing")
LEGACY_INDEXES = ("_honker_jobs_claim", "_honker_jobs_claim_v2", "_honker_pending_claim", "_honker_processing_reclaim")


def look_after(database: Database) -> bool:
    """Whether there is nothing left to do. It waits for nobody: a queue can be had while another has the writer, and
    the next one does this.
    """
    names = ("_honker_jobs", *LEGACY_INDEXES, *LEGACY_TABLES)
    marks = ", ".join("?" * len(names))
    found = {
        row["name"] for row in database.query(f"SELECT name FROM main.sqlite_schema WHERE name IN ({marks})", names)
    }
    if found == {"_honker_jobs"}:
        return True
    waiting = _loop.waiting
    before, waiting.never = waiting.never, True
    try:
        with database.transaction() as tx:
            tx.execute(VIEW)
            for index in LEGACY_INDEXES:
                tx.execute(f"DROP INDEX IF EXISTS {index}")
            for table in LEGACY_TABLES:
                tx.execute(f"DROP TABLE IF EXISTS {table}")
    except Error as error:
        if not error.transient:  # which a file that is only looked at is as well
            raise
        return False
    finally:
        waiting.never = before
    return True
