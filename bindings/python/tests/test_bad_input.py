"""What users get wrong: each error says what, and nothing has been done."""

import asyncio
import math
import sqlite3

import honker
import pytest


@pytest.mark.parametrize("path", [":memory:", "file::memory:", "file:x?mode=memory&cache=shared", ""])
def test_databases_in_memory(path):
    with pytest.raises(ValueError, match="in-memory"):
        honker.open(path)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"watcher_backend": "inotify"}, ValueError, "inotify"),
        ({"watcher_backend": " polling"}, ValueError, "polling"),
        ({"watcher_backend": 5}, TypeError, "watcher_backend"),
        ({"watcher_poll_interval_ms": 0}, ValueError, "watcher_poll_interval_ms must be positive"),
        ({"max_readers": 0}, ValueError, "max_readers"),
        ({"max_readers": "many"}, TypeError, "max_readers"),
        ({"journal_mode": "off"}, ValueError, "journal_mode has to be one of wal"),
        ({"durability": None}, ValueError, "durability"),
        ({"busy_timeout_ms": None}, TypeError, "busy_timeout_ms"),
        ({"colour": "red"}, TypeError, "colour"),
    ],
)
def test_options_of_open(path, options, error, says):
    with pytest.raises(error, match=says):
        honker.open(path, **options)
    assert not path.exists()


def test_files_that_are_none(tmp_path):
    with pytest.raises(RuntimeError, match="unable to open"):
        honker.open(tmp_path / "no" / "such" / "folder.db")
    (tmp_path / "text.db").write_text("this is no database " * 100)
    with pytest.raises(honker.CorruptError, match="not a database"):
        honker.open(tmp_path / "text.db")
    with pytest.raises(TypeError):
        honker.open(5)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (object(), TypeError),
        ({"a": {1, 2}}, TypeError),
        (math.nan, ValueError),
        ([math.inf], ValueError),
        ("\ud800", honker.EncodingError),
        (b"bytes", TypeError),
        ({(1, 2): 3}, TypeError),
    ],
)
def test_payloads(db, queue, payload, error):
    itself = []
    itself.append(itself)
    deep = None
    for _ in range(100_000):
        deep = [deep]
    with db.transaction() as tx:
        for bad, kind in ((payload, error), (itself, ValueError), (deep, ValueError)):
            with pytest.raises(kind):
                queue.enqueue(bad, tx=tx)
            with pytest.raises(kind):
                db.stream("s").publish(bad, tx=tx)
            with pytest.raises(kind):
                tx.notify("c", bad)
            with pytest.raises(kind):
                queue.save_result(1, bad, tx=tx)
        queue.enqueue("good", tx=tx)
    assert [job.payload for job in queue.claim_batch("w", 9)] == ["good"]
    assert db.query("SELECT * FROM _honker_notifications") == [] == db.stream("s").read_since(0)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"delay": "5"}, TypeError, "delay has to be an int, not str"),
        ({"delay": math.nan}, ValueError, "delay must not be nan"),
        ({"delay": 2**63 - 1}, ValueError, "delay"),
        ({"run_at": 2**64}, ValueError, "run_at does not fit"),
        ({"priority": None}, TypeError, "priority"),
        ({"priority": 2**63}, ValueError, "64 bits"),
        ({"max_attempts": "3"}, TypeError, "max_attempts"),
        ({"metadata": "a"}, TypeError, "metadata"),
        ({"metadata": {"a": 1}}, ValueError, "metadata"),
        ({"metadata": {"a": "x" * 9000}}, ValueError, "metadata"),
        ({"unique_key": ""}, ValueError, "unique_key must not be empty"),
        ({"unique_key": 5}, TypeError, "unique_key"),
        ({"unique_key": "k", "unique_until": "done"}, ValueError, "unique_until has to be one of settled"),
        ({"unique_key": "k", "on_conflict": "raise"}, ValueError, "on_conflict"),
        ({"unique_key": "k", "unique_for_s": 0}, ValueError, "unique_for_s must be positive"),
        ({"batch": 99}, ValueError, "batch"),
        ({"batch": "b"}, TypeError, "batch"),
        ({"retries": 3}, TypeError, "retries"),
    ],
)
def test_options_of_enqueue(db, queue, options, error, says):
    with pytest.raises(error, match=says):
        queue.enqueue(1, **options)
    with pytest.raises(error, match=says):
        db.enqueue_many([{"queue": "emails", "payload": 0}, {"queue": "emails", "payload": 1, **options}])
    assert queue.claim_one("w") is None


