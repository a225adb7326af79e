"""Jobs, one after the other: enqueue, claim, settle."""

import contextlib
import signal
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import honker
import pytest
from conftest import until


def test_round_trip(db, queue):
    payload = {"to": "alice@example.com", "order_id": 42, "tags": [None, True, 1.5, "ü"]}
    id = queue.enqueue(payload)
    job = queue.claim_one("w")
    assert (job.id, job.payload, job.queue, job.queue_name, job.worker_id) == (id, payload, queue, "emails", "w")
    assert (job.attempts, job.max_attempts, job.state, job.priority, job.last_error) == (1, 3, "processing", 0, None)
    assert job.run_at <= time.time() < job.claim_expires_at <= time.time() + 301
    assert abs(job.created_at - time.time()) < 600
    assert job.ack() is True
    assert job.ack() is False
    assert queue.claim_one("w") is None
    assert queue.get_job(id) is None


def test_ids_increase_and_batches(queue):
    ids = queue.enqueue_many(range(5))
    assert ids == sorted(set(ids))
    jobs = queue.claim_batch("w", 3)
    assert [job.payload for job in jobs] == [0, 1, 2]
    assert queue.claim_batch("w", 0) == [] == queue.claim_batch("w", -1)
    assert queue.ack_batch([job.id for job in jobs] + [99], "w") == 3
    assert queue.ack_batch([], "w") == 0


def test_options(queue):
    now = int(time.time())
    assert queue.enqueue("low") and queue.enqueue("high", priority=5)
    assert queue.claim_one("w").payload == "high"
    assert queue.claim_one("w").payload == "low"
    queue.enqueue("later", delay=60)
    queue.enqueue("then", run_at=now + 60.9)
    queue.enqueue("then", run_at=datetime.now(UTC) + timedelta(minutes=5))
    queue.enqueue("gone", expires=0)
    assert queue.claim_one("w") is None
    assert queue.sweep_expired() + len(queue.dead()) >= 1
    assert queue.dead()[0]["last_error"] == "expired"
    queue.enqueue("delta", delay=timedelta(seconds=-5))
    assert queue.claim_one("w").payload == "delta"
    assert queue.stats()["delayed"] == 3


def test_settling(queue):
    id = queue.enqueue(1, max_attempts=2)
    assert queue.claim_one("w").retry(0, "not now") is True
    job = queue.claim_one("w")
    assert job.attempts == 2 and job.retry(error="again") is True
    row = queue.dead()[0]
    assert (row["id"], row["payload"], row["last_error"]) == (id, 1, "again")
    assert queue.requeue(id) is True and queue.requeue(id) is False
    job = queue.claim_one("w")
    assert job.attempts == 1 and job.heartbeat(600) and job.snooze(0)
    job = queue.claim_one("w")
    assert job.attempts == 1 and job.release()
    assert queue.claim_one("w").fail("never") is True
    assert queue.purge_dead() == 0 and queue.purge_dead(-5) == 1
    id = queue.enqueue(2)
    assert queue.cancel(id) is True and queue.cancel(id) is False


def test_settling_by_id(queue):
    for settle in (
        lambda id: queue.ack(id, "w"),
        lambda id: queue.retry(id, "w", 60, "x"),
        lambda id: queue.fail(id, "w", "x"),
        lambda id: queue.heartbeat(id, "w") and queue.release(id, "w", 60),
    ):
        id = queue.enqueue(1)
        assert settle(id) is False
        assert queue.claim_one("w").id == id
        assert settle(id) is True


def test_one_queue_object_for_a_name(db):
    q = db.queue("a", visibility_timeout_s=30)
    assert db.queue("a") is q and db.queue("a", visibility_timeout_s=30) is q
    with pytest.raises(ValueError, match="already opened"):
        db.queue("a", visibility_timeout_s=300)
    with pytest.raises(ValueError, match="already opened"):
        db.queue("a", max_attempts=3)
    assert db._queues == {"a": q}


def test_the_queues_own_attempts(db):
    q = db.queue("a", max_attempts=7)
    q.enqueue(1)
    q.enqueue(2, max_attempts=1)
    q.enqueue_many([3])
    assert [job.max_attempts for job in q.claim_batch("w", 9)] == [7, 1, 7]
    other = db.queue("b")
    other.configure(max_attempts=9)
    other.enqueue(1)
    assert other.claim_one("w").max_attempts == 9


