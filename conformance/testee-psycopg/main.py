"""The adapter of the SQL functions on Postgres: that of testee-sql, with psycopg's connections (database.py)."""

import sys
from pathlib import Path

# Behind this folder, in which `database` is another one.
sys.path.insert(1, str(Path(__file__).parent.with_name("testee-sql")))

from testee import Testee  # noqa: E402

Testee().listen()