def test_names_and_numbers(db, queue):
    for bad in (5, None, b"w"):
        with pytest.raises(TypeError, match="worker has to be a str"):
            queue.claim_one(bad)
        with pytest.raises(TypeError, match="name has to be a str"):
            db.queue(bad)
    with pytest.raises(honker.EncodingError):
        db.queue("\ud800")
    with pytest.raises(ValueError, match="NUL"):
        db.queue("a\0b").enqueue(1)
    with pytest.raises(TypeError, match="n has to be an int"):
        queue.claim_batch("w", "many")
    with pytest.raises(TypeError):
        queue.ack_batch(["1"], "w")
    with pytest.raises(TypeError):
        queue.ack_batch(5, "w")
    with pytest.raises(ValueError, match="idle_poll_s"):
        queue.claim("w", idle_poll_s=-1)
    for limit, per in ((0, 1), (1, 0), (-1, 60)):
        with pytest.raises(ValueError, match="positive"):
            db.try_rate_limit("api", limit, per)
    with pytest.raises(ValueError, match="max_keep must not be negative"):
        db.prune_notifications(max_keep=-1)
    with pytest.raises(TypeError, match="timeout has to be a number"):
        queue.claim("w").next(timeout="1")
    assert queue.enqueue(1, delay=-0.9) and queue.claim_one("w") is not None  # floats are truncated


def test_schedules(db):
    scheduler = db.scheduler()
    for expression in ("", "* * *", "61 * * * *", "@sometimes", "0 0 31 2 *", "@every 0s"):
        with pytest.raises(ValueError):
            scheduler.add(name="n", queue="q", schedule=expression)
        with pytest.raises(ValueError):
            honker.crontab(expression)
    with pytest.raises(ValueError, match="every_s"):
        honker.crontab("@every 5s")
    for n in (0, -1, math.nan, 0.5, 1.5):
        with pytest.raises(ValueError):
            honker.every_s(n)
    with pytest.raises(ValueError, match="overlap"):
        scheduler.add(name="n", queue="q", schedule="@daily", overlap="never")
    with pytest.raises(ValueError, match="honker-scheduler"):
        honker.Scheduler(db, lock_name="mine")
    assert scheduler.list() == []


def test_outboxes(db):
    with pytest.raises(TypeError, match="callable"):
        db.outbox("mail", None)
    outbox = db.outbox("mail", print)
    with pytest.raises(ValueError, match="already opened"):
        db.outbox("mail", repr)
    with pytest.raises(ValueError, match="already opened"):
        db.outbox("mail", print, max_attempts=9)
    assert db.outbox("mail", print) is outbox


def test_a_transaction_of_another_database(db, queue, tmp_path):
    with honker.open(tmp_path / "other.db") as other, other.transaction() as tx:
        with pytest.raises(honker.MisuseError, match="another database"):
            queue.enqueue(1, tx=tx)
        with pytest.raises(AttributeError):
            queue.enqueue(1, tx=5)


def test_what_is_closed(path):
    db = honker.open(path)
    queue, claims, scheduler = db.queue("emails"), db.queue("emails").claim("w"), db.scheduler()
    queue.enqueue(1)
    job = queue.claim_one("w")
    db.close()
    db.close()
    for call in (
        lambda: queue.enqueue(1),
        job.ack,
        scheduler.list,
        lambda: db.listen("c"),
        lambda: db.query("SELECT 1"),
        lambda: next(claims),
        db.interrupt,
        lambda: db.transaction().__enter__(),
    ):
        with pytest.raises(honker.ClosedError, match="the database is closed"):
            call()
    claims.close()


def test_no_loop_and_a_loop(db, queue):
    with pytest.raises(RuntimeError, match="event loop"):
        queue.aenqueue(1).send(None)

    async def main():
        with pytest.raises(RuntimeError, match="event loop"):
            db.outbox("mail", print).run_once("w")
        with pytest.raises(honker.MisuseError, match="async for"):
            for _ in queue.claim("w"):
                pass

    asyncio.run(main())


def test_rows_of_other_sql(path, queue):
    """They are dead-lettered, and keep nothing else waiting."""
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO _honker_live (queue, payload, run_at) VALUES ('emails', x'00', 'soon')")
    connection.execute("INSERT INTO _honker_live (queue, payload, run_at) VALUES ('emails', '1', unixepoch() - 0.5)")
    connection.commit()
    connection.close()
    assert [job.payload for job in queue.claim_batch("w", 9)] == [1]


def test_errors_travel_to_other_processes(db):
    import pickle

    with pytest.raises(honker.SQLError) as raised:
        db.query("NONSENSE")
    copy = pickle.loads(pickle.dumps(raised.value))
    assert type(copy) is honker.SQLError and str(copy) == str(raised.value)
    assert (copy.name, copy.sqlite_code, copy.transient) == ("HONKER_SQL", 1, False)
