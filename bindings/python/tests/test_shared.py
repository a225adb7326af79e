"""Streams, notifications, locks, rate limits, results, schedules, outboxes."""

import asyncio
import contextlib
import logging
import threading
import time
from datetime import datetime, timedelta

import honker
import pytest
from conftest import SOON_S, until
from honker import _loop
from honker.outbox import Courier


def test_streams(db):
    stream = db.stream("s")
    assert db.stream("s") is stream and stream.name == "s"
    first = stream.publish({"n": 1}, key="k")
    second = stream.publish({"n": 2})
    assert [tuple(event)[:4] for event in stream.read_since(0)] == [
        (first, "s", "k", {"n": 1}),
        (second, "s", None, {"n": 2}),
    ]
    assert [event.offset for event in stream.read_since(first)] == [second] and stream.read_since(0, limit=1)[
        0
    ].key == "k"
    assert stream.save_offset("c", first) is True and stream.save_offset("c", 0) is False
    assert stream.get_offset("c") == first and stream.read_from_consumer("c")[0].offset == second
    stream.configure(keep_n=1)
    assert stream.trim() == 1 and stream.trim(keep_n=0, past_consumers=True) == 1


def test_only_finished_events_are_saved(db):
    stream = db.stream("s")
    for n in range(12):
        stream.publish(n)
    subscription = stream.subscribe(consumer="c", save_every_n=5, save_every_s=0)
    assert [next(subscription).payload for _ in range(12)] == list(range(12))
    assert stream.get_offset("c") == 10
    subscription.close()
    assert stream.get_offset("c") == 11
    with stream.subscribe(consumer="c") as again:
        assert next(again).payload == 11 and again.offset == 12
        again.ack()
        again.save()
        assert stream.get_offset("c") == 12
    with stream.subscribe(consumer="d", save_every_n=0, save_every_s=0) as unsaved:
        next(unsaved), next(unsaved)
    assert stream.get_offset("d") == 0
    assert next(stream.subscribe(from_offset=11)).payload == 11


def test_a_subscription_replays_then_lives(db):
    stream = db.stream("s")
    stream.publish(0)

    async def main():
        got = []

        async def consume(consumer):
            async with stream.subscribe(consumer=consumer) as subscription:
                async for event in subscription:
                    got.append(event.payload)
                    if event.payload == 2:
                        return

        tasks = [asyncio.create_task(consume(name)) for name in ("a", "b")]
        await asyncio.sleep(0.02)
        await stream.apublish(1)
        await stream.apublish(2)
        await asyncio.wait_for(asyncio.gather(*tasks), SOON_S)
        assert sorted(got) == [0, 0, 1, 1, 2, 2]

    asyncio.run(main())


def test_notifications(db):
    before = db.notify("c", "history")
    listener, other = db.listen("c"), db.listen("d")
    payloads = [None, True, 1, 1.5, "ü", [], {"a": {"b": None}}, honker.RawText("raw")]
    for payload in payloads:
        db.notify("c", payload)
    got = [next(listener) for _ in payloads]
    assert [one.payload for one in got] == payloads and got[0].id > before and got[0].channel == "c"
    assert other.next(timeout=0) is None and listener._updates.path == db.path
    assert db.prune_notifications() == 0 and db.prune_notifications(max_keep=2) == 7
    assert db.prune_notifications(older_than_s=60) == 0 and db.prune_notifications(max_keep=0) == 2
    db.configure_notifications(keep_s=60)


def test_update_events(db, queue):
    updates = db.update_events()
    queue.enqueue(1)
    assert next(updates) is None and updates.path == db.path
    until(lambda: not updates.next(timeout=0))

    async def main():
        async for nothing in db.update_events():
            assert nothing is None
            return

    async def both():
        task = asyncio.create_task(main())
        await asyncio.sleep(0.02)
        queue.enqueue(2)
        await asyncio.wait_for(task, SOON_S)

    asyncio.run(both())


