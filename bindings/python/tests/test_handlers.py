"""Handlers, and what stands around them, that do what nobody expects: the job is retried, and the worker goes on."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import signal
import threading

import honker
import pytest
from conftest import SOON_S


def run_due(db, handler, limit=None):
    """A worker that is stuck fails the test."""

    async def main():
        return await asyncio.wait_for(db.worker("emails", handler, retry_base_s=1000).arun_due(limit), SOON_S)

    return asyncio.run(main())


def rows(db):
    return {job["payload"]: job["state"] for job in db.jobs()}


@pytest.fixture
def around():
    """Adds middleware for the time of the test."""
    added = []

    def add(middleware):
        added.append(honker.add_job_middleware(middleware))

    yield add
    for middleware in added:
        honker.remove_job_middleware(middleware)


def fails(job):
    raise KeyError(job.payload)


async def afails(job):
    raise KeyError(job.payload)


@pytest.mark.parametrize("handler", [fails, afails])
def test_middleware_that_suppresses_what_was_raised(db, queue, around, handler):
    """Then the job is done."""
    around(lambda job: contextlib.suppress(KeyError))
    queue.enqueue(1)
    queue.enqueue(2)
    assert run_due(db, handler) == 2
    assert rows(db) == {}


@pytest.mark.parametrize("handler", [fails, afails])
def test_middleware_that_is_none(db, queue, around, handler):
    around(lambda job: None)
    queue.enqueue(1)
    assert run_due(db, handler) == 1
    assert rows(db) == {1: "delayed"}


class Forgetful(honker.Retryable):
    def __init__(self):
        pass


class Vague(honker.Snooze):
    def __init__(self):
        super().__init__(5)
        self.delay_s = "soon"


class Endless(honker.Snooze):
    def __init__(self):
        super().__init__(5)
        self.delay_s = 2**70


class Mute(Exception):
    def __str__(self):
        raise asyncio.CancelledError


ERRORS = {
    "forgetful": Forgetful,
    "vague": Vague,
    "endless": Endless,
    "mute": Mute,
    "nul": lambda: ValueError("a\0b\ud800"),
    "nul in retryable": lambda: honker.Retryable("a\0b\ud800", delay_s=1000),
    "huge": lambda: honker.Retryable("x" * 50_000_000, delay_s=1000),
    "exit": SystemExit,
    "interrupt": KeyboardInterrupt,
    "cancelled": asyncio.CancelledError,
    "stop": StopIteration,
    "generator exit": GeneratorExit,
}


@pytest.mark.parametrize("kind", ["thread", "loop"])
@pytest.mark.parametrize("name", ERRORS)
def test_errors_of_all_kinds(db, queue, caplog, kind, name):
    def handler(job):
        if job.payload == name:
            raise ERRORS[name]()

    async def ahandler(job):
        handler(job)

    queue.enqueue(name)
    queue.enqueue("next")
    with caplog.at_level(logging.CRITICAL):
        assert run_due(db, handler if kind == "thread" else ahandler) == 2
    assert rows(db) == {name: "delayed"}


def test_what_is_dead_says_why_at_bearable_length(db, queue):
    def handler(job):
        raise honker.Discard("x" * 50_000_000)

    queue.enqueue(1)
    assert run_due(db, handler) == 1
    assert 1000 < len(queue.dead()[0]["last_error"]) < 100_000


def test_reporters_may_raise_anything(db, queue, caplog):
    told = []

    def reporter(error, job):
        told.append(job.payload)
        raise SystemExit

    honker.add_error_reporter(reporter)
    try:
        queue.enqueue(1)
        queue.enqueue(2)
        assert run_due(db, fails) == 2
    finally:
        honker.remove_error_reporter(reporter)
    assert told == [1, 2] and rows(db) == {1: "delayed", 2: "delayed"}
    assert "reporter raised" in caplog.text


@pytest.mark.parametrize("kind", ["generator", "async generator", "returns a generator"])
def test_generators_are_no_handlers(db, queue, caplog, kind):
    """Calling one runs nothing, which must not be taken for done."""

    def generator(job):
        yield

    async def async_generator(job):
        yield

    handlers = {
        "generator": generator,
        "async generator": async_generator,
        "returns a generator": lambda job: generator(job),
    }
    queue.enqueue(1)
    assert run_due(db, handlers[kind]) == 1
    assert rows(db) == {1: "delayed"} and "generator" in caplog.text


@pytest.mark.parametrize("kind", ["coroutine function", "function", "outbox"])
def test_what_is_returned_is_awaited_to_the_end(db, queue, kind):
    """A forgotten await."""
    done = []

    async def send(value):
        done.append(value)

    async def forgets(value):
        return send(value)

    if kind == "outbox":
        outbox = db.outbox("mail", forgets)
        outbox.enqueue(1)
        outbox.run_once("w")
    else:
        queue.enqueue(1)
        handlers = {"coroutine function": forgets, "function": lambda job: forgets(job)}
        assert run_due(db, handlers[kind]) == 1
    assert len(done) == 1 and rows(db) == {}
    gc.collect()


def test_payloads_of_a_depth_that_cannot_be_read(db, queue, caplog):
    with db.transaction() as tx:
        tx.execute("INSERT INTO _honker_live (queue, payload) VALUES ('emails', ?)", ["[" * 100_000 + "]" * 100_000])
    queue.enqueue("next")
    done = []
    with caplog.at_level(logging.CRITICAL):
        assert run_due(db, lambda job: done.append(job.payload)) == 2
    assert done[1:] == ["next"] and isinstance(done[0], honker.RawText)


def test_a_coroutine_that_never_ends_does_not_keep_its_worker(db, queue):
    """As a thread that never returns: it is said, and the program may end."""
    begun = threading.Event()
    ended = []

    async def stubborn(job):
        begun.set()
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    worker = db.worker("emails", stubborn, stop_timeout_s=0)
    queue.enqueue(1)

    def run():
        try:
            worker.run()
        except honker.UnfinishedError as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert begun.wait(SOON_S)
    worker.stop()
    thread.join(SOON_S)
    assert not thread.is_alive() and ended[0].running == 1
    assert rows(db) == {1: "due"}


def test_the_job_at_hand_is_forgotten(db):
    async def main():
        outbox = db.outbox("mail", lambda payload: None)
        outbox.enqueue(1)
        assert await outbox.arun_once("w")
        with pytest.raises(RuntimeError, match="no job runs here"):
            honker.current_job()

    asyncio.run(main())


def test_a_handler_that_closes_the_database(db, queue):
    """It ends the worker with an error, and nothing hangs."""
    queue.enqueue(1)
    with pytest.raises(honker.ClosedError, match=f"the database is closed: {db.path}"):
        db.worker("emails", lambda job: db.close()).run()


def test_a_database_that_is_closed_before_a_job_is_settled(db, queue, caplog):
    queue.enqueue_many([1, 2])

    async def handle(job):
        if job.payload == 2:
            db.close()

    caplog.set_level(logging.INFO, "honker.worker")
    with pytest.raises(honker.ClosedError, match=f"the database is closed: {db.path}"):
        db.worker("emails", handle, concurrency=2).run()
    (said,) = [record.getMessage() for record in caplog.records if record.name == "honker.worker"][1:-1]
    assert said.startswith("job 1 of emails could not be settled")
    assert said.endswith(f": the database is closed: {db.path}")


def test_a_payload_cannot_end_a_worker(db):
    """Of a task whose name no error can be said with."""
    text = '{"__honker_task__": {"task": "a\\u0000b\\ud800", "args": [], "kwargs": {}}}'
    with db.transaction() as tx:
        tx.execute("INSERT INTO _honker_live (queue, payload) VALUES ('emails', ?)", [text])
    assert db.worker("emails").run_due() == 1
    assert "unknown task" in db.queue("emails").dead()[0]["last_error"]


def test_functions_of_all_kinds_as_tasks(db):
    def add(a, b):
        return a + b

    add.name = add.queue = add.fn = "its own"
    try:
        with pytest.raises(TypeError, match="name"):
            db.task("emails")(functools.partial(add, 1))
        partial = db.task("emails", name="partial")(functools.partial(add, 1))
        plain = db.task("emails")(add)
        assert plain.name.endswith(".add") and plain.fn is add and plain.queue is db.queue("emails")
        results = [partial(2), plain(3, 4)]
        assert db.worker("emails").run_due() == 2
        assert [result.get(0) for result in results] == [3, 7]
    finally:
        honker.registry.clear()


def test_signals_that_are_not_pythons_are_left(db, queue, monkeypatch):
    """An embedding program may have set them in C."""
    set_before = []
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: set_before.append(handler))
    queue.enqueue(1)
    worker = db.worker("emails", lambda job: worker.stop())
    worker.run(signals=True)
    assert None not in set_before


def test_without_threads_run_due_says_so(db, queue, monkeypatch):
    """It would find the same job again and again."""
    queue.enqueue(1)
    start = threading.Thread.start

    def refuse(thread):
        if thread.name.startswith("honker-worker"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        run_due(db, fails, 100)
    assert rows(db) == {1: "due"}