def test_metadata_and_unique_keys(queue):
    first = queue.try_enqueue("a", unique_key="k", metadata={"traceparent": "00-1"})
    assert first.status == "enqueued"
    assert queue.try_enqueue("b", unique_key="k") == (first.id, "exists")
    assert queue.try_enqueue("c", unique_key="k", on_conflict="replace") == (first.id, "replaced")
    assert queue.enqueue("d", unique_key="k") == first.id
    job = queue.claim_one("w")
    assert job.payload == "c" and job.metadata == {}
    queue.enqueue("e", metadata={"traceparent": "00-1"})
    assert queue.claim_one("w").metadata == {"traceparent": "00-1"}


def test_enqueue_many_over_several_queues(db):
    a, b = db.queue("a", max_attempts=8), db.queue("b")
    done = db.enqueue_many(
        [{"queue": a, "payload": 1}, {"queue": "b", "payload": 2, "delay": 60}, honker.Enqueue("b", 3, {"priority": 1})]
    )
    assert [one.status for one in done] == ["enqueued"] * 3
    assert a.claim_one("w").max_attempts == 8
    assert [job.payload for job in b.claim_batch("w", 9)] == [3]
    with pytest.raises(TypeError, match="queue, payload"):
        db.enqueue_many([{"queue": "a"}])
    with pytest.raises(TypeError):
        db.enqueue_many([{"queue": "a", "payload": 1}, {"queue": "a", "payload": object()}])
    assert a.claim_one("w") is None


def test_middleware_stands_around_each_enqueue(db, queue):
    seen = []

    def outer(job, proceed):
        seen.append((job.queue, job.payload))
        job.options["metadata"] = {**(job.options.get("metadata") or {}), "user": "me"}
        return proceed()

    def holds_back(job, proceed):
        return None if job.payload == "no" else proceed()

    honker.add_middleware(outer)
    honker.add_middleware(holds_back)
    try:
        assert queue.enqueue("no") == 0 and queue.try_enqueue("no") is None
        queue.enqueue("yes", metadata={"a": "b"})
        assert [one and one.status for one in db.enqueue_many([honker.Enqueue("emails", p) for p in ("no", "x")])] == [
            None,
            "enqueued",
        ]
    finally:
        honker.remove_middleware(outer)
        honker.remove_middleware(holds_back)
    assert [(job.payload, job.metadata) for job in queue.claim_batch("w", 9)] == [
        ("yes", {"a": "b", "user": "me"}),
        ("x", {"user": "me"}),
    ]
    assert seen == [("emails", p) for p in ("no", "no", "yes", "no", "x")]


def test_payloads_that_are_not_json(db, queue):
    queue.enqueue(honker.RawText("<xml>"))
    with db.transaction() as tx:
        tx.execute("INSERT INTO _honker_live (queue, payload) VALUES ('emails', ''), ('emails', '{\"n\":NaN}')")
    raw, empty, nan = [job.payload for job in queue.claim_batch("w", 3)]
    assert raw == "<xml>" and type(raw) is honker.RawText
    assert empty is None
    assert nan == '{"n":NaN}'
    assert queue.enqueue(raw) and queue.claim_one("w").payload_text == "<xml>"


def test_batches(db, queue):
    with db.batch(on_success={"queue": "reports", "payload": {"month": 7}, "priority": 2}) as batch:
        queue.enqueue(1, batch=batch)
        queue.enqueue(2, batch=batch.id)
    first, second = queue.claim_batch("w", 2)
    assert first.batch.id == batch.id
    queue.enqueue(3, batch=first.batch)
    for job in (first, second, queue.claim_one("w")):
        assert batch.get()["finished_at"] is None
        job.ack()
    report = db.queue("reports").claim_one("w")
    assert report.payload == {"month": 7} and report.metadata == {"batch_id": str(batch.id)}
    assert db.batch(batch.id).get()["done"] == 3
    with pytest.raises(ValueError):
        queue.enqueue(4, batch=batch)
    assert db.batch(99).get() is None
    with pytest.raises(ZeroDivisionError), db.batch() as open_one:
        raise ZeroDivisionError
    assert open_one.get()["sealed"] is False and open_one.seal() is True


