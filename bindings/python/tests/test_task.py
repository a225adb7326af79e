"""Tasks: decorated functions, what they leave in the queue, and what comes of them."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import honker
import pytest
from conftest import SOON_S, until
from test_worker import Running


@pytest.fixture(autouse=True)
def registry() -> Iterator[honker.Registry]:
    yield honker.registry
    honker.registry.clear()


@pytest.fixture
def works(db: honker.Database) -> Iterator[Any]:
    started: list[Running] = []

    def start(**options: Any) -> Running:
        started.append(Running(db.worker(**options)))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def test_a_call_enqueues_an_envelope(db: honker.Database) -> None:
    @db.task("emails", retries=7, priority=3, expires_s=60)
    def send(to: str, copies: int = 1) -> None:
        raise AssertionError("it must not run")

    result = send("alice", copies=2)
    [row] = db.query(
        "SELECT id, queue, payload, priority, max_attempts, expires_at - created_at AS e FROM _honker_live"
    )
    assert json.loads(row["payload"]) == {
        "__honker_task__": {"task": send.name, "args": ["alice"], "kwargs": {"copies": 2}}
    }
    assert (row["id"], row["queue"], row["priority"], row["max_attempts"]) == (result.id, "emails", 3, 7)
    assert row["e"] == 60
    assert send.name.startswith(f"{__name__}.") and send.name.endswith("send") and send.__name__ == "send"
    with pytest.raises(AssertionError, match="must not run"):
        send.call_local("alice")
    assert send.fn.__name__ == "send"


def test_what_was_published_runs_as_printed(db: honker.Database, works: Any, capsys: Any) -> None:
    published = (Path(__file__).parent / "published.md").read_text()
    begin, end = published.index("@q.task("), published.index("print(r.get(timeout=10))\n") + 25
    names: dict[str, Any] = {"q": db.queue("emails"), "time": time}
    defined, asked = published[begin:end].strip().rsplit("\n", 1)
    exec(defined, names)
    works(queues="emails")
    exec(asked, names)
    assert "'sent_at': " in capsys.readouterr().out


def test_results_come_back(db: honker.Database, works: Any) -> None:
    @db.task()
    def add(a: int, b: int) -> int:
        return a + b

    @db.task(name="another name")
    async def aadd(a: int, b: int) -> dict[str, int]:
        await asyncio.sleep(0)
        return {"sum": a + b}

    works()
    assert add(1, b=2).get(SOON_S) == 3
    assert aadd(1, 2).get(SOON_S) == {"sum": 3}

    async def in_a_loop() -> None:
        assert await (await add.aenqueue(5, 6)).aget(SOON_S) == 11

    asyncio.run(in_a_loop())
    ids = add(1, 1).id
    until(lambda: db.get_result(ids)[0])
    [row] = db.query("SELECT expires_at - unixepoch() AS ttl FROM _honker_results WHERE job_id = ?", [ids])
    assert 3600 - SOON_S <= row["ttl"] <= 3600


def test_results_that_never_come(db: honker.Database, works: Any) -> None:
    @db.task(retries=1)
    def fails() -> None:
        raise ValueError("too bad")

    @db.task(store_result=False)
    def silent() -> None: ...

    with pytest.raises(TimeoutError, match="there is no result of job 1 yet"):
        fails().get(0.05)
    works()
    with pytest.raises(honker.TaskFailed, match="too bad"):
        fails().get(SOON_S)
    with pytest.raises(RuntimeError, match="are not stored"):
        silent().get()
    later = fails.using(delay=60).enqueue()
    assert db.queue("default").cancel(later.id)
    with pytest.raises(honker.TaskFailed, match="is gone"):
        later.get(SOON_S)


def test_a_result_that_cannot_be_saved_harms_nobody(
    db: honker.Database, works: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ran = []

    @db.task()
    def odd() -> object:
        ran.append(1)
        return object()

    works()
    result = odd()
    until(lambda: db.queue("default").get_job(result.id) is None)
    assert ran == [1] and not db.queue("default").dead()
    assert "the result of job 1 of default cannot be saved" in caplog.text


def test_a_transaction_and_options(db: honker.Database) -> None:
    @db.task("emails")
    def send(to: str) -> None: ...

    with db.transaction() as tx:
        send.using(tx=tx, delay=60).enqueue("alice")
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:
        send.using(tx=tx).enqueue("bob")
        raise ZeroDivisionError
    one = send.using(unique_key="x").enqueue("carol")
    assert send.using(unique_key="x").enqueue("dave").id == one.id
    assert db.queue("emails").stats()["delayed"] == db.queue("emails").stats()["pending"] == 1


def test_retries(db: honker.Database, works: Any) -> None:
    @db.task(retries=5, retry_delay_s=100)
    def constant() -> None:
        raise ValueError("a")

    @db.task(retries=5)
    def backoff() -> None:
        raise ValueError("b")

    @db.task(retries=1)
    def budget() -> None:
        raise honker.Retryable("c", delay_s=5)

    ids = constant().id, backoff().id, budget().id
    works(retry_base_s=700, retry_jitter=0.0)
    queue = db.queue("default")
    until(lambda: queue.stats()["pending"] == queue.stats()["claimed"] == 0)
    now = int(time.time())
    for id, delay in zip(ids, (100, 700)):
        job = queue.get_job(id)
        assert job is not None and now + delay - SOON_S <= job["run_at"] <= now + delay
    assert [dead["last_error"] for dead in queue.dead()] == ["c"]


def test_timeouts(db: honker.Database, works: Any, caplog: pytest.LogCaptureFixture) -> None:
    go, ended = threading.Event(), []

    @db.task(retries=1, timeout_s=0.2)
    def hangs() -> None:
        go.wait(SOON_S)

    @db.task(retries=1, timeout_s=0.2)
    async def ahangs() -> None:
        try:
            await asyncio.sleep(SOON_S)
        except asyncio.CancelledError:
            ended.append(1)
            raise

    works(concurrency=2)
    for task in (hangs, ahangs):
        with pytest.raises(honker.TaskFailed, match=r"^timeout after 0\.2s$"):
            task().get(SOON_S)
    until(lambda: ended)  # its job may be dead before it has heard that it is cancelled
    assert ended == [1]
    assert "its thread goes on, and its place is taken until that returns" in caplog.text
    assert "its task is cancelled" in caplog.text
    go.set()
    barrier = threading.Barrier(2)

    @db.task()
    def meets() -> None:
        barrier.wait(SOON_S)

    for result in [meets(), meets()]:  # both places are free again
        result.get(SOON_S)


def test_what_is_no_task_is_dead(db: honker.Database, works: Any) -> None:
    @db.task(name="known")
    def known() -> None: ...

    queue = db.queue("default")
    errors = {
        queue.enqueue({"to": "alice"}): "raw (non-decorated) payload on a decorated-task queue",
        queue.enqueue(honker.RawText("no JSON")): "raw (non-decorated) payload on a decorated-task queue",
        queue.enqueue({"__honker_task__": {"task": 7}}): "raw (non-decorated) payload on a decorated-task queue",
        queue.enqueue({"__honker_task__": {"task": "lost", "args": [], "kwargs": {}}}): (
            "unknown task: lost. Registered tasks: ['known']"
        ),
        queue.enqueue({"__honker_task__": {"task": "known", "args": 7}}): (
            "the arguments of task known are no array and object"
        ),
    }
    works()
    until(lambda: len(queue.dead()) == len(errors))
    assert {dead["id"]: dead["last_error"] for dead in queue.dead()} == errors
    assert all(dead["attempts"] == 1 for dead in queue.dead())


def test_names(db: honker.Database) -> None:
    def one() -> None: ...
    def two() -> None: ...

    first = db.task(name="x")(one)
    assert db.task(name="x")(one) is first
    with pytest.raises(ValueError, match="duplicate task name"):
        db.task(name="x")(two)
    assert list(honker.registry) == ["x"]
    with pytest.raises(honker.UnknownTaskError):
        honker.registry["y"]


def test_arguments_that_the_function_does_not_take(db: honker.Database) -> None:
    @db.task(name="send")
    def send(to: str, *, count: int = 1) -> None: ...

    wrong: Any = send
    for call in (
        lambda: wrong(),
        lambda: wrong("a", "b"),
        lambda: wrong("a", cuont=2),
        lambda: wrong.using(delay=1).enqueue(),
    ):
        with pytest.raises(TypeError, match="send: "):
            call()
    with pytest.raises(TypeError, match="send: missing a required argument: 'to'"):
        asyncio.run(wrong.aenqueue())
    assert list(db.jobs()) == []
    send("alice", count=2)
    db.task(name="built in")(vars)(1)  # whose arguments nobody knows
    with pytest.raises(TypeError, match="missing a required argument: 'day'"):
        db.periodic_task("@daily")(lambda day: None)


def test_periodic_tasks_have_the_attempts_of_their_queue(db: honker.Database) -> None:
    reports = db.queue("reports", max_attempts=10)
    reports.periodic_task("@daily", name="ten")(lambda: None).schedule()
    reports.periodic_task("@daily", name="two", retries=2)(lambda: None).schedule()
    db.periodic_task("@daily", name="three")(lambda: None).schedule()
    rows = {row["name"]: row["max_attempts"] for row in db.scheduler().list()}
    assert rows == {"ten": 10, "two": 2, "three": 3}


def test_arguments_that_json_does_not_have(db: honker.Database) -> None:
    @db.task()
    def send(value: object) -> None: ...

    for value, error in ((object(), TypeError), (float("nan"), ValueError), ("\ud800", ValueError)):
        with pytest.raises(error):
            send(value)
    assert db.queue("default").stats()["pending"] == 0
    with pytest.raises(TypeError, match="unknown options of a task: retry"):
        db.task(retry=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="a task has to be a function"):
        db.task()(7)  # type: ignore[call-overload]


def test_periodic_tasks(db: honker.Database, works: Any) -> None:
    seen = threading.Event()

    @db.periodic_task("@every 1s", queue="ticks", scheduler_name="the tick")
    def tick() -> None:
        seen.set()

    with pytest.raises(ValueError, match="has 2 fields"):
        db.periodic_task("every day")
    works()
    assert seen.wait(SOON_S)
    [row] = db.query("SELECT name, queue, payload FROM _honker_scheduler_tasks")
    assert (row["name"], row["queue"]) == ("the tick", "ticks")
    assert json.loads(row["payload"]) == {"__honker_task__": {"task": tick.name, "args": [], "kwargs": {}}}
    assert db.query("SELECT count(*) AS n FROM _honker_results") == [{"n": 0}]


def test_run_workers(db: honker.Database) -> None:
    @db.task("a")
    def one() -> int:
        return 1

    async def runs() -> None:
        stop = asyncio.Event()
        working = asyncio.create_task(db.run_workers(stop_event=stop))
        assert await one().aget(SOON_S) == 1
        stop.set()
        await asyncio.wait_for(working, SOON_S)

    asyncio.run(runs())


MODULE = """
import honker, os, sys, time, asyncio, ctypes
db = honker.open({path!r})

