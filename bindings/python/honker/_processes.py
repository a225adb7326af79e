"""Processes for tasks, each with a database of its own. They are spawned: what a fork copies, SQLite and threads do
not survive.

A child runs one job at a time, in its main thread. It ends at once when its parent does, whose jobs others then have.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from . import _outcomes, payload
from ._call import call_async, call_sync
from ._hand import Hand
from .database import Database
from .job import Job
from .outcome import Discard, Retryable, Snooze
from .payload import RawText
from .task import plan

log = logging.getLogger("honker.worker")
# How often it is looked whether a process that says nothing is alive.
LOOK_S = 1.0
_context = multiprocessing.get_context("spawn")


class ProcessDied(RuntimeError):
    """The process that ran the job is gone."""


class RemoteError(RuntimeError):
    """What was raised in a child; its cause has the traceback as a text."""


class RemoteTraceback(Exception):
    pass


class TargetError(ValueError):
    """There is no database where it should be."""


def load(target: str) -> Database:
    """The database that a module has. What the module raises passes."""
    module, colon, name = target.partition(":")
    if not (module and colon and name):
        raise TargetError(f"{target!r} has to be MODULE:VARIABLE, such as app.jobs:db")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise TargetError(str(error)) from None
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise TargetError(f"there is no {name!r} in {module}") from None
    if not isinstance(found, Database):
        raise TargetError(f"{target} has to be an open honker.Database, and is a {type(found).__name__}")
    return found


class Child:
    """A process, as its parent sees it. Of the parent's loop, but for the thread that reads what it says."""

    def __init__(self, owner: Processes) -> None:
        self._owner = owner
        self._pipe, theirs = _context.Pipe()
        self.hand: Hand | None = None
        self._process: BaseProcess = _context.Process(
            target=_live, args=(theirs, owner.target), name="honker-task", daemon=True
        )
        self._process.start()
        theirs.close()
        threading.Thread(target=self._read, name="honker-task-reader", daemon=True).start()

    def run(self, hand: Hand) -> None:
        self.hand = hand
        hand.process = self
        job = hand.job
        self._send(("job", job.queue_name, job.worker_id, job.id, job._text, job._view))

    def cancel(self, reason: str) -> None:
        """One that exceeds its time is killed."""
        if reason == "timeout":
            self.kill()
        else:
            self._send(("cancel", self.hand and self.hand.job.serial, reason))

    def kill(self) -> None:
        self._process.kill()

    async def ended(self) -> None:
        while self._process.exitcode is None:
            await asyncio.sleep(0.01)

    def _send(self, message: tuple[Any, ...]) -> None:
        try:
            self._pipe.send(message)
        except OSError:
            pass  # it is dead, which its reader finds

    def _read(self) -> None:
        loop = self._owner.loop
        while True:
            message = self._next()
            try:
                loop.call_soon_threadsafe(self._owner.heard, self, message)
            except RuntimeError:
                return  # the loop has ended
            if message is None:
                return

    def _next(self) -> tuple[Any, ...] | None:
        """None if it is dead. What it has forked may keep the pipe open, so that this does not end."""
        try:
            while not self._pipe.poll(LOOK_S):
                if self._process.exitcode is not None and not self._pipe.poll(0):
                    return None
            message: tuple[Any, ...] = self._pipe.recv()
            return message
        except (EOFError, OSError):
            self._process.join()
            return None

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode


class Processes:
    """`began` is told when a child has got so far, since it takes a while to import the tasks."""

    def __init__(
        self,
        target: str,
        began: Callable[[Hand], None],
        returned: Callable[[Hand, Any, BaseException | None], None],
    ) -> None:
        self.target = target
        self._began = began
        self.loop = asyncio.get_running_loop()
        self._returned = returned
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._closed = False

    def start(self, hand: Hand) -> None:
        child = self._idle.pop() if self._idle else Child(self)
        self._all.add(child)
        child.run(hand)

    def heard(self, child: Child, message: tuple[Any, ...] | None) -> None:
        match message:
            case ("began",):
                if child.hand is not None:
                    self._began(child.hand)
                return
            case ("unsaved", serial, text):
                if child.hand is not None and child.hand.job.serial == serial:
                    child.hand.discard(Discard(text))
                return
            case ("settled", serial):
                if child.hand is not None and child.hand.job.serial == serial:
                    child.hand.settles()
                return
        hand, child.hand = child.hand, None
        if message is None:
            self._all.discard(child)
            if child in self._idle:
                self._idle.remove(child)
            error: BaseException | None = ProcessDied(f"the process that ran it died, with exit code {child.exit_code}")
            value = None
        else:
            if not self._closed:
                self._idle.append(child)
            value, error = _result(message)
        if hand is not None:
            self._returned(hand, value, error)

    async def close(self) -> None:
        """What runs is killed."""
        self._closed = True
        children = list(self._all)
        for child in children:
            child.kill()
        for child in children:
            await child.ended()


