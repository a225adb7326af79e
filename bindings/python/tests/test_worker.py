"""Workers: what becomes of jobs, how they end, and what they outlast."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import honker
import pytest
from conftest import SOON_S, Program, until
from honker import _run
from honker.claim import CoreWorker


class Running:
    """A worker in a thread of its own."""

    def __init__(self, worker: honker.Worker, stop_event: threading.Event | None = None) -> None:
        self.worker = worker
        self.error: BaseException | None = None
        self._stop_event = stop_event
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.worker.run(self._stop_event)
        except BaseException as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(SOON_S)
        assert not self._thread.is_alive()

    def stop(self) -> None:
        while self._thread.is_alive():
            self.worker.stop()
            self._thread.join(0.05)
        if self.error is not None:
            raise self.error


@pytest.fixture
def runs() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(*arguments: Any, **options: Any) -> Running:
        started.append(Running(honker.Worker(*arguments, **options)))
        return started[-1]

    yield start
    for one in started:
        with contextlib.suppress(honker.Error):
            one.stop()


def idle(queue: honker.Queue) -> bool:
    stats = queue.stats()
    return stats["pending"] == stats["claimed"] == 0


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> Callable[[Callable[[honker.Job], object]], Callable[[honker.Job], object]]:
    """A handler of each kind."""

    def made(handle: Callable[[honker.Job], object]) -> Callable[[honker.Job], object]:
        async def ahandle(job: honker.Job) -> object:
            return handle(job)

        return ahandle if request.param == "async" else handle

    return made


@pytest.mark.parametrize("is_async", [False, True])
def test_one_call_for_each_job_is_enough(runs, db, queue, monkeypatch, is_async):
    """It settles one and claims the next; then there is nothing to ask until that one has returned."""
    turns = 0
    turn = CoreWorker.turn

    def counted(*arguments):
        nonlocal turns
        turns += 1
        return turn(*arguments)

    async def handled(job):
        await asyncio.sleep(0)

    monkeypatch.setattr(CoreWorker, "turn", counted)
    queue.enqueue_many(list(range(40)))
    running = runs(db, queue, handled if is_async else lambda job: None, concurrency=1)
    until(lambda: queue.stats()["pending"] + queue.stats()["claimed"] == 0)
    running.stop()
    assert 41 <= turns < 60


def test_what_is_raised_says_what_becomes_of_the_job(
    db: honker.Database, queue: honker.Queue, kind: Any, runs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    reported = []
    outcomes = {
        "done": None,
        "retry": ValueError("too bad"),
        "later": honker.Retryable("not now", delay_s=1000),
        "dead": honker.Discard("never"),
        "snooze": honker.Snooze(2000),
    }

    def handle(job: honker.Job) -> None:
        if (error := outcomes[job.payload]) is not None:
            raise error

    ids = {what: queue.enqueue(what, max_attempts=5) for what in outcomes}
    honker.add_error_reporter(lambda error, job: reported.append((type(error), job.payload)))
    try:
        running = runs(db, "emails", kind(handle), concurrency=3, retry_base_s=500, retry_jitter=0.0)
        until(lambda: idle(queue))
        running.stop()
    finally:
        from honker._call import reporters

        reporters.clear()
    assert queue.get_job(ids["done"]) is None
    now = int(time.time())
    for what, delay, attempts in [("retry", 500, 1), ("later", 1000, 1), ("snooze", 2000, 0)]:
        job = queue.get_job(ids[what])
        assert job is not None and job["attempts"] == attempts
        assert now + delay - SOON_S <= job["run_at"] <= now + delay
    [dead] = queue.dead()
    assert dead["last_error"] == "never"
    assert sorted(what for _, what in reported) == ["dead", "later", "retry"]
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert f"job {ids['retry']} of emails failed, attempt 1 of 5, next try by the backoff: too bad" in said
    assert "next try in 1000 s: not now" in said and "it is dead now: never" in said
    assert "ended: 1 done, 2 retried, 1 dead, 1 snoozed, 0 released, 0 running" in said
    assert any(record.exc_info and record.exc_info[0] is ValueError for record in caplog.records)


def test_the_error_of_the_last_attempt_is_kept_with_its_traceback(
    db: honker.Database, queue: honker.Queue, kind: Any, runs: Any
) -> None:
    def handle(job: honker.Job) -> None:
        raise ValueError("too bad")

    queue.enqueue(1, max_attempts=1)
    runs(db, "emails", kind(handle))
    until(queue.dead)
    assert queue.dead()[0]["last_error"].startswith("too bad\nTraceback (most recent call last):")
    assert "in handle" in queue.dead()[0]["last_error"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_whatever_is_raised_harms_only_its_job(db: honker.Database, queue: honker.Queue, kind: Any, runs: Any) -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    errors = [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), Unspeakable(), GeneratorExit(), "\ud800"]

    def handle(job: honker.Job) -> None:
        error = errors[job.payload]
        raise error if isinstance(error, BaseException) else ValueError(error)

    for i in range(len(errors)):
        queue.enqueue(i, max_attempts=1)
    runs(db, "emails", kind(handle), concurrency=2)
    until(lambda: len(queue.dead()) == len(errors))
    texts = {dead["payload"]: dead["last_error"] for dead in queue.dead()}
    assert texts[0].startswith("3") and texts[3].startswith("Unspeakable, which cannot say what happened")
    assert texts[5].startswith("?")


def test_as_many_run_at_once_as_it_says(db: honker.Database, queue: honker.Queue, runs: Any) -> None:
    all_there, go = threading.Barrier(8), threading.Event()

    def handle(job: honker.Job) -> None:
        all_there.wait(SOON_S)
        go.wait(SOON_S)

    for i in range(16):
        queue.enqueue(i)
    runs(db, "emails", handle, concurrency=8)
    until(lambda: queue.stats()["claimed"] == 8)
    until(lambda: all_there.n_waiting == 0 and not all_there.broken)
    assert queue.stats()["pending"] == 8
    go.set()
    until(lambda: idle(queue))


def test_a_plain_function_may_return_a_coroutine(db: honker.Database, queue: honker.Queue, runs: Any) -> None:
    sent = []

    async def send(value: object) -> None:
        await asyncio.sleep(0)
        sent.append(value)

    queue.enqueue("a")
    runs(db, "emails", lambda job: send(job.payload))
    until(lambda: idle(queue))
    assert sent == ["a"]


def test_queues_have_handlers_and_weights(db: honker.Database, runs: Any) -> None:
    seen: list[tuple[str, object]] = []
    for name in ("a", "b", "c"):
        for i in range(5):
            db.queue(name).enqueue(i)
    handlers = {name: lambda job, name=name: seen.append((name, job.payload)) for name in ("a", "b")}
    running = runs(db, {"a": 0, "b": 0, "c": 0}, handlers, concurrency=1)
    until(lambda: len(db.queue("c").dead()) == 5)
    running.stop()
    assert seen == [(name, i) for name in ("a", "b") for i in range(5)]
    assert db.queue("c").dead()[0]["last_error"] == "there is no handler for queue 'c'"


def test_a_queue_may_have_so_many_jobs_in_hand(db: honker.Database, runs: Any) -> None:
    lock, running, most = threading.Lock(), {"few": 0, "many": 0}, {"few": 0, "many": 0}

    def handle(job: honker.Job) -> None:
        name = job.queue_name
        with lock:
            running[name] += 1
            most[name] = max(most[name], running[name])
        until(lambda: most["many"] >= 3 or most["few"] > 1)
        with lock:
            running[name] -= 1

    db.enqueue_many({"queue": "few", "payload": i} for i in range(10))
    db.enqueue_many({"queue": "many", "payload": i} for i in range(6))
    runs(db, {"few": {"weight": 0, "max_in_hand": 1}, "many": 0}, handle, concurrency=4)
    until(lambda: idle(db.queue("few")) and idle(db.queue("many")))
    assert most["few"] == 1


def test_a_handler_settles_by_itself(db: honker.Database, queue: honker.Queue, kind: Any, runs: Any) -> None:
    def handle(job: honker.Job) -> None:
        assert job.worker_id.startswith("honker-worker-") and "@" in job.worker_id
        with job.queue._database.transaction() as tx:
            tx.execute("CREATE TABLE IF NOT EXISTS done (id)")
            tx.execute("INSERT INTO done VALUES (?)", [job.id])
            assert job.ack(tx)

    for i in range(10):
        queue.enqueue(i)
    running = runs(db, "emails", handle, concurrency=2)
    until(lambda: idle(queue))
    running.stop()
    assert db.query("SELECT count(*) AS n, count(DISTINCT id) AS m FROM done") == [{"n": 10, "m": 10}]
    assert not queue.dead()


@pytest.mark.parametrize("is_async", [False, True], ids=["thread", "loop"])
def test_a_handler_settles_with_a_connection_of_its_own(
    path: Path, db: honker.Database, queue: honker.Queue, runs: Any, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on, although its worker sees that the job is gone."""
    seen = threading.Event()
    ended: list[object] = []

    def ack(job: honker.Job) -> bool:
        """Whether this is the job that is to be acked so; the worker looks at the file again for the other one."""
        if job.payload == 2:
            seen.set()
            return False
        with contextlib.closing(sqlite3.connect(path, timeout=SOON_S)) as connection, connection:
            assert honker.ack_on(connection, job)
        queue.enqueue(2)
        return True

    def handle(job: honker.Job) -> None:
        if ack(job):
            seen.wait(SOON_S)
            ended.append(job.cancelled)

    async def ahandle(job: honker.Job) -> None:
        if ack(job):
            while not seen.is_set():
                await asyncio.sleep(0.01)
            ended.append(job.cancelled)

    queue.enqueue(1)
    running = runs(db, "emails", ahandle if is_async else handle, concurrency=2)
    until(lambda: idle(queue) and ended)
    running.stop()
    assert ended == [None] and "is not this worker's any more" not in caplog.text