@db.task("a", retries=5, retry_delay_s=0)
def pid():
    return os.getpid()

@db.task("a", retries=2, timeout_s=1, retry_delay_s=0)
def hangs(mark):
    with open(mark, "a") as file:
        file.write("x")
    while True:
        time.sleep(1)

@db.task("b", retries=1)
def crashes():
    os._exit(7)

@db.task("b", retries=1)
def fails():
    raise ValueError("too bad")

@db.task("b")
async def aadd(a, b):
    await asyncio.sleep(0)
    return a + b

@db.task("b", retries=1)
def leaves_a_child(mark):
    if os.fork() == 0:
        while os.path.exists(mark):
            time.sleep(0.05)
        os._exit(0)
    os._exit(7)

@db.task("c", retries=5, retry_delay_s=0)
def steps(mark):
    def charge():
        with open(mark, "a") as file:
            file.write("x")
        return os.getpid()

    charged = honker.current_job().step("charge", charge)
    if honker.current_job().attempts == 1:
        os._exit(7)
    return [charged, os.getpid(), honker.current_job().attempts]

@db.task("c", retries=5, retry_delay_s=0)
def charges(mark):
    def charge():
        with open(mark, "a") as file:
            file.write("x")
        return object()

    try:
        honker.current_job().step("charge", charge)
    except honker.Discard:
        os._exit(7)

