"""The examples do what they say, the README's samples stand in them, and what was published runs as printed."""

import ast
import asyncio
import contextlib
import inspect
import re
import subprocess
import sys
import threading
import time

import honker
import pytest
from conftest import PACKAGE, SOON_S

# That of Postgres is run by the tests of Postgres.
EXAMPLES = sorted(path for path in (PACKAGE / "examples").glob("*.py") if path.stem != "postgres")
SAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_example(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE))
    done = subprocess.run(
        [sys.executable, "-X", "dev", path], cwd=tmp_path, capture_output=True, text=True, timeout=2 * SOON_S
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"^# => (.*)$", path.read_text(), re.MULTILINE)


def test_the_readme():
    readme = (PACKAGE / "README.md").read_text()
    headings = re.findall(r"^## (.*)$", readme, re.MULTILINE)
    first, last = ["Install", "First queue", "Concepts", "Queue features"], ["Threads and shutdown", "Versions"]
    assert headings == [*first, "On Postgres", *last]
    texts = ["\n" + path.read_text() for path in (PACKAGE / "examples").rglob("*.py")]
    samples = SAMPLE.findall(readme)
    assert len(samples) > 5
    for sample in samples:
        assert any("\n" + sample in text for text in texts), f"no example has this sample:\n{sample}"


def test_the_table_of_features(path):
    """What is a call, or an assignment, runs."""
    readme = (PACKAGE / "README.md").read_text()
    table = readme.partition("## Queue features")[2].partition("\n## ")[0]
    spans = [span for line in table.splitlines() if line.startswith("| ") for span in re.findall(r"`([^`]*)`", line)]
    calls = [span for span in spans if re.match(r"(await )?(q|db|job|batch|scheduler)\.|batch =", span)]
    assert len(calls) > 40

    async def acharge():
        return 2

    async def main():
        with honker.open(path) as db, honker.open(path) as other:
            q = db.queue("mail")
            with other.batch() as batch:
                other.queue("mail").enqueue(0, batch=batch, priority=9, metadata={"tenant": "acme"})
                job = q.claim_one("w")
            names = {"db": db, "q": q, "job": job, "batch": batch, "charge": dict, "acharge": acharge, "honker": honker}
            names |= {"scheduler": db.scheduler(), "store": dict, "print": print}
            last = [call for call in calls if call in ("job.snooze(60)", "job.release()")]
            for call in [*(call for call in calls if call not in last), *last]:
                with db.transaction() if "tx=tx" in call else contextlib.nullcontext() as tx:
                    code = compile(call, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                    result = eval(code, names | {"tx": tx}, names)
                    if inspect.iscoroutine(result):
                        await result

    asyncio.run(main())


class Done:
    def __await__(self):
        return iter(())


def is_of_a_task(statement):
    return any(part in ast.unparse(statement) for part in ("q.task", "r = send", "r.get"))


def test_what_was_published_runs_as_printed(tmp_path, monkeypatch):
    """tests/published.md has what users were shown. What never ends runs beside the rest."""
    source = SAMPLE.findall((PACKAGE / "tests" / "published.md").read_text())[0]
    monkeypatch.chdir(tmp_path)
    with honker.open("app.db") as db, db.transaction() as tx:
        tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER)")
        tx.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
    sent, pushed, printed = [], [], []

    def send_email(payload):
        sent.append(payload)
        return Done()  # one sample awaits it

    async def push_to_browser(event):
        pushed.append(event.payload)

    names = {
        "time": time,
        "send_email": send_email,
        "push_to_browser": push_to_browser,
        "print": lambda *values: printed.append(values),
    }
    is_endless = (ast.AsyncFor, ast.Await)

    async def main():
        beside = []
        for statement in ast.parse(source).body:
            if is_of_a_task(statement):
                continue  # the next test has those
            code = compile(ast.Module([statement], []), "published.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)
            if inspect.iscoroutine(result):
                assert any(isinstance(node, is_endless) for node in ast.walk(statement))
                beside.append(asyncio.create_task(result))
                await asyncio.sleep(0.05)
        deadline = time.monotonic() + SOON_S
        while not (len(sent) == 3 and pushed and printed):
            assert time.monotonic() < deadline, (sent, pushed, printed)
            await asyncio.sleep(0.01)
        for task in beside:
            task.cancel()
        ended = await asyncio.gather(*beside, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended

    asyncio.run(main())
    names["db"].close()
    assert sent[0] == {"to": "alice@example.com", "order_id": 42}
    assert {"order_id": 42} in sent and {"order_id": 43} in sent
    assert pushed == [{"user_id": 1, "change": "name"}]
    assert printed == [("orders", {"id": 42})]


def test_the_published_task(tmp_path):
    source = SAMPLE.findall((PACKAGE / "tests" / "published.md").read_text())[0]
    statements = [statement for statement in ast.parse(source).body if is_of_a_task(statement)]
    assert len(statements) == 3
    printed, stop = [], threading.Event()
    with honker.open(tmp_path / "app.db") as db:
        names = {"q": db.queue("emails"), "time": time, "print": printed.append, "__name__": "published"}
        for i, statement in enumerate(statements):
            exec(compile(ast.Module([statement], []), "published.md", "exec"), names)
            if i == 0:
                worker = threading.Thread(target=lambda: asyncio.run(db.run_workers(stop_event=stop)))
                worker.start()
        stop.set()
        worker.join(SOON_S)
    assert 0 < printed[0]["sent_at"] <= time.time()