def test_a_replaced_file_ends_waits(path, db, queue):
    updates, claims = db.update_events(), queue.claim("w")
    path.rename(path.with_suffix(".old"))
    honker.open(path).close()
    for wait in (lambda: [None for _ in updates], lambda: next(claims)):
        with pytest.raises(honker.WatcherError):
            wait()
    with pytest.raises(honker.WatcherError):
        asyncio.run(claims.anext())


def test_locks(path, db):
    with db.lock("l", ttl=60) as lock:
        assert lock.acquired and lock.ttl == 60 and lock.name == "l" and lock.renew() and lock.renew(120)
        with pytest.raises(honker.LockHeld, match="'l'"), db.lock("l"):
            pass
        other = db.lock("l")
        assert other.acquire() is False and other.renew() is False and other.release() is False
        assert other.owner != lock.owner
    assert not lock.acquired and lock.renew() is False and lock.release() is False
    with pytest.raises(ZeroDivisionError), db.lock("l", owner="me") as lock:
        assert lock.owner == "me"
        raise ZeroDivisionError
    with db.lock("l") as lock:
        with db.transaction() as tx:
            tx.execute("UPDATE _honker_locks SET owner = 'thief'")
        assert lock.renew() is False and lock.release() is False
    assert db.query("SELECT owner FROM _honker_locks") == [{"owner": "thief"}]

    async def main():
        async with db.lock("async") as lock:
            assert await lock.arenew()
            with pytest.raises(honker.LockHeld):
                async with db.lock("async"):
                    pass

    asyncio.run(main())
    assert db.lock("async").acquire()


def test_a_lock_is_not_lost_because_the_writer_is_busy(path, program):
    with honker.open(path, busy_timeout_ms=20) as db:
        lock = db.lock("l")
        assert lock.acquire()
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
        with pytest.raises(honker.BusyError):
            lock.release()
        holder.process.stdin.write("\n")
        holder.process.stdin.flush()
        holder.end()
        assert lock.release() is True


def test_rate_limits(db):
    assert [db.try_rate_limit("api", 2, 10**6) for _ in range(3)] == [True, True, False]
    assert db.try_rate_limit("other", 1, timedelta(days=10))
    assert db.sweep_rate_limits() in (0, 1, 2) and db.sweep_rate_limits(-1) <= 2


def test_results(db, queue):
    assert queue.get_result(1) == (False, None)
    queue.save_result(1, None)
    assert queue.get_result(1) == (True, None)
    queue.save_result(1, {"a": 1}, ttl=60)
    assert db.wait_result(1, timeout=0) == {"a": 1}
    row = db.query("SELECT expires_at - created_at AS ttl FROM _honker_results")[0]
    assert row == {"ttl": 60}
    with pytest.raises(TimeoutError, match=r"wait_result\(2\) timed out"):
        db.wait_result(2, timeout=0.01)
    thread = threading.Thread(target=lambda: (time.sleep(0.05), queue.save_result(2, 5)))
    thread.start()
    assert db.wait_result(2, timeout=SOON_S) == 5
    thread.join()
    assert queue.sweep_results() == 0


def test_schedules(db):
    scheduler = honker.Scheduler(db)
    scheduler.add(
        name="n", queue="q", schedule="@every 60s", payload={"a": 1}, priority=5, expires=30, metadata={"m": "x"}
    )
    scheduler.add(name="o", queue=db.queue("q"), schedule=honker.crontab("0 3 29 2 *"))  # far away
    assert scheduler._registered == {"n": "@every 60s", "o": "0 3 29 2 *"}
    row = scheduler.list()[0]
    assert (row["name"], row["payload"], row["priority"], row["expires_s"], row["max_attempts"], row["enabled"]) == (
        "n",
        {"a": 1},
        5,
        30,
        3,
        True,
    )
    assert scheduler.soonest() == row["next_fire_at"]
    fires = scheduler.tick(row["next_fire_at"] + 60)
    assert [(fire.name, fire.queue, fire.status) for fire in fires] == [("n", "q", "enqueued")] * 2
    assert scheduler.tick(row["next_fire_at"] + 60) == []
    assert db.queue("q").get_job(fires[0].job_id)["payload"] == {"a": 1}
    assert scheduler.pause("n") is True and scheduler.pause("n") is False and scheduler.resume("n") is True
    assert scheduler.update("n") is False and scheduler.update("gone", priority=1) is False
    assert scheduler.update("n", payload=None, expires=None, max_attempts=7, schedule=honker.every_s(5))
    row = scheduler.list()[0]
    assert (row["payload"], row["expires_s"], row["max_attempts"], row["cron_expr"], row["priority"]) == (
        None,
        None,
        7,
        "@every 5s",
        5,
    )
    assert scheduler.remove("n") is True and scheduler.remove("n") is False