class NoSnooze(honker.Snooze):
    def __init__(self):
        pass

@db.task("c", retries=1)
def says_nothing():
    raise NoSnooze

@db.task("c")
def acks(mark):
    with db.transaction() as tx:
        assert honker.current_job().ack(tx)
    marks(mark)
    while not os.path.exists(mark):
        time.sleep(0.01)
    os.rename(mark, mark + " " + str(honker.current_job().cancelled))

@db.task("c")
def marks(mark):
    open(mark, "w").close()

@db.task("b")
def waits(mark):
    open(mark, "w").close()
    honker.current_job().wait_cancelled(60)
    honker.current_job().check()
"""


@pytest.fixture
def module(path: Path, tmp_path: Path) -> Path:
    (tmp_path / "jobs.py").write_text(MODULE.format(path=str(path)))
    return tmp_path


def start(program: Any, module: Path, *arguments: str) -> Any:
    code = """
        import sys, runpy
        sys.path.insert(0, sys.argv[1])
        sys.argv[:] = ["honker", *sys.argv[2:]]
        if __name__ == "__main__":
            runpy.run_module("honker", run_name="__main__")
    """
    return program(code, module, *arguments)


def asks(program: Any, module: Path, code: str) -> str:
    return program(f"import sys; sys.path.insert(0, {str(module)!r}); import jobs; {code}").line()  # type: ignore[no-any-return]


def test_the_command_lists_and_works(module: Path, program: Any) -> None:
    out, _ = start(program, module, "worker", "jobs:db", "--list").end()
    tasks = {
        name: queue for queue, name in re.findall(r'^@db.task\("(.)".*\n(?:async )?def (\w+)', MODULE, re.MULTILINE)
    }
    assert out.splitlines() == [f"jobs.{name}\t{queue}" for name, queue in sorted(tasks.items())]
    worker = start(program, module, "worker", "jobs:db", "--queue", "a", "--queue", "b", "--concurrency", "3")
    assert asks(program, module, "print(jobs.aadd(1, 2).get(60))") == "3"
    worker.process.terminate()
    _, errors = worker.end()
    assert "ended: 1 done, 0 retried, 0 dead, 0 snoozed, 0 released, 0 running" in errors


def test_processes_can_be_killed(module: Path, program: Any, tmp_path: Path) -> None:
    worker = start(program, module, "worker", "jobs:db", "--processes", "--concurrency", "2")
    assert int(asks(program, module, "print(jobs.pid().get(60))")) != worker.process.pid
    mark = tmp_path / "mark"
    code = """
