"""The names and arguments that users of the published package know, and the types of all."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import sys
import threading

import honker
import pytest
from conftest import PACKAGE, SOON_S
from honker import _worker

MODULE = """open Database Queue Job Stream Event Listener Notification Outbox Scheduler CronSchedule crontab every_s
Retryable LockHeld LeadershipLost TaskResult UnknownTaskError registry run_workers extension_info load_extension
EXTENSION_ENTRYPOINT""".split()
JOB = """id queue queue_name payload worker_id attempts claim_expires_at state priority run_at max_attempts last_error
created_at ack retry fail heartbeat""".split()
# The arguments, in order; those after * by name only. What is more has a default.
CALLS = {
    honker.open: "path max_readers watcher_backend watcher_poll_interval_ms",
    honker.Database.query: "self sql params",
    honker.Database.queue: "self name visibility_timeout_s max_attempts",
    honker.Database.outbox: "self name delivery max_attempts base_backoff_s visibility_timeout_s",
    honker.Database.listen: "self channel fallback_poll_s",
    honker.Database.lock: "self name ttl owner",
    honker.Database.try_rate_limit: "self name limit per",
    honker.Database.sweep_rate_limits: "self older_than_s",
    honker.Database.prune_notifications: "self older_than_s max_keep",
    honker.Database.task: "self queue",
    honker.Database.periodic_task: "self schedule queue",
    honker.Database.run_workers: "self queue concurrency stop_event",
    honker.Transaction.execute: "self sql params",
    honker.Transaction.query: "self sql params",
    honker.Transaction.notify: "self channel value",
    honker.Transaction.bootstrap_honker_schema: "self",
    honker.Queue.enqueue: "self payload tx",
    honker.Queue.claim: "self worker idle_poll_s",
    honker.Queue.claim_batch: "self worker n",
    honker.Queue.ack: "self id worker",
    honker.Queue.ack_batch: "self ids worker",
    honker.Queue.retry: "self id worker delay_s error",
    honker.Queue.fail: "self id worker error",
    honker.Queue.heartbeat: "self id worker extend_s",
    honker.Queue.cancel: "self id",
    honker.Queue.get_job: "self id",
    honker.Queue.save_result: "self id value ttl tx",
    honker.Queue.wait_result: "self id timeout",
    honker.Queue.periodic_task: "self schedule * name scheduler_name",
    honker.Job.retry: "self delay_s error",
    honker.Job.fail: "self error",
    honker.Job.heartbeat: "self extend_s",
    honker.TaskResult.get: "self timeout",
    honker.TaskResult.aget: "self timeout",
    honker.Stream.publish: "self payload key tx",
    honker.Stream.save_offset: "self consumer offset",
    honker.Stream.subscribe: "self consumer from_offset save_every_n save_every_s",
    honker.Outbox.enqueue: "self payload tx",
    honker.Outbox.run_worker: "self worker",
    honker.Scheduler: "database lock_name",
    honker.Scheduler.add: "self * name queue schedule payload priority expires max_attempts",
    honker.Scheduler.update: "self name * schedule payload priority expires max_attempts",
    honker.Scheduler.run: "self stop_event",
    _worker.run_task: "job handler * timeout retries retry_delay backoff save_result result_ttl",
    _worker._compute_delay: "retry_delay backoff attempts",
}


def test_names():
    assert [name for name in MODULE if name not in honker.__all__ or not hasattr(honker, name)] == []
    assert [name for name in JOB if not hasattr(honker.Job, name)] == []


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__qualname__)
def test_arguments(call):
    names = CALLS[call].split()
    by_position = names[: names.index("*")] if "*" in names else names
    parameters = inspect.signature(call).parameters
    order = [name for name, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert order[: len(by_position)] == by_position
    assert set(names) - {"*"} <= set(parameters)


def test_what_tests_look_at(db, queue):
    assert db._queues == {"emails": queue} and db._outboxes == {}
    outbox = db.outbox("mail", print)
    assert db._outboxes == {"mail": outbox}
    with db.transaction():
        assert db._tx_depth == 1
        other = []
        thread = threading.Thread(target=lambda: other.append(db._tx_depth))
        thread.start()
        thread.join()
        assert other == [0]
    assert db._tx_depth == 0
    assert queue._next_claim_at() == 0
    assert db.listen("orders")._updates.path == db.path == queue.claim("w")._updates.path
    scheduler = honker.Scheduler(db)
    scheduler.add(name="daily", queue="emails", schedule="@daily")
    assert "daily" in scheduler._registered
    assert (scheduler.lock_name, scheduler.lock_ttl, scheduler.heartbeat_interval) == ("honker-scheduler", 60, 20)


# One job and its handler.


def run(queue, handler, payload=1, **options):
    """What `run_task` has made of one job."""
    queue.enqueue(payload, max_attempts=options.pop("max_attempts", None))
    job = queue.claim_one("w")
    asyncio.run(_worker.run_task(job, handler, **{"timeout": SOON_S, "retries": 3, **options}))
    return job


async def quick(job):
    return {"got": job.payload}


async def late(job):
    await asyncio.sleep(SOON_S)


def fails(job):
    raise KeyError(f"no {job.payload}")


def test_a_handler_that_returns(queue):
    job = run(queue, quick, save_result=True)
    assert queue.get_job(job.id) is None and queue.get_result(job.id) == (True, {"got": 1})
    job = run(queue, lambda job: honker.current_job().id == job.id, save_result=True)
    assert queue.get_result(job.id) == (True, True)
    job = run(queue, lambda job: quick(job), save_result=True)
    assert queue.get_result(job.id) == (True, {"got": 1})
    job = run(queue, lambda job: {1, 2}, save_result=True)  # not again: it has succeeded
    assert queue.get_job(job.id) is None and queue.get_result(job.id) == (False, None)


@pytest.mark.parametrize("handler", [late, lambda job: job.wait_cancelled(SOON_S)])
def test_a_handler_that_takes_too_long(queue, handler):
    job = run(queue, handler, timeout=0.05, retry_delay=1000)
    row = queue.get_job(job.id)
    assert row["state"] == "pending" and row["run_at"] - row["created_at"] >= 1000
    assert job.cancelled == "timeout"
    job = run(queue, handler, timeout=0.05, retries=1)
    assert queue.dead()[0]["last_error"] == "timeout after 0.05s"


def test_a_handler_that_raises(queue):
    job = run(queue, fails, retry_delay=100, backoff=2)
    row = queue.get_job(job.id)
    assert row["run_at"] - row["created_at"] in range(100, 100 + SOON_S)
    assert run(queue, fails, "alice", retries=1).id == queue.dead()[0]["id"]
    assert queue.dead()[0]["last_error"].startswith("'no alice'\nTraceback")


def test_a_handler_that_says_when(queue):
    def busy(job):
        raise honker.Retryable("busy", delay_s=5000)

    job = run(queue, busy)
    row = queue.get_job(job.id)
    assert row["run_at"] - row["created_at"] in range(5000, 5000 + SOON_S)
    run(queue, busy, retries=1)
    assert queue.dead()[0]["last_error"] == "busy"


def test_a_caller_that_is_cancelled(queue):
    """The job is given back, with its attempt."""

    async def main():
        queue.enqueue(1)
        began = asyncio.Event()

        async def waits(job):
            began.set()
            await asyncio.sleep(SOON_S)

        task = asyncio.create_task(_worker.run_task(queue.claim_one("w"), waits, timeout=None, retries=3))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert queue.claim_one("w").attempts == 1


def test_a_handler_that_is_cancelled_by_its_own(queue):
    """That is its failure, and nobody else's."""

    async def gives_up(job):
        raise asyncio.CancelledError

    job = run(queue, gives_up)
    assert queue.get_job(job.id)["state"] == "pending" and queue.get_job(job.id)["attempts"] == 1


