"""The example `reminders` from end to end: real servers, a receiver that fails, hangs and comes back, and kills."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import honker
import pytest
from conftest import PACKAGE, SOON_S, until

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")

EXAMPLE = PACKAGE / "examples" / "reminders"
EVERY_S = 3
# How often the server is killed and begun again; each time costs some seconds.
KILLS = 12 if os.environ.get("HONKER_TEST_LONG") else 2


class Receiver:
    """What reminders are posted to, as the receiver of one that is called `mode` is: "accept", "fail" (it may work
    later), "refuse" (never), "hang" (no answer until there is another mode), "lose" (it is accepted, and no answer
    comes). All that it has had is in `receipts`: the key, the title, and what became of it.
    """

    def __init__(self):
        self.mode = "accept"
        self.receipts = []
        self._lock = threading.Lock()
        self._server = self._serve(0)
        self.port = self._server.server_address[1]

    def _serve(self, port):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # who posts it was killed
                key, title = int(self.headers["Idempotency-Key"].split("-")[1]), json.loads(body)["title"]
                with receiver._lock:
                    mode = receiver.mode
                    receiver.receipts.append((key, title, mode))
                while mode == receiver.mode == "hang":
                    time.sleep(0.01)
                if mode in ("hang", "lose"):
                    return
                with contextlib.suppress(OSError):  # it was killed meanwhile
                    self.send_response({"accept": 200, "fail": 503, "refuse": 400}[mode])
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return server

    def down(self):
        """When it returns nothing is on its way any more."""
        self._server.shutdown()
        self._server.server_close()

    def up(self):
        self._server = self._serve(self.port)

    def count(self, mode, title=None):
        with self._lock:
            return sum(got == mode and title in (None, name) for _, name, got in self.receipts)

    def accepted(self):
        with self._lock:
            return [(key, title) for key, title, mode in self.receipts if mode == "accept"]


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.mode = "accept"
    receiver.down()


class Service:
    """`python -m reminders`, in processes that may be killed."""

    def __init__(self, path, receiver):
        self.path = path
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(PACKAGE), str(EXAMPLE)]),
            "REMINDERS_DATABASE": str(path),
            "REMINDERS_ENDPOINT": f"http://127.0.0.1:{receiver.port}/",
            "REMINDERS_TIMEOUT_S": "30",
            "REMINDERS_ATTEMPTS": "1000",
            "REMINDERS_BACKOFF_S": "1",
            "REMINDERS_BACKOFF_MAX_S": "1",
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.http = httpx.Client(base_url=self.url, timeout=SOON_S)
        self._log = open(path.with_suffix(".log"), "a")  # noqa: SIM115
        self._processes = []

    def start(self, *arguments):
        command = [sys.executable, "-m", "reminders", *arguments]
        process = subprocess.Popen(command, env=self.environment, stdout=self._log, stderr=self._log)
        self._processes.append(process)
        return process

    def serve(self, *arguments):
        process = self.start("serve", "--port", self.url.rpartition(":")[2], *arguments)

        def answers():
            assert process.poll() is None, self.log()
            with contextlib.suppress(httpx.TransportError):
                return self.http.get("/reminders").is_success

        until(answers, "the server", 5 * SOON_S)
        return process

    def command(self, *arguments):
        """What it prints, one value a line; AssertionError with what it says if it fails."""
        from reminders.__main__ import parser

        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            options = parser().parse_args(["--url", self.url, *map(str, arguments)])
            assert options.run(options) == 0, errors.getvalue()
        return [json.loads(line) for line in out.getvalue().splitlines()]

    def create(self, **reminder):
        response = self.http.post("/reminders", json=reminder)
        assert response.status_code == 201, response.text
        return response.json()

    def log(self):
        return self.path.with_suffix(".log").read_text()

    def all_of(self, state):
        return all(reminder["state"] == state for reminder in self.http.get("/reminders").json())

    def close(self):
        self.http.close()
        for process in self._processes:
            process.kill()
            process.wait(SOON_S)
        self._log.close()


@pytest.fixture
def service(tmp_path, receiver):
    service = Service(tmp_path / "reminders.db", receiver)
    yield service
    service.close()


def free_leadership(path):
    """A leader that was killed is replaced when its minute is over: as if it were."""
    with honker.open(path) as db, db.transaction() as tx:
        tx.execute("UPDATE _honker_locks SET expires_at = 0 WHERE name = 'honker-scheduler'")


def live(path):
    with honker.open(path) as db:
        return {job["id"] for job in db.jobs(state=["due", "delayed", "processing", "blocked"])}


def stop(process):
    process.send_signal(signal.SIGTERM)
    assert process.wait(SOON_S) in (0, -signal.SIGTERM)


class Customer:
    """Creates reminders, one after the other, until it is told to stop, whatever becomes of the server."""

    def __init__(self, service, name):
        self.created = []
        self._name = name
        self._service = service
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._create)
        self._thread.start()

    def _create(self):
        number = 0
        while not self._end.wait(0.05):
            number += 1
            with contextlib.suppress(httpx.TransportError):
                self.created.append(self._service.create(title=f"{self._name} {number}", **{"in": "1s"})["title"])

    def stop(self):
        self._end.set()
        self._thread.join(SOON_S)
        assert not self._thread.is_alive()


def test_nothing_is_lost(service, receiver):
    server = service.serve()
    recurring = service.create(title="tick", every=f"{EVERY_S}s")
    first = recurring["next_at"]
    service.create(title="early", **{"in": "1s"})
    until(lambda: receiver.count("accept", "early") and service.http.get("/reminders/2").json()["state"] == "delivered")
    (early,) = [key for key, title in receiver.accepted() if title == "early"]

    receiver.mode = "fail"
    names = ["early"] + [service.create(title=f"once {number}", **{"in": "1s"})["title"] for number in range(10)]
    until(lambda: receiver.count("fail") > 10)
    receiver.mode = "lose"
    until(lambda: receiver.count("lose") > 5)
    receiver.mode = "hang"
    undone = []  # what was not done yet at each kill, and how much had been received
    for kill in range(KILLS):
        if kill % 2 == 0:
            until(lambda: receiver.count("hang") > 5)
        else:
            receiver.mode = "accept"
            until(lambda: receiver.count("accept", "tick") > 1)
        customer = Customer(service, f"customer {kill}")
        until(lambda: len(customer.created) > 5)  # noqa: B023
        server.kill()
        server.wait(SOON_S)
        customer.stop()
        names += customer.created
        receiver.mode = "lose"
        receiver.down()
        undone.append((len(receiver.receipts), live(service.path)))
        free_leadership(service.path)
        server = service.serve()
        names.append(service.create(title=f"down {kill}", **{"in": "1s"})["title"])
        receiver.mode = "hang"
        receiver.up()

    receiver.mode = "accept"
    service.http.post("/reminders/1/pause").raise_for_status()
    # What was created last may not be due yet.
    until(
        lambda: all(one["state"] != "active" and one["waiting"] == 0 for one in service.http.get("/reminders").json())
    )
    assert service.http.get("/dead").json() == []
    stop(server)

    accepted = receiver.accepted()
    titles = {title for _, title in accepted}
    assert set(names) <= titles
    with honker.open(service.path) as db:
        (schedule,) = db.scheduler().list()
        assert not any(db.jobs(state=["due", "delayed", "processing", "blocked", "dead"]))
    fired = (schedule["next_fire_at"] - int(datetime.fromisoformat(first).timestamp())) // EVERY_S
    ticks = {key for key, title in accepted if title == "tick"}
    assert fired > 1 and len(ticks) == fired
    # What was accepted comes again only if the server was killed before it was done in the file.
    assert [key for key, _, _ in receiver.receipts].count(early) == 1
    done = set()
    for number, (key, _, mode) in enumerate(receiver.receipts):
        for received, left in undone:
            if received == number:
                done -= left
        assert key not in done
        if mode == "accept":
            done.add(key)
    # However often it is posted, it has one key.
    keys = {(title, key) for key, title, _ in receiver.receipts if title != "tick"}
    assert len(keys) == len({title for title, _ in keys})


def test_the_commands(service, receiver, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLE)
    server = service.serve("--no-worker")
    worker = service.start("worker")
    (once,) = service.command("add", "Tea", "it is ready", "--in", "10m", "--priority", "5")
    assert (once["state"], once["schedule"], once["priority"]) == ("active", None, 5)
    (cron,) = service.command("add", "Stand up", "--cron", "0 9 * * mon-fri", "--timezone", "Europe/Berlin")
    assert cron["schedule"] == "CRON_TZ=Europe/Berlin 0 9 * * mon-fri"
    assert [one["title"] for one in service.command("list")] == ["Tea", "Stand up"]
    with pytest.raises(AssertionError, match="there is no reminder 99"):
        service.command("pause", 99)
    with pytest.raises(AssertionError, match="cron fields"):
        service.command("add", "x", "--cron", "whenever")

    api = service.http
    for id in (1, 2):
        paused = api.post(f"/reminders/{id}/pause").json()
        assert (paused["state"], paused["next_at"]) == ("paused", None)
        assert api.post(f"/reminders/{id}/pause").json() == paused
    assert {one["next_at"] for one in (once, cron)} == {
        api.post(f"/reminders/{id}/resume").json()["next_at"] for id in (1, 2)
    }
    assert api.delete("/reminders/1").status_code == 204 and api.delete("/reminders/1").status_code == 404
    assert receiver.receipts == []

    for wrong in (
        {"title": "x"},
        {"title": "x", "in": "10m", "every": "1h"},
        {"title": "", "in": "10m"},
        {"title": "x", "in": "ten minutes"},
        {"title": "x", "in": "999999999d"},
        {"title": "x", "at": "2030-01-01T00:00:00"},  # of no time zone
        {"title": "x", "at": "0001-01-01T00:00:00Z"},
        {"title": "x", "at": "9999-12-31T23:59:59-12:00"},
        {"title": "x", "every": "0s"},
        {"title": "x", "every": "999999999d"},
        {"title": "x", "cron": "0 0 30 2 *"},
        {"title": "x", "cron": "@every 1s"},
        {"title": "x", "cron": "* * * * *", "timezone": "Mars/Olympus"},
        {"title": "x\ud800", "in": "1s"},
        {"title": "x\0", "in": "1s"},
        {"title": "x", "in": "1s", "priority": 6},
    ):
        response = api.post("/reminders", content=json.dumps(wrong))
        assert response.status_code == 422, (wrong, response.text)
    assert len(api.get("/reminders").json()) == 1
    assert api.get("/reminders/99999999999999999999999").status_code in (404, 422)

    receiver.mode = "refuse"
    lost = service.create(title="Ümläut ☕ \r\nX-Header: no", **{"in": "1s"})["id"]
    until(lambda: api.get(f"/reminders/{lost}").json()["state"] == "failed")
    assert api.post(f"/reminders/{lost}/pause").status_code == 409
    (dead,) = api.get("/dead").json()
    assert dead["reminder"] == lost and "answered 400" in dead["error"] and dead["attempts"] == 1
    receiver.mode = "accept"
    assert service.command("retry", dead["id"]) == []
    until(lambda: api.get(f"/reminders/{lost}").json()["state"] == "delivered")
    assert receiver.accepted() == [(dead["id"], "Ümläut ☕ \r\nX-Header: no")]
    (delivery,) = service.command("deliveries", lost)
    assert delivery["state"] == "done" and delivery["finished_at"]

    assert set(api.get("/openapi.json").json()["paths"]) > {"/reminders", "/reminders/{id}/pause", "/dead"}
    assert "swagger" in api.get("/docs").text
    stop(worker)
    stop(server)
    with pytest.raises(AssertionError, match="does not answer"):
        service.command("list")


def test_who_does_not_answer_is_asked_again(service, receiver):
    """And an app whose worker has ended, since its file cannot be worked with any more, ends as well."""
    service.environment["REMINDERS_TIMEOUT_S"] = "0.5"
    receiver.mode = "hang"
    server = service.serve()
    service.create(title="Tea", **{"in": "1s"})
    until(lambda: receiver.count("hang") > 1)
    assert len({key for key, _, _ in receiver.receipts}) == 1
    assert "next try by the backoff: http://127.0.0.1" in service.log()
    receiver.mode = "accept"
    until(lambda: service.all_of("delivered"))
    with honker.open(service.path) as db, db.transaction() as tx:
        tx.execute("DROP TABLE _honker_live")
    assert server.wait(SOON_S) != 0
    assert "the worker has ended" in service.log()