try:
    {}.get(60)
except Exception as error:
    print(str(error).splitlines()[0])"""
    assert asks(program, module, f"\n{code.format(f'jobs.hangs({str(mark)!r})')}") == "timeout after 1s"
    assert mark.read_text() == "xx", "it was retried, in a process of its own"
    died = "the process that ran it died, with exit code 7"
    assert asks(program, module, f"\n{code.format('jobs.crashes()')}") == died
    kept = tmp_path / "kept"
    kept.touch()
    try:
        assert asks(program, module, f"\n{code.format(f'jobs.leaves_a_child({str(kept)!r})')}") == died
    finally:
        kept.unlink()
    assert asks(program, module, f"\n{code.format('jobs.fails()')}") == "too bad"
    assert "has no attribute 'delay_s'" in asks(program, module, f"\n{code.format('jobs.says_nothing()')}")
    assert asks(program, module, "print(jobs.aadd(1, 2).get(60))") == "3"
    worker.process.terminate()
    _, errors = worker.end()
    assert "its process is killed" in errors and "in fails" in errors


def test_steps_in_processes(module: Path, program: Any, tmp_path: Path, db: honker.Database) -> None:
    """What one process has done the next one does not do again; nor what could not be saved, also if the process is
    killed, or dies, after that.
    """
    worker = start(program, module, "worker", "jobs:db", "--processes", "--concurrency", "1")
    mark = tmp_path / "mark"
    first, second, attempts = json.loads(asks(program, module, f"print(jobs.steps({str(mark)!r}).get(60))"))
    assert (mark.read_text(), attempts) == ("x", 2) and first != second
    mark.unlink()
    asks(program, module, f"print(jobs.charges({str(mark)!r}).id)")
    until(db.queue("c").dead)
    [dead] = db.queue("c").dead()
    assert dead["last_error"].startswith("step charge has run, and is not saved: ")
    assert (mark.read_text(), dead["attempts"]) == ("x", 1)
    worker.process.terminate()
    worker.end()


def test_a_task_in_a_process_acks_by_itself(module: Path, program: Any, tmp_path: Path, db: honker.Database) -> None:
    """It goes on, although its worker sees that the job is gone, and claims another one."""
    worker = start(program, module, "worker", "jobs:db", "--processes", "--concurrency", "2")
    mark = tmp_path / "mark"
    asks(program, module, f"print(jobs.acks({str(mark)!r}).id)")
    until(lambda: [path.name for path in tmp_path.glob("mark ?*")])
    assert [path.name for path in tmp_path.glob("mark ?*")] == ["mark None"]
    worker.process.terminate()
    worker.end()


def test_run_due_leaves_no_processes(module: Path, program: Any) -> None:
    code = """
