"""Outboxes: what is delivered if and only if a transaction is committed."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

from . import _abi, _loop, _outcomes, _values
from ._call import call_async, call_sync, reporters
from ._consumer import WORKER_FALLBACK_S, Iterator
from ._hand import Hand, current
from ._library import lib
from ._outcomes import JobSettlement
from ._stop import Stop, stopping
from ._trouble import Trouble
from .enqueue import EnqueueOptions
from .errors import Error, InvalidError
from .job import Job, read_jobs
from .queue import Queue
from .task import Plan, is_coroutine_function

if TYPE_CHECKING:
    from .database import Database
    from .transaction import Transaction
    from .worker import Worker, WorkerOptions

# A thousand years: the delay doubles without an end of its own.
LONGEST_BACKOFF_S = 1000 * 366 * 86_400


class Outbox:
    """A queue, `_outbox:<name>`, and what delivers its payloads; made by `Database.outbox`. Any number of threads and
    tasks may use it. A delivery may happen more than once: whoever receives it should be able to tell, by the id of
    its job for instance, `honker.current_job().id`, which is the same each time.

    What the delivery raises is logged, and it is tried again; `Discard`, `Retryable` and `Snooze` say otherwise.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        delivery: Callable[[Any], Any],
        max_attempts: int,
        base_backoff_s: int,
        visibility_timeout_s: int,
    ) -> None:
        self._database = database
        self._delivery = delivery
        self._options = max_attempts, base_backoff_s, visibility_timeout_s
        self.name = name
        self.base_backoff_s = base_backoff_s
        self.queue: Queue = Queue(database, f"_outbox:{name}", visibility_timeout_s, max_attempts)

    def _same(self, delivery: Callable[[Any], Any], options: tuple[int, ...]) -> Outbox:
        if delivery != self._delivery or options != self._options:
            raise InvalidError(f"outbox {self.name!r} is already opened with another delivery or other options")
        return self

    def enqueue(self, payload: Any, tx: Transaction | None = None, **options: Unpack[EnqueueOptions]) -> int:
        """Adds what is to be delivered, as `Queue.enqueue` does: with `tx`, if and only if that is committed."""
        return self.queue.enqueue(payload, tx, **options)

    async def aenqueue(self, payload: Any, tx: Transaction | None = None, **options: Unpack[EnqueueOptions]) -> int:
        return await self.queue.aenqueue(payload, tx, **options)

    def run_once(self, worker: str) -> bool:
        """Delivers one, without waiting; whether there was one. If the delivery raises it is tried again after
        `base_backoff_s` seconds, twice as long each further time, and ends among the dead when its attempts are used
        up.

        Where no event loop runs; elsewhere there is `arun_once`.
        """

        async def once() -> bool:
            return await self.arun_once(worker)

        if _loop.running() is not None:
            raise RuntimeError("an event loop runs in this thread: await arun_once")
        return asyncio.run(once())

    async def arun_once(self, worker: str) -> bool:
        async with Courier(self, worker) as courier:
            job = await courier.anext(0)
            if job is None:
                return False
            await self._deliver(courier, job)
            return True

    async def run_worker(self, worker: str, stop_event: Stop | None = None) -> None:
        """Delivers, one after the other, and waits for what there is to deliver, until it is cancelled, or the event
        (asyncio's, threading's, ...) is set. A function that is no coroutine function runs in a thread; if what it
        returns can be awaited that is awaited. While a delivery runs, its claim is prolonged.

        A worker that is cancelled ends at once; what it had in hand is not acked, and delivered again when its claim is
        over. A locked file, a full disk and other errors that pass by themselves are logged and waited out; any other
        ends it.
        """
        trouble = Trouble(worker)
        async with Courier(self, worker) as courier, stopping(stop_event, courier) as stop:
            while not stop():
                try:
                    job = await courier.anext(stop.check_s)
                except Error as error:
                    if not error.transient:
                        raise
                    await trouble.amet(error, stop)
                    continue
                trouble.over()
                if job is not None:
                    await self._deliver(courier, job, stop)

    def worker(self, **options: Unpack[WorkerOptions]) -> Worker:
        """A worker that delivers, several at a time (`concurrency`), with the outbox's backoff. Whoever takes over from
        a process that died has its deliveries at once. The options are those of `Worker`.

        outbox.worker(concurrency=8, schedules=[]).run()
        """
        from .worker import Worker

        defaults: WorkerOptions = {
            "visibility_timeout_s": self.queue.visibility_timeout_s,
            "retry_base_s": max(0, self.base_backoff_s),
            "retry_max_s": LONGEST_BACKOFF_S,
            "retry_jitter": 0.0,
        }
        defaults.update(options)
        return Worker(self._database, self.queue, self._handler(), **defaults)

    def _handler(self) -> Callable[[Job], Any]:
        async def adeliver(job: Job) -> None:
            await self._delivery(job.payload)

        return adeliver if is_coroutine_function(self._delivery) else lambda job: self._delivery(job.payload)

    async def _deliver(self, courier: Courier, job: Job, stop: Callable[[], bool] = lambda: False) -> None:
        one = await _loop.beside(courier.keep(job), lambda: self._outcome(job))
        trouble = Trouble(courier.worker_id)
        while True:
            try:
                await self._database._arun(lambda: courier.settle(one))
                return trouble.over()
            except Error as problem:
                # What was done would be done again if this gave up at once.
                if not problem.transient or stop():
                    raise
                await trouble.amet(problem, stop)

    async def _outcome(self, job: Job) -> JobSettlement:
        plan = Plan(lambda: self._delivery(job.payload), is_coroutine_function(self._delivery))
        hand = job._hand = Hand(job, plan)
        try:
            error = hand.outcome(await self._attempt(hand))
        except BaseException:  # it is cancelled
            hand.cancel("stop")
            if hand.unsaved is not None:
                with contextlib.suppress(Error):
                    job.fail(_outcomes.message(hand.unsaved))
            raise
        one = _outcomes.settlement(job, plan, error)
        if error is not None and _outcomes.is_failure(error):
            _outcomes.report_failure(one, error, reporters)
        return one

    async def _attempt(self, hand: Hand) -> BaseException | None:
        """What the delivery has raised; raises what the worker is cancelled with."""
        if hand.plan.is_async:
            _, error = await call_async(hand)
        else:
            value, error = await _loop.required().run_sync(lambda: call_sync(hand, lambda _, value: value))
            if inspect.isawaitable(value):
                token = current.set(hand)
                try:
                    await value
                except BaseException as raised:
                    error = raised
                finally:
                    current.reset(token)
        if not (error is None or isinstance(error, Exception) or _loop.required().is_foreign(error)):
            raise error
        return error

    def __repr__(self) -> str:
        return f"<Outbox {self.name!r} of {self._database._name}>"