def test_lists_and_bulk_actions(db, queue):
    for n in range(3):
        queue.enqueue(n, max_attempts=1)
        queue.claim_one("w").fail(f"503 at {n}")
    assert [job["payload"] for job in db.jobs(queue=queue, state="dead", order="oldest")] == [0, 1, 2]
    groups = db.dead_groups(queue)
    assert [(group["error"], group["count"], group["newest"]["payload"]) for group in groups] == [("# at #", 3, 2)]
    assert db.jobs(state="dead", error="at 1").retry() == (1, 0)
    assert db.jobs(queue="emails", state="due").move("other").changed == 1
    assert db.queue("other").claim_one("w").payload == 1
    assert db.jobs().where(state="dead").delete().changed == 2
    for name in ("limit", "page_size", "cursor"):
        with pytest.raises(TypeError, match=name):
            db.jobs(**{name: 3})
    with pytest.raises(ValueError):
        list(db.jobs(colour="red"))


def test_pages_of_lists_and_of_bulk_actions(db, queue):
    ids = [queue.enqueue(n, delay=1000) for n in range(5)]
    jobs = db.jobs(queue=queue, order="oldest")
    first = jobs.page(page_size=3)
    assert [job["id"] for job in first["jobs"]] == ids[:3]
    last = jobs.page(page_size=3, cursor=first["cursor"])
    assert [job["id"] for job in last["jobs"]] == ids[3:] and last["cursor"] is None
    done = jobs.apply("run_now", page_size=2)
    assert done["changed"] == 2
    assert jobs.apply({"priority": 7}, page_size=1000, cursor=done["cursor"])["changed"] == 3
    assert [job["priority"] for job in jobs] == [0, 0, 7, 7, 7]
    for call in (jobs.page, lambda **given: jobs.apply("run_now", **given)):
        for bad in (0, 1001):
            with pytest.raises(ValueError, match="page_size"):
                call(page_size=bad)


@pytest.mark.parametrize("name", ["queue", "state", "batch", "unique_key", "metadata", "error", "min_id"])
def test_a_condition_that_is_none_by_mistake_does_not_mean_all_jobs(db, queue, name):
    queue.enqueue(1)
    for jobs in (db.jobs(**{name: None}), db.jobs(queue=queue).where(**{name: None})):
        with pytest.raises(ValueError, match=name):
            jobs.delete()
        with pytest.raises(ValueError, match=name):
            list(jobs)
    assert db.jobs(order=None).delete().changed == 1


def test_settings(db, queue):
    queue.configure(concurrency=1, rate={"limit": 5, "per_s": 60})
    assert queue.settings()["concurrency"] == 1
    queue.enqueue_many([1, 2])
    job = queue.claim_one("w")
    assert queue.claim_one("w") is None
    job.ack()
    queue.pause()
    assert queue.claim_one("w") is None and queue.settings()["paused"] is True
    queue.resume()
    assert queue.claim_one("w").payload == 2
    with pytest.raises(ValueError, match="colour"):
        queue.configure(colour="red")
    assert [row["queue"] for row in db.queues()] == ["emails"]


def test_metrics_and_status(path):
    with honker.open(path) as db:
        db.queue("a").enqueue(1)
        db.queue("a").claim_one("w").ack()
        assert db.status()["versions"]["honker"] == honker.__version__
    with honker.open(path) as db:
        assert db.metrics()["queues"][0]["counts"]["enqueued"] == 1


