"""Transactions, and the SQL of the application in them."""

import threading

import honker
import pytest
from conftest import until


@pytest.fixture
def orders(db):
    with db.transaction() as tx:
        tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total)")
    return lambda: db.query("SELECT * FROM orders ORDER BY id")


def test_commit_and_rollback_take_the_jobs_with_them(db, queue, orders):
    stream = db.stream("events")
    with db.transaction() as tx:
        assert tx.execute("INSERT INTO orders VALUES (?, ?)", [42, 9900]) is None
        queue.enqueue({"order_id": 42}, tx=tx)
        stream.publish("e", tx=tx)
        assert isinstance(tx.notify("orders", {"id": 42}), int)
        assert tx.query("SELECT count(*) AS n FROM orders") == [{"n": 1}]
        assert orders() == []
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:
        tx.execute("INSERT INTO orders VALUES (43, 1)")
        queue.enqueue(1, tx=tx)
        stream.publish("f", tx=tx)
        stream.save_offset("c", 1, tx=tx)
        queue.save_result(7, "r", tx=tx)
        raise ZeroDivisionError
    assert orders() == [{"id": 42, "total": 9900}]
    assert [job.payload for job in queue.claim_batch("w", 9)] == [{"order_id": 42}]
    assert [event.payload for event in stream.read_since(0)] == ["e"]
    assert stream.get_offset("c") == 0 and queue.get_result(7) == (False, None)


def test_a_transaction_ends_once(db, queue):
    with db.transaction() as tx:
        queue.enqueue(1, tx=tx)
        tx.commit()
        tx.commit()
        tx.rollback()
        assert not tx.open
        with pytest.raises(honker.MisuseError, match="over"):
            queue.enqueue(2, tx=tx)
    with db.transaction() as tx:
        queue.enqueue(3, tx=tx)
        tx.rollback()
    with pytest.raises(honker.MisuseError, match="over"):
        tx.execute("SELECT 1")
    assert [job.payload for job in queue.claim_batch("w", 9)] == [1]