def test_cron_schedules():
    assert honker.crontab("0 8 * * *").next_after(datetime(2026, 1, 1, 8)) == datetime(2026, 1, 2, 8)
    assert honker.every_s(5).expr == "@every 5s"
    aware = datetime(2026, 1, 1, 12).astimezone()
    assert honker.crontab("CRON_TZ=UTC 0 0 * * *").next_after(aware).tzinfo is not None
    assert honker.crontab("@daily") == honker.crontab("@daily") != honker.every_s(5)


def test_running_the_schedules(db):
    scheduler = db.scheduler()
    scheduler.add(name="n", queue="q", schedule=honker.every_s(1))

    async def main():
        stop = asyncio.Event()
        first, second = [asyncio.create_task(db.scheduler().run(stop)) for _ in range(2)]
        async for job in db.queue("q").claim("w"):
            job.ack()
            break
        with pytest.raises(honker.LeadershipLost):
            await db.scheduler().run(standby=False)
        stop.set()
        await asyncio.wait_for(asyncio.gather(first, second), SOON_S)

    asyncio.run(main())
    assert db.query("SELECT * FROM _honker_locks") == []
    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(scheduler.run(stop)))
    thread.start()
    until(lambda: db.query("SELECT * FROM _honker_locks"))
    stop.set()
    thread.join(SOON_S)
    assert not thread.is_alive()


@pytest.mark.parametrize("kind", ["function", "coroutine function", "function that returns a coroutine", "object"])
def test_outboxes_deliver_in_every_form(db, kind):
    delivered = []

    async def adeliver(payload):
        await asyncio.sleep(0)
        delivered.append(payload)

    def deliver(payload):
        delivered.append(payload)

    class Callable:
        def __call__(self, payload):
            return adeliver(payload)

    forms = {
        "function": deliver,
        "coroutine function": adeliver,
        "function that returns a coroutine": lambda payload: adeliver(payload),
        "object": Callable(),
    }
    outbox = db.outbox("mail", forms[kind])
    assert outbox.queue.name == "_outbox:mail" and outbox.name == "mail"
    outbox.enqueue(1)
    assert outbox.run_once("w") is True and outbox.run_once("w") is False
    assert delivered == [1] and outbox.queue.stats()["claimed"] == 0

    async def main():
        stop = asyncio.Event()
        worker = asyncio.create_task(outbox.run_worker("w", stop))
        await outbox.aenqueue(2)
        while delivered != [1, 2]:
            await asyncio.sleep(0.005)
        stop.set()
        await asyncio.wait_for(worker, SOON_S)

    asyncio.run(main())
    assert outbox.queue.stats()["pending"] == 0


def test_an_outbox_tries_again_and_gives_up(db):
    calls = []

    async def fails(payload):
        calls.append(payload)
        raise ValueError(f"no {len(calls)}")

    outbox = db.outbox("mail", lambda payload: fails(payload), max_attempts=2, base_backoff_s=5)
    id = outbox.enqueue("x")
    now = time.time()
    assert outbox.run_once("w")
    row = outbox.queue.get_job(id)
    assert row["state"] == "pending" and 4 <= row["run_at"] - now <= SOON_S
    with db.transaction() as tx:
        tx.execute("UPDATE _honker_live SET run_at = 0")
    assert outbox.run_once("w") and not outbox.run_once("w")
    dead = outbox.queue.dead()[0]
    assert calls == ["x", "x"] and dead["last_error"].startswith("no 2") and "ValueError" in dead["last_error"]


