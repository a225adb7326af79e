"""The loadable extension, and enqueueing on connections of others, without it."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import honker
import pytest
from honker import extension

REPOSITORY = Path(__file__).resolve().parents[3]


def test_extension_info(monkeypatch, tmp_path):
    named = os.environ["HONKER_EXTENSION_PATH"]
    assert honker.extension_info() == (os.path.abspath(named), "sqlite3_honkerext_init")
    assert honker.extension_info().entrypoint == honker.EXTENSION_ENTRYPOINT
    monkeypatch.setenv("HONKER_EXTENSION_PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="HONKER_EXTENSION_PATH"):
        honker.extension_info()
    monkeypatch.delenv("HONKER_EXTENSION_PATH")
    bundled = tmp_path / extension.FILE
    monkeypatch.setattr(extension, "BUNDLED", bundled)
    monkeypatch.setattr(extension, "__file__", str(tmp_path / "a" / "b.py"))
    with pytest.raises(FileNotFoundError, match="Searched") as raised:
        honker.extension_info()
    assert str(bundled) in str(raised.value) and str(tmp_path / "target" / "release") in str(raised.value)
    bundled.touch()
    assert honker.extension_info().path == str(bundled)


def loading_python():
    """A Python whose sqlite3 can load extensions; many builds cannot."""
    find = subprocess.run([REPOSITORY / "scripts" / "find", "python3"], capture_output=True, text=True)
    found = find.stdout.strip()
    if not found or subprocess.run([found, "-c", "import sys; assert sys.version_info >= (3, 11)"]).returncode:
        pytest.skip("SKIPPED load_extension: no Python 3.11 or newer here can load extensions")
    return shutil.which(found)


def test_load_extension(path, queue, program):
    """In Debian's Python, whose sqlite3 is its own SQLite, beside this process, which has the file open."""
    loads = program(
        """
        import sqlite3, sys, honker
        conn = sqlite3.connect(sys.argv[1])
        honker.load_extension(conn)
        honker.load_extension(conn)
        try:
            conn.execute("SELECT load_extension('x')")
        except sqlite3.OperationalError as error:
            print(error)
        print(conn.execute("SELECT honker_bootstrap()").fetchone())
        conn.execute("SELECT honker_enqueue('emails', '5', NULL, NULL, 0, 3, NULL)").fetchall()
        conn.commit()
        print("done")
        """,
        path,
        python=loading_python(),
    )
    assert "not authorized" in loads.line()
    loads.line()
    assert loads.line() == "done"
    loads.end()
    assert queue.claim_one("w").payload == 5


class Unable:
    """As a Python that was built without."""


class Old:
    """As before Python 3.12."""

    def __init__(self):
        self.calls = []

    def enable_load_extension(self, enabled):
        self.calls.append(enabled)

    def load_extension(self, path, /):
        raise AssertionError("without the entry point")

    def execute(self, sql, parameters):
        self.calls.append((sql, *parameters))


def test_pythons_that_cannot_or_know_no_entry_point():
    with pytest.raises(RuntimeError, match=r"cannot load extensions.*honker\.enqueue_on"):
        honker.load_extension(Unable())
    old = Old()
    honker.load_extension(old)
    assert old.calls == [True, ("SELECT load_extension(?, ?)", *honker.extension_info()), False]
    old.execute = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        honker.load_extension(old)
    assert old.calls[-1] is False
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        connection = sqlite3.connect(":memory:")
        with pytest.raises(RuntimeError, match="Python was built without"):
            honker.load_extension(connection)
        connection.close()


# A worker in another process, and the package that has the same file open in this one.


@pytest.fixture
def worker(path, db, program):
    db.queue("emails")
    running = program(
        """
        import sys, honker
        db = honker.open(sys.argv[1])
        print("ready")
        for job in db.queue("emails").claim("w", idle_poll_s=None):
            print(job.payload, job.max_attempts, job.metadata)
            job.ack()
        """,
        path,
    )
    assert running.line() == "ready"
    return running


@pytest.fixture(params=["legacy", "autocommit", "begins"])
def connection(request, path):
    if request.param == "legacy":
        conn = sqlite3.connect(path)
    elif request.param == "autocommit":
        conn = sqlite3.connect(path, isolation_level=None)
    elif sys.version_info < (3, 12):
        pytest.skip("autocommit=False came with Python 3.12")
    else:
        conn = sqlite3.connect(path, autocommit=False)
    yield conn
    conn.close()


