"""Steps: what was done is not done again."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import honker
import pytest
from conftest import SOON_S, until
from honker import _worker
from test_worker import Running


def test_steps_are_done_once(db, queue):
    queue.enqueue(1)
    job, calls = queue.claim_one("w"), []

    def charge():
        calls.append(1)
        return {"id": 7}

    assert job.step("charge", charge) == {"id": 7}
    job.retry(0)
    job = queue.claim_one("w")
    assert job.step("charge", charge) == {"id": 7} and calls == [1]
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:
        job.step("book", lambda: 1, tx=tx)
        raise ZeroDivisionError
    assert job.step("book", lambda: 2) == 2
    job.ack()
    with pytest.raises(honker.JobLost):
        job.step("late", lambda: 1)


class Items(dict):
    def items(self):
        raise LookupError("no items")


class Mute(Exception):
    def __str__(self):
        raise KeyError


class MuteItems(dict):
    def items(self):
        raise Mute


UNENCODABLE = {
    "no JSON": (object(), "TypeError: Object of type object is not JSON serializable"),
    "NaN": ([float("nan")], "ValueError: Out of range float values"),
    "not UTF-8": ("\ud800", "cannot be written as UTF-8"),
    "raw text, not UTF-8": (honker.RawText("\ud800"), "cannot be written as UTF-8"),
    "items that raise": ({"a": Items(a=1)}, "LookupError: no items"),
    "items that raise what cannot be told": (MuteItems(a=1), "Mute"),
}


def wraps(error):
    raise RuntimeError("while charging") from error


def retries(error):
    raise honker.Retryable("again", delay_s=0) from error


def snoozes(error):
    raise honker.Snooze(0) from error


def passes(error):
    raise error


@pytest.mark.parametrize(("value", "why"), UNENCODABLE.values(), ids=UNENCODABLE)
def test_without_a_worker_the_caller_gets_the_error(db, queue, value, why):
    queue.enqueue(1)
    job = queue.claim_one("w")
    with pytest.raises(honker.Discard) as raised:
        job.step("charge", lambda: value)
    assert str(raised.value).startswith("step charge has run, and is not saved: ") and why in str(raised.value)
    assert raised.value.__cause__ is not None

    async def acharge():
        return value

    with pytest.raises(honker.Discard, match="step charge has run"):
        asyncio.run(job.astep("charge", acharge))
    assert queue.get_step(job.id, "charge") == (False, None)
    assert job.step("charge", lambda: "ok") == "ok"
    assert job.ack()


@pytest.mark.parametrize(
    ("value", "why", "then"),
    [(*one, passes) for one in UNENCODABLE.values()]
    + [(*UNENCODABLE["no JSON"], then) for then in (wraps, retries, snoozes)],
    ids=[*UNENCODABLE, "wrapped", "retried", "snoozed"],
)
@pytest.mark.parametrize("is_async", [False, True], ids=["thread", "loop"])
@pytest.mark.parametrize("in_tx", [False, True], ids=["no transaction", "transaction"])
def test_one_whose_value_cannot_be_encoded_is_not_run_again(db, queue, value, why, is_async, in_tx, then):
    """Another attempt would do again what it did outside of the file."""
    with db.transaction() as tx:
        tx.execute("CREATE TABLE charges (n)")
    queue.enqueue(1, max_attempts=5)
    queue.configure(retry={"base_s": 0})
    calls = []

    def charge(tx):
        calls.append(1)
        if tx is not None:
            tx.execute("INSERT INTO charges VALUES (1)")
        return value

    async def acharge(tx):
        return charge(tx)

    def handler(job):
        try:
            if in_tx:
                with db.transaction() as tx:
                    job.step("charge", lambda: charge(tx), tx=tx)
            else:
                job.step("charge", lambda: charge(None))
        except Exception as error:
            then(error)

    async def ahandler(job):
        try:
            if in_tx:
                async with db.atransaction() as tx:
                    await job.astep("charge", lambda: acharge(tx), tx=tx)
            else:
                await job.astep("charge", lambda: acharge(None))
        except Exception as error:
            then(error)

    run_due(db, ahandler if is_async else handler)
    assert calls == [1]
    (dead,) = db.jobs()
    assert (dead["state"], dead["attempts"]) == ("dead", 1)
    assert dead["last_error"].startswith("step charge has run, and is not saved: ") and why in dead["last_error"]
    assert db.query("SELECT 1 FROM charges UNION ALL SELECT 1 FROM _honker_steps") == []


def run_due(db, handler):
    async def main():
        # A job that is retried is found again, though not for ever.
        return await asyncio.wait_for(db.worker("emails", handler).arun_due(5), SOON_S)

    return asyncio.run(main())


def test_one_of_a_group_of_tasks_is_not_run_again(db, queue):
    queue.enqueue(1, max_attempts=5)
    queue.configure(retry={"base_s": 0})
    calls = []

    async def charge():
        calls.append(1)
        return object()

    async def handler(job):
        async with asyncio.TaskGroup() as group:
            group.create_task(job.astep("charge", charge))

    run_due(db, handler)
    assert calls == [1]
    assert [job["state"] for job in db.jobs()] == ["dead"]


def charges(job):
    """A step that is not saved, and a handler that does not mind."""
    with contextlib.suppress(honker.Discard):
        job.step("charge", object)


def assert_discarded(db):
    (dead,) = db.jobs()
    assert (dead["state"], dead["attempts"]) == ("dead", 1)
    assert dead["last_error"].startswith("step charge has run, and is not saved: ")


@pytest.mark.parametrize("kind", ["thread", "deaf thread", "loop"])
def test_a_job_with_one_is_not_given_back(db, queue, kind):
    charged, go = threading.Event(), threading.Event()

    def handler(job):
        charges(job)
        charged.set()
        assert job.wait_cancelled(SOON_S)
        if kind == "deaf thread":
            go.wait(SOON_S)
        job.check()

    async def ahandler(job):
        charges(job)
        charged.set()
        await asyncio.sleep(SOON_S)

    queue.enqueue(1, max_attempts=5)
    running = Running(db.worker("emails", ahandler if kind == "loop" else handler, stop_timeout_s=0))
    assert charged.wait(SOON_S)
    running.worker.stop()
    running.join()
    go.set()
    assert isinstance(running.error, honker.UnfinishedError) == (kind == "deaf thread")
    assert_discarded(db)


def test_a_job_with_one_is_not_retried_after_its_time(db):
    @db.task(timeout_s=0.01, retries=5)
    async def hangs():
        charges(honker.current_job())  # before the loop looks at the time
        await asyncio.sleep(SOON_S)

    running = Running(db.worker())
    try:
        with pytest.raises(honker.TaskFailed, match="step charge has run"):
            hangs().get(SOON_S)
    finally:
        honker.registry.clear()
        running.stop()
    assert_discarded(db)


def test_a_job_with_one_is_not_given_back_without_a_worker(db, queue):
    queue.enqueue(1, max_attempts=5)
    job, charged = queue.claim_one("w"), asyncio.Event()

    async def handler(job):
        charges(job)
        charged.set()
        await asyncio.sleep(SOON_S)

    async def main():
        task = asyncio.create_task(_worker.run_task(job, handler, timeout=None, retries=5))
        await charged.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert_discarded(db)


@pytest.mark.parametrize("ends", ["raises", "is cancelled"])
@pytest.mark.parametrize("is_async", [False, True], ids=["thread", "loop"])
def test_one_of_a_delivery_is_not_run_again(db, ends, is_async):
    charged, go = threading.Event(), threading.Event()

    def deliver(payload):
        charges(honker.current_job())
        charged.set()
        if ends == "raises":
            raise ValueError
        go.wait(SOON_S)

    async def adeliver(payload):
        charges(honker.current_job())
        charged.set()
        if ends == "raises":
            raise ValueError
        await asyncio.sleep(SOON_S)

    outbox = db.outbox("mail", adeliver if is_async else deliver)
    outbox.enqueue(1)

    async def main():
        worker = asyncio.create_task(outbox.run_worker("w"))
        await asyncio.to_thread(charged.wait, SOON_S)
        if ends == "raises":
            await asyncio.to_thread(until, outbox.queue.dead)
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker
        go.set()

    asyncio.run(main())
    assert_discarded(db)


def test_one_whose_value_is_too_large_is_not_run_again(db, queue):
    # What SQLite says of a gigabyte, without one.
    with db.transaction() as tx:
        tx.execute("""CREATE TRIGGER too_big BEFORE INSERT ON _honker_steps
            BEGIN SELECT zeroblob(1000000001 + 0 * NEW.job_id); END""")
    queue.enqueue(1, max_attempts=5)
    queue.configure(retry={"base_s": 0})
    calls = []
    db.worker("emails", lambda job: job.step("charge", lambda: calls.append(1))).run_due(5)
    assert calls == [1]
    assert_discarded(db)


def test_a_step_that_has_not_begun_is_tried_again(db, queue):
    """A coroutine function, or a generator, that is only called has not run."""
    queue.enqueue(1, max_attempts=2)
    queue.configure(retry={"base_s": 0})
    seen = []

    async def acharge():
        seen.append("never")

    def generates():
        seen.append("never")
        yield 1

    def handler(job):
        seen.append(job.attempts)
        job.step("charge", acharge if job.attempts == 1 else generates)

    run_due(db, handler)
    assert seen == [1, 2]
    (dead,) = db.jobs()
    assert "step charge has not run" in dead["last_error"]


def test_a_plain_function_is_a_step_of_a_loop_as_well(db, queue):
    queue.enqueue(1)
    job, calls = queue.claim_one("w"), []

    def charge():
        calls.append(1)
        return {"id": 7}

    async def main():
        return [await job.astep("charge", charge) for _ in range(2)]

    assert asyncio.run(main()) == [{"id": 7}, {"id": 7}]
    assert calls == [1]