@pytest.mark.parametrize("kind", ["async", "plain", "returns a coroutine", "worker"])
def test_a_delivery_says_what_becomes_of_it(db, kind, caplog):
    """And has its job at hand, whose id tells a receiver what it has had already."""
    ids, traced = [], []

    def outcome(payload):
        ids.append(honker.current_job().id)
        match payload:
            case "discard":
                raise honker.Discard("nobody there")
            case "later":
                raise honker.Retryable("too many", delay_s=1000)
            case "backoff":
                raise honker.Retryable("down", delay_s=None)
            case "snooze":
                raise honker.Snooze(1000)
            case "cancelled":
                raise asyncio.CancelledError  # of something that the delivery has awaited
            case "silent":
                raise Mute
        return None

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    async def aoutcome(payload):
        outcome(payload)

    @contextlib.contextmanager
    def traces(job):
        traced.append(job.id)
        yield

    deliveries = {"plain": outcome, "returns a coroutine": lambda payload: aoutcome(payload)}
    names = ["fine", "discard", "later", "backoff", "snooze", "cancelled", "silent"]
    outbox = db.outbox("mail", deliveries.get(kind, aoutcome), base_backoff_s=5000)
    enqueued = [outbox.enqueue(name) for name in names]
    honker.add_job_middleware(traces)
    try:
        with caplog.at_level(logging.ERROR, logger="honker.worker"):
            if kind == "worker":
                assert outbox.worker().run_due() == len(names)
            else:
                while outbox.run_once("w"):
                    pass
    finally:
        honker.remove_job_middleware(traces)
    assert ids == traced == enqueued
    now = db.query("SELECT unixepoch() AS now")[0]["now"]
    rows = {job["payload"]: (job["state"], job["attempts"], job["run_at"] - now) for job in db.jobs()}
    assert set(rows) == set(names) - {"fine"} and rows["discard"][0] == "dead"
    assert rows["snooze"][1] == 0
    for name, delay in {"later": 1000, "snooze": 1000, "backoff": 5000, "cancelled": 5000, "silent": 5000}.items():
        state, _, due = rows[name]
        assert state == "delayed" and delay - SOON_S < due <= delay, name
    said = [
        (int(record.getMessage().split(" ")[1]), bool(record.exc_info))
        for record in caplog.records
        if record.name == "honker.worker"
    ]
    failed = [name for name in names if name not in ("fine", "snooze")]
    assert said == [(enqueued[names.index(name)], name in ("cancelled", "silent")) for name in failed]


def test_a_worker_of_an_outbox_delivers_several_at_a_time(db):
    barrier = threading.Barrier(3)
    outbox = db.outbox("mail", lambda payload: barrier.wait(SOON_S))
    for _ in range(3):
        outbox.enqueue(None)
    worker = outbox.worker(concurrency=3)
    thread = threading.Thread(target=worker.run)
    thread.start()
    until(lambda: not any(db.jobs()))
    worker.stop()
    thread.join(SOON_S)
    assert not barrier.broken and not thread.is_alive()


def test_schedules_change_in_a_transaction(db):
    scheduler = db.scheduler()
    for name in ("a", "b", "c", "d"):
        scheduler.add(name=name, queue="q", schedule="0 0 1 1 *")
    scheduler.pause("c")
    with db.transaction() as tx:
        assert scheduler.remove("a", tx=tx) and scheduler.pause("b", tx=tx)
        assert scheduler.resume("c", tx=tx) and scheduler.update("d", priority=7, tx=tx)
        names = [schedule["name"] for schedule in scheduler.list(tx=tx)]
        tx.rollback()
    assert names == ["b", "c", "d"]
    rows = {schedule["name"]: (bool(schedule["enabled"]), schedule["priority"]) for schedule in scheduler.list()}
    assert rows == {"a": (True, 0), "b": (True, 0), "c": (False, 0), "d": (True, 0)}