def test_metadata_needs_a_transaction(db, path):
    """It is a second INSERT: a worker could claim the job before it is there."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(honker.MisuseError, match="metadata needs an open transaction"):
            honker.enqueue_on(connection, "emails", 1, metadata={"a": "b"})
        assert list(db.jobs()) == []
        honker.enqueue_on(connection, "emails", 2, metadata=None)
        connection.execute("BEGIN")
        honker.enqueue_on(connection, "emails", 3, metadata={"a": "b"})
        connection.execute("COMMIT")
        assert [job["metadata"] for job in db.jobs(order="oldest")] == [None, {"a": "b"}]


def test_sqlite3(worker, db, connection):
    if connection.isolation_level is None:
        connection.execute("BEGIN IMMEDIATE")
    id = honker.enqueue_on(connection, "emails", {"to": "nobody"})
    connection.rollback()
    if connection.isolation_level is None:
        connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE orders (id)")
    assert honker.enqueue_on(connection, "emails", {"to": "alice"}, max_attempts=7, metadata={"a": "b"}) >= id
    connection.execute("SAVEPOINT s")
    honker.enqueue_on(connection, "emails", "undone")
    connection.execute("ROLLBACK TO s")
    connection.execute("RELEASE s")
    honker.enqueue_on(connection, "emails", "later", delay=3600)
    connection.commit()
    honker.enqueue_on(connection, "emails", "last", expires=60, priority=-1)
    connection.commit()
    assert worker.line() == "{'to': 'alice'} 7 {'a': 'b'}"
    assert worker.line() == "last 3 {}"
    assert db.queue("emails").stats()["delayed"] == 1
    # What is set for the queue holds for it as well.
    queue = db.queue("it's 'own'")
    queue.configure(max_attempts=9)
    ids = [honker.enqueue_on(connection, queue.name, 1, **options) for options in ({}, {"max_attempts": 3})]
    connection.commit()
    assert [queue.get_job(id)["max_attempts"] for id in ids] == [9, 3]


def test_ack_on(db, queue, connection):
    queue.enqueue(1, metadata={"a": "b"}, unique_key="k")
    job = queue.claim_one("w")
    if connection.isolation_level is None:
        connection.execute("BEGIN IMMEDIATE")
    assert honker.ack_on(connection, job) is True
    connection.rollback()
    assert queue.get_job(job.id) is not None
    if connection.isolation_level is None:
        connection.execute("BEGIN IMMEDIATE")
    assert honker.ack_on(connection, job) is True
    assert honker.ack_on(connection, job) is False
    connection.commit()
    assert queue.get_job(job.id) is None and db.query("SELECT * FROM _honker_job_options") == []
    queue.enqueue(2, unique_key="k")
    assert queue.claim_one("w").payload == 2


def test_bad_input_on_a_connection(path, db, tmp_path):
    connection = sqlite3.connect(path)
    for arguments, options, error in (
        ((5, 1), {}, TypeError),
        (("a\0b", 1), {}, ValueError),
        (("q", object()), {}, TypeError),
        (("q", 1), {"delay": "5"}, TypeError),
        (("q", 1), {"unique_key": "k"}, honker.UnsupportedError),
        (("q", 1), {"colour": "red"}, TypeError),
    ):
        with pytest.raises(error):
            honker.enqueue_on(connection, *arguments, **options)
    with pytest.raises(TypeError, match="no connection"):
        honker.enqueue_on(object(), "q", 1)
    connection.commit()
    assert db.query("SELECT * FROM _honker_live") == []
    connection.close()
    empty = sqlite3.connect(tmp_path / "empty.db")
    with pytest.raises(sqlite3.OperationalError, match="no such table: _honker_live"):
        honker.enqueue_on(empty, "q", 1)
    empty.executescript(honker.schema_sql())
    assert honker.enqueue_on(empty, "q", 1) == 1
    empty.commit()
    empty.close()
    with honker.open(tmp_path / "empty.db") as opened:
        assert opened.queue("q").claim_one("w").payload == 1
