"""What a request of the suite says, and what the adapter keeps for it."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import honker

UNIQUE = ("unique_key", "unique_until", "unique_for_s", "on_conflict")


class Otherwise(Exception):
    """Ends a request with something else than `ok`."""

    def __init__(self, **answer: Any) -> None:
        super().__init__(str(answer))
        self.answer = answer


class Runner:
    """A coroutine function that runs in a loop of its own until it is closed."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(function(self._stop)))
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        self.stop()
        self._thread.join()


class HandlerRun(Runner):
    """A worker whose handler does what the script says, and what has happened to that."""

    def __init__(self, queue_of: honker.Queue, name: str, script: list[str]) -> None:
        self._seen: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._script = script
        self._calls = 0
        worker = honker.Worker(
            queue_of._database,
            queue_of,
            self._handle,
            concurrency=1,
            name=name,
            visibility_timeout_s=queue_of.visibility_timeout_s,
            stop_timeout_s=0,
        )
        super().__init__(worker.arun)

    def _handle(self, job: honker.Job) -> None:
        what = self._script[min(self._calls, len(self._script) - 1)]
        self._calls += 1
        self._say(job, what="called")
        if what == "wait":
            job.wait_cancelled()
            self._say(job, what="told", reason=job.cancelled)
            job.check()
        elif what != "ok":
            raise RuntimeError(what)

    def _say(self, job: honker.Job, **happened: Any) -> None:
        at_us = time.time_ns() // 1000
        self._seen.put({**happened, "id": job.id, "attempts": job.attempts, "worker": job.worker_id, "at_us": at_us})

    def next(self, timeout: float | None) -> dict[str, Any] | None:
        try:
            return self._seen.get(timeout=timeout) if timeout != 0 else self._seen.get_nowait()
        except queue.Empty:
            return None


class ScriptedOutbox:
    """An outbox whose deliveries go as the script says."""

    def __init__(self, database: honker.Database, name: str, script: list[str], options: dict[str, Any]) -> None:
        self.calls: list[Any] = []
        self._script = script
        self.outbox = database.outbox(name, self.deliver, **options)

    def deliver(self, payload: Any) -> None:
        self.calls.append(payload)
        what = self._script[min(len(self.calls), len(self._script)) - 1]
        if what != "ok":
            raise RuntimeError(what)


class Refused:
    """What has no name that can be written: said by the first use, as most packages do."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        if name in ("close", "woken", "closed"):
            raise AttributeError(name)
        raise self._error


class Request:
    """One request, with what most operations do with it."""

    def __init__(self, testee: Any, keys: dict[str, Any]) -> None:
        self.testee = testee
        self.keys = keys

    def __getitem__(self, key: str) -> Any:
        return value(self.keys[key])

    def __contains__(self, key: str) -> bool:
        return key in self.keys

    @property
    def on(self) -> Any:
        return self.testee.handles[self.keys["on"]]

    def payload(self, key: str = "payload") -> Any:
        return payload(self.keys[key])

    def keep(self, make: Callable[[], Any]) -> None:
        self.testee.drop(self.keys["as"])
        self.testee.handles[self.keys["as"]] = make()

    def keep_unless_refused(self, make: Callable[[], Any]) -> None:
        try:
            self.keep(make)
        except honker.EncodingError as error:
            refused = Refused(error)
            self.keep(lambda: refused)

    def options(self, *same: str, **others: str) -> dict[str, Any]:
        """The arguments that were given, under the package's names."""
        names = {name: name for name in same} | others
        return {name: self[key] for name, key in names.items() if key in self}

    @property
    def tx(self) -> dict[str, Any]:
        return {"tx": self.testee.handles[self.keys["tx"]]} if "tx" in self else {}

    def enqueue_options(self) -> dict[str, Any]:
        given = self.options(
            "run_at",
            "priority",
            "metadata",
            "concurrency_key",
            "max_run_s",
            *UNIQUE,
            delay="delay_s",
            expires="expires_s",
        )
        if "batch_id" in self:
            given["batch"] = self["batch_id"]
        if "member" in self:
            member = self["member"]
            known = self.testee.jobs.get((member["job_id"], member["worker_id"]))
            if known is None:  # the suite tries those that never were
                known = honker.Job(None, member["worker_id"], member["job_id"], b"", ())  # type: ignore[arg-type]
            given["member"] = known
        return given | self.tx

    @property
    def timeout(self) -> float | None:
        ms = self.keys["timeout_ms"]
        return None if ms < 0 else ms / 1000

    def give(self, jobs: list[honker.Job], serials: bool = False) -> list[dict[str, Any]]:
        for job in jobs:
            self.testee.jobs[job.id, job.worker_id] = job
        return [
            {
                "id": job.id,
                "queue": job.queue_name,
                "payload": stored(job.payload),
                "worker": job.worker_id,
                "attempts": job.attempts,
                **({"metadata": job.metadata} if job.metadata else {}),
                **({"serial": job.serial} if serials else {}),
            }
            for job in jobs
        ]


def value(given: Any) -> Any:
    """A value of the case: texts that are not UTF-8 are spelt out."""
    if isinstance(given, dict):
        if "$bytes" in given:
            return bytes.fromhex(given["$bytes"]).decode(errors="surrogateescape")
        if "$hex" in given:
            return bytes.fromhex(given["$hex"])
    return given


def payload(given: Any) -> Any:
    if isinstance(given, dict) and ("$text" in given or "$bytes" in given):
        return honker.RawText(given["$text"] if "$text" in given else value(given))
    return given


def stored(given: Any) -> Any:
    return {"$text": str(given)} if isinstance(given, honker.RawText) else given


def row(given: dict[str, Any]) -> dict[str, Any]:
    result = given.get("result")
    texts = {} if result is None else {"result": json.dumps(result, separators=(",", ":"))}
    return {**given, **texts, "payload": stored(given["payload"])}


def event(given: honker.Event) -> dict[str, Any]:
    return {**given._asdict(), "payload": stored(given.payload)}


def unless_none(given: Any, outcome: str) -> Any:
    if given is None:
        raise Otherwise(outcome=outcome)
    return given


def true(given: bool, outcome: str = "LOST") -> None:
    if not given:
        raise Otherwise(outcome=outcome)