def test_a_cancelled_job_tells_its_handler(db: honker.Database, queue: honker.Queue, runs: Any, program: Any) -> None:
    told: dict[str, object] = {}
    started = threading.Event()

    def handle(job: honker.Job) -> None:
        started.set()
        assert job.wait_cancelled(SOON_S)
        told["sync"] = job.cancelled
        job.check()

    async def ahandle(job: honker.Job) -> None:
        started.set()
        try:
            await asyncio.sleep(SOON_S)
        except asyncio.CancelledError:
            told["async"] = job.cancelled
            raise

    for handler, name in ((handle, "sync"), (ahandle, "async")):
        id = queue.enqueue(1)
        running = runs(db, "emails", handler)
        assert started.wait(SOON_S)
        other = program(
            "import honker, sys; print(honker.open(sys.argv[1]).queue('emails').cancel(int(sys.argv[2])))", db.path, id
        )
        assert other.line() == "True"
        until(lambda name=name: name in told)
        assert told[name] == "gone"
        running.stop()
        started.clear()
    assert not queue.dead()


def test_a_job_that_runs_too_long_is_retried_while_its_thread_goes_on(
    db: honker.Database, queue: honker.Queue, runs: Any
) -> None:
    go, reasons = threading.Event(), []

    def handle(job: honker.Job) -> None:
        job.wait_cancelled(SOON_S)
        reasons.append(job.cancelled)
        go.wait(SOON_S)

    id = queue.enqueue(1, max_attempts=5)
    queue.enqueue(2)
    running = runs(db, "emails", handle, concurrency=1, max_run_s=1, retry_base_s=1000)
    until(lambda: reasons)
    assert reasons == ["timeout"]
    job = queue.get_job(id)
    assert job is not None and job["state"] == "pending" and job["attempts"] == 1
    assert queue.stats()["pending"] == 1, "its place is taken"
    go.set()
    until(lambda: len(reasons) == 2)
    running.stop()