def test_a_cancelled_outbox_acks_nothing(db):
    started = threading.Event()

    async def hangs(payload):
        started.set()
        await asyncio.sleep(3600)

    outbox = db.outbox("mail", hangs)
    outbox.enqueue(1)

    async def main():
        worker = asyncio.create_task(outbox.run_worker("w"))
        while not started.is_set():
            await asyncio.sleep(0.005)
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker

    asyncio.run(main())
    assert outbox.queue.stats()["claimed"] == 1


def test_a_delivery_keeps_its_claim(db, monkeypatch):
    """A third of its time is over at once: the claim cannot lapse before, however long this is kept from running."""
    pauses = []

    async def sleep(loop, seconds):
        pauses.append(seconds)
        await asyncio.sleep(0.01)

    monkeypatch.setattr(_loop.AsyncioLoop, "sleep", sleep)

    async def slow(payload):
        expires = db.query("SELECT claim_expires_at AS at FROM _honker_live")[0]["at"]
        while db.query("SELECT claim_expires_at AS at FROM _honker_live")[0]["at"] == expires:
            await asyncio.sleep(0.02)

    outbox = db.outbox("mail", slow, visibility_timeout_s=300)
    outbox.enqueue(1)
    assert outbox.run_once("w") and outbox.queue.get_job(1) is None
    assert set(pauses) == {100}


def test_trouble_is_waited_out(db, caplog, monkeypatch):
    """A locked file: said once, waited for, and said once more."""
    delivered = []
    outbox = db.outbox("mail", delivered.append)
    outbox.enqueue(1)
    failures = [honker.BusyError("locked"), honker.BusyError("locked")]
    look = Courier._look

    def sometimes(self):
        if failures:
            raise failures.pop()
        return look(self)

    monkeypatch.setattr(Courier, "_look", sometimes)
    monkeypatch.setattr(db, "_lock_wait_s", 0)

    async def main():
        stop = asyncio.Event()
        with caplog.at_level(logging.INFO, logger="honker"):
            worker = asyncio.create_task(outbox.run_worker("w", stop))
            while not delivered:
                await asyncio.sleep(0.005)
            stop.set()
            await worker

    asyncio.run(main())
    said = [record.message for record in caplog.records if record.name == "honker"]
    assert said == ["w waits and tries again: locked (BusyError)", "w works again"]


def test_the_cores_worker(db, queue):
    """What handlers are run with: settles and claims in one commit, and tells what was lost."""
    from honker.claim import Settlement

    ids = queue.enqueue_many(["a", "b", "c"])
    with db.core_worker({"emails": 1, "other": 2}, "me") as worker:
        turn = worker.turn([], 2)
        assert [job.payload for job in turn.jobs] == ["a", "b"] and turn.lost == []
        first, second = turn.jobs
        assert first.worker_id.startswith("me@") and first.queue is queue
        queue.cancel(second.id)
        settled = [Settlement(first.id, first.serial, "retry", 60, "later")]
        turn = worker.turn(settled, 1)
        assert settled[0].committed and [job.payload for job in turn.jobs] == ["c"]
        lost = turn.lost or worker.settle_next([], 0, SOON_S).lost
        assert [(one.id, one.serial, one.reason) for one in lost] == [(second.id, second.serial, "gone")]
        last = Settlement(ids[2], turn.jobs[0].serial, "ack")
        assert worker.turn([last], 0).jobs is None and last.status == 0
        worker.expect_signals()
        threading.Timer(0.02, worker.nudge).start()
        worker.rest(None)
    with pytest.raises(ValueError, match="needs a queue"):
        db.core_worker({}, "me")