class Courier(Iterator[Job]):
    """What an outbox works with."""

    _free = "honker_outbox_free"

    def __init__(self, outbox: Outbox, worker: str) -> None:
        self._queue = outbox.queue
        self.worker_id = worker
        name, text = _values.text(outbox.name, "name"), _values.text(worker, "worker")
        opts = _abi.OUTBOX_OPTS.pack(
            _abi.OUTBOX_OPTS.size,
            0,
            outbox.queue.visibility_timeout_s,
            outbox.base_backoff_s,
            int(WORKER_FALLBACK_S * 1000),
        )
        super().__init__(outbox._database, lib.honker_outbox_new, name, len(name), text, len(text), opts)

    async def keep(self, job: Job) -> None:
        """Prolongs its claim again and again."""
        loop = _loop.required()
        while True:
            await loop.sleep(max(self._queue.visibility_timeout_s / 3, 0.1))
            try:
                await job.aheartbeat()
            except Error as error:
                if not error.transient:
                    return  # settling meets it again

    def settle(self, one: JobSettlement) -> None:
        """Nothing if it is somebody else's by now."""
        job, text = one.job, one.error.encode()
        match one.kind, one.delay_s:
            case "ack", _:
                self._database._call(lib.honker_outbox_delivered, self._handle, job.id)
            case "fail", _:
                job.fail(one.error)
            case "snooze", int(delay_s):
                job.snooze(delay_s)
            case _, None:
                self._database._call(lib.honker_outbox_failed, self._handle, job.id, job.attempts, text, len(text))
            case _, delay_s:
                job.retry(delay_s, one.error)

    def _look(self) -> Job | None:
        out = ctypes.c_void_p()
        status = self._database._call(lib.honker_outbox_next, self._handle, 0, ctypes.byref(out))
        if not self._found(status) or not out.value:
            return None
        try:
            return read_jobs(self._database, out.value, 1, self.worker_id, self._queue)[0]
        finally:
            lib.honker_jobs_free(out)

    def _undo(self, found: Job) -> None:
        found.release()