def _result(message: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
    match message:
        case ("done", text):
            return RawText(text), None
        case ("snooze", text, delay_s):
            return None, Snooze(delay_s, text)
        case ("retry", text, delay_s):
            return None, Retryable(text, delay_s)
        case ("discard", text):
            return None, Discard(text)
        case ("cancelled",):
            return None, asyncio.CancelledError()
        case ("raised", text, report):
            error = RemoteError(text)
            error.__cause__ = RemoteTraceback(f"\n{report}")
            return None, error
    raise AssertionError(message)


# In the child.


def _live(pipe: Connection, target: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent's, who tells
        signal.signal(number, signal.SIG_IGN)
    jobs: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
    lives = _Life(pipe)
    threading.Thread(target=_hear, args=(pipe, jobs, lives), daemon=True).start()
    database = load(target)
    while True:
        name, worker_id, id, text, view = jobs.get()
        job = Job(database._known_queue(name), worker_id, id, text, view)
        lives.tell("began")
        lives.tell(*lives.run(job))


def _hear(pipe: Connection, jobs: queue.SimpleQueue[tuple[Any, ...]], lives: _Life) -> None:
    while True:
        try:
            kind, *rest = pipe.recv()
        except (EOFError, OSError):
            os._exit(1)  # nobody is there to be told what comes of the job
        if kind == "job":
            jobs.put(tuple(rest))
        else:
            lives.cancel(*rest)


class _ChildHand(Hand):
    """The parent has to know of what is not saved, since it may kill this process, and of what is settled here."""

    __slots__ = ("_life",)

    def __init__(self, job: Job, life: _Life) -> None:
        super().__init__(job, plan(job))
        self._life = life

    def discard(self, unsaved: Discard) -> None:
        super().discard(unsaved)
        self._life.tell("unsaved", self.job.serial, _outcomes.message(unsaved))

    def settles(self) -> None:
        super().settles()
        self._life.tell("settled", self.job.serial)


class _Life:
    """The job that runs. `cancel` is for the thread that hears, `tell` for any."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._telling = threading.Lock()
        self._lock = threading.Lock()
        self._hand: Hand | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, job: Job) -> tuple[Any, ...]:
        try:
            hand = _ChildHand(job, self)
        except Exception as problem:  # the parent has the task
            return "discard", _outcomes.message(problem)
        job._hand = hand
        with self._lock:
            self._hand = hand
        if hand.plan.is_async:
            value, error = asyncio.run(self._await(hand, lambda: call_async(hand)))
        else:
            value, error = call_sync(hand, lambda hand, value: asyncio.run(self._await(hand, lambda: value)))
        with self._lock:
            self._hand = None
        try:
            return _message(hand, value, hand.outcome(error))
        except Exception as wrong:  # a subclass of ours without what it should have
            return "raised", _outcomes.message(wrong), _outcomes.report(wrong)

    def tell(self, *message: Any) -> None:
        with self._telling:
            self._pipe.send(message)

    async def _await(self, hand: Hand, call: Callable[[], Awaitable[Any]]) -> Any:
        async def wait() -> Any:
            return await call()

        task = asyncio.ensure_future(wait())
        with self._lock:
            self._loop, hand.task = asyncio.get_running_loop(), task
            if hand.reason is not None:
                task.cancel()
        try:
            return await task
        finally:
            with self._lock:
                self._loop = hand.task = None

    def cancel(self, serial: int, reason: str) -> None:
        with self._lock:
            hand = self._hand
            if hand is None or hand.job.serial != serial:
                return
            if self._loop is not None:
                self._loop.call_soon_threadsafe(hand.cancel, reason)
            else:
                hand.cancel(reason)


def _message(hand: Hand, value: Any, error: BaseException | None) -> tuple[Any, ...]:
    match error:
        case None if not hand.plan.save_result:
            return "done", "null"
        case None:
            try:
                return "done", payload.encode(value, "result").decode()
            except (TypeError, ValueError):
                log.exception("the result of job %d of %s cannot be saved", hand.job.id, hand.job.queue_name)
                return "done", "null"
        case Snooze():
            return "snooze", _outcomes.message(error), error.delay_s
        case Retryable():
            return "retry", _outcomes.message(error), error.delay_s
        case Discard():
            return "discard", _outcomes.message(error)
    if hand.reason is not None and _outcomes.is_cancellation(error):
        return ("cancelled",)
    return "raised", _outcomes.message(error), _outcomes.report(error)