def test_delays():
    assert [_worker._compute_delay(60, 1, attempts) for attempts in (1, 2, 9)] == [60, 60, 60]
    assert [_worker._compute_delay(1.5, 2, attempts) for attempts in (1, 2, 3, 4)] == [1, 3, 6, 12]
    assert _worker._compute_delay(60, 10, 10_000) >= 10**9
    assert _worker._compute_delay(-5, 2, 3) == 0


# Types.

TYPED = """
from __future__ import annotations
import honker

db = honker.open("app.db")
emails = db.queue("emails")

@emails.task(retries=3)
def send(to: str, count: int = 1) -> dict[str, int]:
    return {to: count}

@emails.task
async def add(a: int, b: int) -> int:
    return a + b

@db.periodic_task(honker.crontab("@daily"), scheduler_name="nightly", overlap="skip", priority=1)
def nightly() -> None: ...

sent: honker.TaskResult[dict[str, int]] = send("alice", count=2)
number: int = add(1, b=2).get(timeout=1)
async def main() -> int:
    return await (await add.aenqueue(1, 2)).aget()
worker: honker.Worker = db.worker({"emails": 3}, lambda job: job.ack(), concurrency=8, stop_timeout_s=None)
few: honker.Worker = db.worker({"emails": 3, "reports": {"max_in_hand": 2}}, print)
outboxed: honker.Worker = db.outbox("mail", print).worker(concurrency=2, schedules=[])
emails.configure(rate={"limit": 1, "per_s": 2}, retry={"base_s": 1}, paused=None)
changed: int = db.jobs(queue=emails, state=["dead", "done"], error="503").retry().changed
"""
WRONG = [
    "send(7)",
    'add("1", 2)',
    'text: str = add(1, 2).get()',
    'db.worker("emails", print, concurency=8)',
    'db.outbox("mail", print).worker(threads=8)',
    "emails.configure(concurency=1)",
    "db.jobs(queue=None)",
    'db.jobs(state="late")',
    "db.periodic_task(7)",
    'db.stream("t").configure(keep=1)',
]  # fmt: skip


def test_strict_types(tmp_path):
    """What is right passes, and what is wrong is found."""
    (tmp_path / "right.py").write_text(TYPED)
    (tmp_path / "wrong.py").write_text(TYPED + "\n".join(WRONG) + "\n")
    first = TYPED.count("\n") + 1
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", str(tmp_path)]
    done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, timeout=600)
    lines = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line for line in lines if "right.py" in line] == []
    found = {int(line.split(":")[1]) - first for line in lines if "wrong.py" in line}
    assert found == set(range(len(WRONG))), done.stdout


@pytest.mark.skipif(not os.environ.get("HONKER_TEST_LONG"), reason="takes a while: HONKER_TEST_LONG")
def test_all_that_is_public_has_types():
    """But for what Django has, which has none."""
    options = ["--pythonpath", sys.executable, "--outputjson", "--ignoreexternal", "--verifytypes", "honker"]
    command = [sys.executable, "-m", "pyright", *options]
    done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, timeout=600)
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    assert len(symbols) > 500
    partial = [one["name"] for one in symbols if one["isExported"] and not one["isTypeKnown"]]
    assert [name for name in partial if not name.startswith("honker.contrib.django.")] == []