def test_the_handler_of_a_lost_job_is_waited_for(
    db: honker.Database, queue: honker.Queue, runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its worker is stopped: it was told to end, and has as long for it as others."""
    monkeypatch.setattr(_run, "GRACE_S", SOON_S)
    began, told, go = threading.Event(), threading.Event(), threading.Event()

    def handle(job: honker.Job) -> None:
        began.set()
        job.wait_cancelled(SOON_S)
        told.set()
        go.wait(SOON_S)

    id = queue.enqueue(1)
    running = runs(db, "emails", handle)
    assert began.wait(SOON_S)
    queue.cancel(id)
    assert told.wait(SOON_S)
    running.worker.stop()
    time.sleep(0.1)
    go.set()
    running.join()
    assert running.error is None


def test_claims_are_prolonged(db: honker.Database, queue: honker.Queue, runs: Any) -> None:
    go, count = threading.Event(), []

    def handle(job: honker.Job) -> None:
        count.append(job.id)
        go.wait(SOON_S)

    queue.enqueue(1)
    runs(db, "emails", handle, visibility_timeout_s=6)
    until(lambda: count)

    def expires_at() -> int:
        job = queue.get_job(count[0])
        assert job is not None
        return int(job["claim_expires_at"])

    first = expires_at()
    until(lambda: expires_at() >= first + 6)
    assert queue.claim_one("other") is None
    go.set()
    until(lambda: idle(queue))
    assert len(count) == 1


# How it ends.


def test_what_runs_when_it_stops_may_finish(db: honker.Database, queue: honker.Queue, kind: Any, runs: Any) -> None:
    started, go = threading.Event(), threading.Event()

    async def ahandle(job: honker.Job) -> None:
        started.set()
        while not go.is_set():
            await asyncio.sleep(0.01)

    def handle(job: honker.Job) -> None:
        started.set()
        go.wait(SOON_S)

    for handler in (handle, ahandle):
        started.clear()
        go.clear()
        queue.enqueue(1)
        running = runs(db, "emails", handler, concurrency=1)
        assert started.wait(SOON_S)
        id = queue.enqueue(2)
        running.worker.stop()
        go.set()
        running.join()
        assert running.error is None
        job = queue.get_job(id)
        assert job is not None and job["attempts"] == 0 and queue.stats()["claimed"] == 0
        queue.cancel(id)


def test_what_does_not_finish_is_given_back(db: honker.Database, queue: honker.Queue, runs: Any) -> None:
    reasons: list[object] = []
    began, go = threading.Event(), threading.Event()

    def handle(job: honker.Job) -> None:
        began.set()
        job.wait_cancelled(SOON_S)
        reasons.append(job.cancelled)
        if job.payload == "deaf":
            go.wait(SOON_S)
        job.check()

    async def ahandle(job: honker.Job) -> None:
        try:
            began.set()
            await asyncio.sleep(SOON_S)
        finally:
            reasons.append(job.cancelled)

    for handler, payload in ((handle, "hears"), (ahandle, "hears"), (handle, "deaf")):
        reasons.clear()
        began.clear()
        id = queue.enqueue(payload)
        running = runs(db, "emails", handler, stop_timeout_s=0)
        assert began.wait(SOON_S)  # a task that is cancelled before it begins never does
        running.worker.stop()
        running.join()
        assert reasons == ["stop"]
        job = queue.get_job(id)
        assert job is not None and (job["state"], job["attempts"]) == ("pending", 0)
        queue.cancel(id)
        if payload == "deaf":
            assert isinstance(running.error, honker.UnfinishedError) and running.error.running == 1
            running.error = None
            go.set()
        else:
            assert running.error is None


def is_pending(pid: int, number: int) -> bool:
    """Whether the process has yet to be told of the signal."""
    masks = re.findall(r"^(?:Sig|Shd)Pnd:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_by_signals(path: Path, program: Any, number: int) -> None:
    code = """
        import honker, sys, time
        db = honker.open(sys.argv[1])
        def handle(job):
            print("started", flush=True)
            job.wait_cancelled(60)
            print(job.cancelled, flush=True)
        db.worker("emails", handle, concurrency=2, stop_timeout_s=60).run()
        print("ended", flush=True)
    """
    with honker.open(path) as db:
        queue = db.queue("emails")
        id = queue.enqueue(1)
        worker: Program = program(code, path)
        assert worker.line() == "started"
        worker.process.send_signal(number)
        # Of two that are pending at once a process is told one.
        until(lambda: not is_pending(worker.process.pid, number))
        time.sleep(0.3)
        assert worker.process.poll() is None, "it waits for what runs"
        queue.enqueue(2)
        worker.process.send_signal(number)
        assert worker.line() == "stop" and worker.line() == "ended"
        worker.end()
        job = queue.get_job(id)
        assert job is not None and (job["state"], job["attempts"]) in [("pending", 0), ("pending", 1)]
        assert queue.stats()["pending"] == 2


def test_a_worker_whose_task_is_cancelled_gives_back(db: honker.Database, queue: honker.Queue) -> None:
    async def cancels() -> None:
        started = asyncio.Event()

        async def handle(job: honker.Job) -> None:
            started.set()
            await asyncio.sleep(SOON_S)

        task = asyncio.create_task(db.worker("emails", handle).arun())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    id = queue.enqueue(1)
    asyncio.run(cancels())
    job = queue.get_job(id)
    assert job is not None and (job["state"], job["attempts"]) == ("pending", 0)


@pytest.mark.parametrize("make", [asyncio.Event, threading.Event])
def test_an_event_ends_it(db: honker.Database, make: Any) -> None:
    async def ends() -> None:
        event = make()
        task = asyncio.create_task(db.worker("emails", print).arun(event))
        await asyncio.sleep(0.05)
        event.set()
        await asyncio.wait_for(task, SOON_S)

    asyncio.run(ends())


def test_a_killed_worker_has_its_jobs_taken_at_once(path: Path, program: Any) -> None:
    code = """
        import honker, sys, time
        honker.open(sys.argv[1]).worker("emails", lambda job: (print("started", flush=True), time.sleep(60))).run()
    """
    with honker.open(path) as db:
        queue = db.queue("emails")
        queue.enqueue(1)
        first: Program = program(code, path)
        assert first.line() == "started"
        second: Program = program(code, path)
        first.kill()
        assert second.line() == "started"  # beside a visibility timeout of 300 s


# What it outlasts.


def test_it_waits_for_its_file(tmp_path: Path, runs: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "not" / "yet" / "app.db"
    seen: list[object] = []
    running = runs(path, "emails", lambda job: seen.append(job.payload))
    until(lambda: "does not exist yet" in caplog.text)
    path.parent.mkdir(parents=True)
    time.sleep(0.3)
    assert not path.exists(), "it does not make one"
    with honker.open(path) as db:
        db.queue("emails").enqueue("at last")
        until(lambda: seen)
        running.stop()
    assert caplog.text.count("does not exist yet") == 1 and "works again" in caplog.text


def test_a_locked_file_is_waited_out(path: Path, runs: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    seen: list[object] = []
    go = threading.Event()

    def handle(job: honker.Job) -> None:
        seen.append(job.payload)
        go.wait(SOON_S)

    with honker.open(path, busy_timeout_ms=0) as db, honker.open(path) as other:
        db.queue("emails").enqueue(1)
        running = runs(db, "emails", handle)
        until(lambda: seen)
        with other.transaction() as tx:
            tx.execute("CREATE TABLE t (a)")
            go.set()
            until(lambda: "waits and tries again" in caplog.text)
        until(lambda: idle(db.queue("emails")))
        until(lambda: "works again" in caplog.text)
        running.stop()
    assert seen == [1]


def test_a_replaced_file_is_opened_anew(path: Path, runs: Any) -> None:
    reasons: list[object] = []
    seen: list[object] = []

    def handle(job: honker.Job) -> None:
        seen.append(job.payload)
        if job.payload == "old":
            job.wait_cancelled(SOON_S)
            reasons.append(job.cancelled)

    with honker.open(path) as db:
        db.queue("emails").enqueue("old")
        running = runs(db, "emails", handle)
        until(lambda: seen)
        for suffix in ("", "-wal", "-shm"):
            os.remove(f"{path}{suffix}")
        with honker.open(path) as again:
            again.queue("emails").enqueue("new")
            until(lambda: "new" in seen)
            until(lambda: reasons == ["replaced"])
            running.stop()
            assert idle(again.queue("emails"))


def test_a_closed_database_ends_it(db: honker.Database, runs: Any) -> None:
    running = runs(db, "emails", print)
    time.sleep(0.1)
    db.close()
    running.join()
    assert isinstance(running.error, honker.ClosedError)
    running.error = None


def test_schedules_are_fired(db: honker.Database, runs: Any) -> None:
    seen = threading.Event()
    runs(
        db,
        "ticks",
        lambda job: seen.set(),
        schedules=[{"name": "s", "queue": "ticks", "schedule": "@every 1s", "payload": 1}],
    )
    assert seen.wait(SOON_S)
    assert db.query("SELECT name FROM _honker_scheduler_tasks") == [{"name": "s"}]


def test_middlewares_are_around_each_job(db: honker.Database, queue: honker.Queue, kind: Any, runs: Any) -> None:
    seen: list[object] = []

    @contextlib.contextmanager
    def around(job: honker.Job) -> Iterator[None]:
        seen.append("before")
        try:
            yield
        except ValueError:
            seen.append("failed")
            raise
        finally:
            seen.append("after")

    def handle(job: honker.Job) -> None:
        seen.append(honker.current_job().payload)
        if job.payload == 2:
            raise ValueError

    honker.add_job_middleware(around)
    try:
        queue.enqueue(1)
        queue.enqueue(2, max_attempts=1)
        runs(db, "emails", kind(handle), concurrency=1)
        until(lambda: len(seen) == 7)
    finally:
        honker.remove_job_middleware(around)
    assert seen == ["before", 1, "after", "before", 2, "failed", "after"]
    with pytest.raises(RuntimeError, match="no job runs here"):
        honker.current_job()


def test_run_due_handles_what_is_due(db: honker.Database, queue: honker.Queue) -> None:
    seen: list[object] = []

    def handle(job: honker.Job) -> None:
        seen.append(job.payload)
        if job.payload == 1:
            queue.enqueue(4)

    for i in (1, 2):
        queue.enqueue(i)
    queue.enqueue(3, delay=60)
    worker = db.worker("emails", handle)
    assert worker.run_due(limit=1) == 1 and seen == [1]
    assert worker.run_due() == 2 and seen == [1, 2, 4]
    assert worker.run_due() == 0
    assert queue.stats()["delayed"] == 1


def test_what_cannot_be_a_worker(db: honker.Database, path: Path) -> None:
    with pytest.raises(ValueError, match="concurrency must be positive: 0"):
        db.worker("q", print, concurrency=0)
    with pytest.raises(ValueError, match="needs a queue"):
        db.worker([], print)
    with pytest.raises(ValueError, match="needs a queue"):
        honker.Worker(path, None, print)
    with pytest.raises(ValueError, match="named twice"):
        db.worker(["q", "q"], print)
    with pytest.raises(ValueError, match="max_in_hand must be positive: 0"):
        db.worker({"q": {"max_in_hand": 0}}, print)
    with pytest.raises(TypeError, match="a worker's queue has weight and max_in_hand, and no max"):
        db.worker({"q": {"max": 1}}, print)
    with pytest.raises(TypeError, match="weight has to be an int"):
        db.worker({"q": None}, print)
    with pytest.raises(TypeError, match="a handler has to be a function, not int"):
        db.worker("q", 7)  # type: ignore[arg-type]
    with pytest.raises(honker.InvalidError, match="NUL"):
        db.worker("a\0b", print).run()
    with pytest.raises(honker.InvalidError, match="retry_factor"):
        db.worker("q", print, retry_factor=0.5).run()
    with pytest.raises(ValueError, match="no tasks are registered"):
        db.worker().run()


def test_ten_thousand_at_once(db: honker.Database, queue: honker.Queue, runs: Any) -> None:
    seen: list[object] = []

    async def handle(job: honker.Job) -> None:
        seen.append(job.id)
        await asyncio.sleep(0.1)

    db.enqueue_many([{"queue": "emails", "payload": i} for i in range(2000)])
    runs(db, "emails", handle, concurrency=10_000)
    until(lambda: idle(queue))
    assert len(seen) == len(set(seen)) == 2000


def test_what_cannot_be_planned_is_tried_again(db: honker.Database, queue: honker.Queue) -> None:
    class Broken(honker.Worker):
        def plan(self, job: honker.Job) -> Any:
            raise ImportError("no module")

    id = queue.enqueue(1)
    assert Broken(db, "emails", print).run_due() == 1
    job = queue.get_job(id)
    assert job is not None and (job["state"], job["attempts"]) == ("pending", 1)