def test_threads_claim_each_job_once(path, db, queue):
    queue.enqueue_many(range(200))
    claimed, lock = [], threading.Lock()

    def work(name):
        while job := queue.claim_one(name):
            with lock:
                claimed.append(job.payload)
            assert job.ack()

    threads = [threading.Thread(target=work, args=[f"w{i}"]) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == list(range(200))


def test_another_process_wakes_a_thread(path, queue, program):
    other = program(
        """
        import sys, honker
        db = honker.open(sys.argv[1])
        print("ready")
        sys.stdin.readline()
        print(db.queue("emails").enqueue("hello"))
        """,
        path,
    )
    other.line()
    got = []

    def wait():
        for job in queue.claim("w", idle_poll_s=None):
            got.append(job.payload)
            job.ack()
            return

    thread = threading.Thread(target=wait)
    thread.start()
    other.process.stdin.write("\n")
    other.process.stdin.flush()
    thread.join(60)
    assert got == ["hello"]
    other.end()


def test_waiting_ends_by_wake_close_and_time(db, queue):
    claims = queue.claim("w")
    assert claims.next(timeout=0) is None and claims.next(timeout=0.01) is None
    claims.wake()
    assert claims.next() is None
    ended = threading.Event()

    def wait():
        assert list(claims) == []
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: claims._dispatcher._waiting)
    with pytest.raises(honker.MisuseError, match="another thread"):
        claims.next(timeout=0)
    claims.close()
    assert ended.wait(60)
    thread.join()
    with pytest.raises(honker.ClosedError):
        claims.next()


def test_closing_the_database_ends_waits(db, queue):
    claims, errors = queue.claim("w"), []

    def wait():
        try:
            next(claims)
        except honker.ClosedError as error:
            errors.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: claims._dispatcher._waiting)
    db.close()
    thread.join(60)
    assert errors and "the database is closed" in errors[0]


def test_interrupt_ends_waits(db, queue):
    claims, errors = queue.claim("w"), []

    def wait():
        try:
            claims.next()
        except honker.InterruptedError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: claims._dispatcher._waiting)
    db.interrupt()
    thread.join(60)
    assert errors


def test_signals_end_a_blocking_wait(path, program):
    waiting = program(
        """
        import sys, honker
        db = honker.open(sys.argv[1])
        claims = db.queue("emails").claim("w", idle_poll_s=None)
        print("waiting")
        try:
            next(claims)
        except KeyboardInterrupt:
            print("interrupted")
        db.queue("emails").enqueue(1)
        print(next(claims).payload)
        """,
        path,
    )
    assert waiting.line() == "waiting"
    # It is in poll when it has slept.
    stat = Path(f"/proc/{waiting.process.pid}/stat")
    until(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "S")
    waiting.process.send_signal(signal.SIGINT)
    assert waiting.line() == "interrupted"
    assert waiting.line() == "1"
    waiting.end()


def test_the_view_for_people(path, db, queue):
    live = queue.enqueue("live", priority=2)
    queue.enqueue("dead", max_attempts=1, priority=9)
    queue.claim_one("w").fail("no")
    queue.claim_one("w")
    columns = (
        "id, queue, payload, state, priority, run_at, worker_id, claim_expires_at, attempts, max_attempts, last_error, "
        "created_at"
    )
    rows = db.query("SELECT * FROM _honker_jobs ORDER BY id")
    assert list(rows[0]) == columns.split(", ")
    assert [(row["id"], row["state"], row["worker_id"], row["last_error"]) for row in rows] == [
        (live, "processing", "w", None),
        (live + 1, "dead", None, "no"),
    ]
    before = db.query("PRAGMA schema_version")
    with honker.open(path) as again:
        again.queue("another")
    assert db.query("PRAGMA schema_version") == before


def test_tables_of_versions_long_gone(path):
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE _honker_pending (id);
        CREATE TABLE _honker_processing (id);
        CREATE INDEX _honker_pending_claim ON _honker_pending (id);
        CREATE TABLE _honker_scheduler_state (name, last_fire_at);
        INSERT INTO _honker_scheduler_state VALUES ('kept', 1);
        """
    )
    connection.close()
    with honker.open(path) as db:
        queue = db.queue("emails")
        gone = "SELECT name FROM sqlite_master WHERE name GLOB '_honker_p[er]*'"
        assert db.query(gone) == []
        queue.enqueue(1)
        assert queue.claim_one("w").ack()
        assert db.query("SELECT name FROM _honker_scheduler_state") == [{"name": "kept"}]


def test_a_queue_can_be_had_while_another_writes(path):
    with honker.open(path, busy_timeout_ms=100) as db, contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        db.queue("emails")
        other.rollback()
        db.queue("reports").enqueue(1)
        assert [row["queue"] for row in db.query("SELECT queue FROM _honker_jobs")] == ["reports"]