def test_a_failed_commit_gives_the_writer_back(db, queue):
    with db.transaction() as tx:
        tx.execute("CREATE TABLE a (id INTEGER PRIMARY KEY)")
        tx.execute("CREATE TABLE b (a REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(honker.ConstraintError), db.transaction() as tx:
        tx.execute("INSERT INTO b VALUES (1)")
    queue.enqueue(1)
    for _ in range(200):
        with pytest.raises(honker.SQLError), db.transaction() as tx:
            tx.execute("NONSENSE")
    assert queue.claim_one("w").payload == 1


def test_what_would_wait_for_itself_fails_at_once(db, queue, orders):
    cached = db.outbox("mail", print)
    with db.transaction() as tx:
        assert db._tx_depth == 1
        with pytest.raises(RuntimeError, match=r"nested db\.transaction\(\) is not supported"), db.transaction():
            pass
        with pytest.raises(RuntimeError, match="cannot construct Queue"):
            db.queue("new")
        with pytest.raises(RuntimeError, match="cannot construct Outbox"):
            db.outbox("new", print)
        assert "new" not in db._queues and "new" not in db._outboxes
        assert db.queue("emails") is queue and db.outbox("mail", print) is cached
        for write in (
            lambda: queue.enqueue(1),
            lambda: queue.claim_one("w"),
            lambda: queue.ack(1, "w"),
            lambda: db.notify("c", 1),
            lambda: db.stream("new one").publish(1),
            lambda: db.lock("l").acquire(),
            lambda: queue.configure(paused=True),
        ):
            with pytest.raises(RuntimeError, match="a transaction is open on this thread; pass tx or use the async"):
                write()
        queue.enqueue("mine", tx=tx)
        assert db.query("SELECT count(*) AS n FROM _honker_live") == [{"n": 0}] and db.query("SELECT 1 AS one") == [
            {"one": 1}
        ]
    assert db._tx_depth == 0
    assert [job.payload for job in queue.claim_batch("w", 9)] == ["mine"]


def test_another_thread_waits(db, queue):
    began, done = threading.Event(), []

    def other():
        began.set()
        done.append(queue.enqueue("other"))

    with db.transaction() as tx:
        thread = threading.Thread(target=other)
        thread.start()
        began.wait()
        queue.enqueue("first", tx=tx)
        thread.join(0.05)
        assert not done
    thread.join(60)
    assert [job.payload for job in queue.claim_batch("w", 9)] == ["first", "other"]


def test_a_transaction_that_another_process_has_is_waited_for(path, db, queue, program):
    holder = program(
        """
        import sys, honker
        db = honker.open(sys.argv[1])
        with db.transaction() as tx:
            tx.execute("CREATE TABLE t (a)")
            print("open")
            sys.stdin.readline()
        """,
        path,
    )
    holder.line()
    with honker.open(path, busy_timeout_ms=20) as hasty, pytest.raises(honker.BusyError) as busy:
        hasty.queue("emails").enqueue(1)
    assert busy.value.retryable and busy.value.transient and busy.value.name == "HONKER_BUSY"
    done = []
    thread = threading.Thread(target=lambda: done.append(queue.enqueue(2)))
    thread.start()
    thread.join(0.05)
    assert not done
    holder.process.stdin.write("\n")
    holder.process.stdin.flush()
    thread.join(60)
    assert done and queue.claim_one("w").payload == 2
    holder.end()


def test_a_killed_writer_left_nothing(path, db, queue, program):
    holder = program(
        """
        import sys, honker
        db = honker.open(sys.argv[1])
        q = db.queue("emails")
        with db.transaction() as tx:
            q.enqueue("phantom", tx=tx)
            tx.notify("c", 1)
            print("open")
            sys.stdin.readline()
        """,
        path,
    )
    listener = db.listen("c")
    holder.line()
    holder.kill()
    queue.enqueue("real")
    assert [job.payload for job in queue.claim_batch("w", 9)] == ["real"]
    assert listener.next(timeout=0) is None
    assert db.query("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_a_forgotten_transaction_is_rolled_back(db, queue):
    def forget():
        tx = db.transaction()
        tx.__enter__()
        queue.enqueue(1, tx=tx)

    forget()
    queue.enqueue(2)
    assert [job.payload for job in queue.claim_batch("w", 9)] == [2]


def test_values_round_trip(db):
    values = [None, True, -(2**63), 2**63 - 1, 1.5, "üx", b"\0\xff", "", b""]
    marks = ", ".join("?" * len(values))
    with db.transaction() as tx:
        tx.execute("CREATE TABLE v (a, b, c, d, e, f, g, h, i)")
        tx.execute(f"INSERT INTO v VALUES ({marks})", tuple(values))
        row = tx.query("SELECT * FROM v")[0]
        assert [type(value) for value in row.values()] == [type(None), int, int, int, float, str, bytes, str, bytes]
        assert list(row.values()) == values
    assert db.query("SELECT a, b FROM v WHERE c = ?", [-(2**63)]) == [{"a": None, "b": 1}]


@pytest.mark.parametrize(
    ("params", "error", "says"),
    [
        ({"a": 1}, TypeError, "positional sequence"),
        ("ab", TypeError, "positional sequence"),
        (b"ab", TypeError, "positional sequence"),
        (5, TypeError, "positional sequence"),
        ([object()], TypeError, "unsupported SQL parameter type"),
        ([[1]], TypeError, "unsupported SQL parameter type"),
        ([2**63], ValueError, "64 bits"),
        ([], ValueError, "parameter"),
        ([1, 2], ValueError, "parameter"),
    ],
)
def test_bad_parameters(db, params, error, says):
    with db.transaction() as tx:
        with pytest.raises(error, match=says):
            tx.query("SELECT ?", params)
        assert tx.query("SELECT ? AS a", [1]) == [{"a": 1}]
    with pytest.raises(error, match=says):
        db.query("SELECT ?", params)


def test_a_query_only_reads(db):
    with pytest.raises(honker.ReadOnlyError):
        db.query("CREATE TABLE t (a)")
    with db.transaction() as tx:
        tx.bootstrap_honker_schema()
        with pytest.raises(ValueError):
            tx.execute("COMMIT")


def test_readers_go_on_while_a_writer_has_the_lock(db, queue):
    with db.transaction() as tx:
        queue.enqueue(1, tx=tx)
        seen = []
        thread = threading.Thread(target=lambda: seen.extend(db.query("SELECT count(*) AS n FROM _honker_live")))
        thread.start()
        until(lambda: seen)
    assert seen == [{"n": 0}]