import multiprocessing
if __name__ == "__main__":
    jobs.pid()
    print(jobs.db.worker(processes="jobs:db").run_due(), multiprocessing.active_children())"""
    assert asks(program, module, code) == "1 []"


def test_processes_hear_of_cancellation_and_of_their_parents_death(
    module: Path, program: Any, tmp_path: Path, db: honker.Database
) -> None:
    worker = start(program, module, "worker", "jobs:db", "--processes", "--concurrency", "1", "--stop-timeout", "0")
    mark = tmp_path / "mark"
    asks(program, module, f"jobs.waits({str(mark)!r}); print(1)")
    until(mark.exists)
    worker.process.terminate()
    worker.end()
    assert db.queue("b").stats()["pending"] == 1, "it was given back"
    mark.unlink()
    worker = start(program, module, "worker", "jobs:db", "--processes", "--concurrency", "1")
    until(mark.exists)
    worker.kill()
    mark.unlink()
    other = start(program, module, "worker", "jobs:db", "--concurrency", "1")
    until(mark.exists)  # at once, beside a visibility timeout of 300 s
    other.kill()


def test_the_command_says_what_is_wrong(module: Path, program: Any) -> None:
    (module / "empty.py").write_text(f"import honker\ndb = honker.open({str(module / 'e.db')!r})\n")
    (module / "other.py").write_text("db = 7\n")
    (module / "broken.py").write_text("int('seven')\n")
    worker = start(program, module, "worker", "broken:db")
    _, errors = worker.process.communicate(timeout=SOON_S)
    assert worker.process.returncode != 0 and "broken.py" in errors, "a module's own errors have their traceback"
    worker = start(program, module, "worker", "jobs:db", "--stop-timeout", "nan")
    _, errors = worker.process.communicate(timeout=SOON_S)
    assert worker.process.returncode != 0 and "stop-timeout" in errors and "Traceback" not in errors
    for target, text in (
        ("jobs", "'jobs' has to be MODULE:VARIABLE"),
        ("jobs:nothing", "there is no 'nothing' in jobs"),
        ("nowhere:db", "No module named 'nowhere'"),
        ("other:db", "other:db has to be an open honker.Database, and is a int"),
        ("empty:db", "no tasks are registered in empty"),
    ):
        worker = start(program, module, "worker", target)
        _, errors = worker.process.communicate(timeout=SOON_S)
        assert worker.process.returncode == 1 and text in errors, errors
        assert "Traceback" not in errors


RELOADS = """
    import os, sys
    os.chdir(sys.argv[1])
    os.dup2(os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    os.execv(sys.executable, [sys.executable, "-m", "honker", "worker", "hot:db", "--reload"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="exec ends the process there")
def test_the_command_reloads(module: Path, program: Any) -> None:
    (module / "hot.py").write_text(
        f"import honker\ndb = honker.open({str(module / 'h.db')!r})\n@db.task()\ndef say():\n    return 'first'\n"
    )

    def says() -> str:
        return program(f"import sys; sys.path.insert(0, {str(module)!r}); import hot; print(hot.say().get(60))").line()  # type: ignore[no-any-return]

    log = module / "log"
    worker = program(RELOADS, module)
    assert says() == "first"
    text = (module / "hot.py").read_text()
    (module / "hot.py").write_text("this is no Python\n")
    until(lambda: "waiting for a change" in log.read_text())
    assert "hot:db cannot be imported" in log.read_text()
    (module / "hot.py").write_text(text.replace("first", "second"))
    until(lambda: log.read_text().count("a file has changed") == 2)
    assert says() == "second"
    worker.process.terminate()
    worker.end()


CHANGES = """
import honker, os, threading, time
db = honker.open({path!r})

@db.task()
def say():
    return "changed"

if not os.path.exists("once"):
    open("once", "w").close()
    os.utime(__file__, (1, 1))
    while any(thread.name == "honker-reload" for thread in threading.enumerate()):
        time.sleep(0.01)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="exec ends the process there")
def test_a_change_before_the_worker_begins_is_not_missed(module: Path, program: Any) -> None:
    (module / "hot.py").write_text(CHANGES.format(path=str(module / "h.db")))
    worker = program(RELOADS, module)
    until(lambda: (module / "log").exists() and "begins again: a file has changed" in (module / "log").read_text())
    code = "import sys, os; os.chdir(sys.argv[1]); sys.path.insert(0, '.'); import hot; print(hot.say().get(60))"
    assert program(code, module).line() == "changed"
    worker.process.terminate()
    worker.end()


def test_logging_is_left_alone(db: honker.Database) -> None:
    assert not logging.getLogger("honker").handlers
