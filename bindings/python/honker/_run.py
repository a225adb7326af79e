"""One run of a worker, from the first claim to the line in the log that says how it ended.
 It runs, then stops (what runs may finish), then cancels (what runs has been told), then releases (what still runs is
given back). A second signal jumps to the last. All of it is the loop's, but for handlers in threads.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import enum
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import _outcomes, _server
from ._call import call_async, call_sync, reporters
from ._hand import Hand
from ._outcomes import JobSettlement
from ._processes import ProcessDied, Processes
from ._stop import Stop, stopping
from ._threads import Threads
from ._trouble import Trouble
from .claim import CoreWorker, Lost
from .database import Database
from .errors import CannotOpenError, Error, InterruptedError, UnfinishedError, WatcherError
from .scheduler import Scheduler
from .task import Unplanned, registry

if TYPE_CHECKING:
    from .job import Job
    from .worker import Worker

log = logging.getLogger("honker.worker")

# For how long handlers may take to notice that they are cancelled, and for how long the last settlements are tried.
GRACE_S = 1.5
RETRY_S = 0.05
_BECOMES = {"ack": "done", "retry": "retried", "fail": "dead", "snooze": "snoozed", "release": "released"}


class Phase(enum.Enum):
    RUNNING = 1
    STOPPING = 2
    CANCELLED = 3
    RELEASED = 4


class Run:
    def __init__(self, worker: Worker, stop_event: Stop | None, signals: bool) -> None:
        self._worker = worker
        self._stop_event = stop_event
        self._signals = signals
        self._told = 0
        self._phase = Phase.RUNNING
        self._deadline: float | None = None
        self._core: CoreWorker | None = None
        self._hands: dict[int, Hand] = {}  # by serial: whose outcome is waited for
        self._running: set[Hand] = set()  # whose handler has not returned
        self._finished: list[JobSettlement] = []
        self._counts: Counter[str] = Counter()
        self._threads = Threads(worker.name)
        self._processes = (
            None if worker.processes is None else Processes(worker.processes, self._begin_timeout, self._returned)
        )
        self._trouble = Trouble(worker.name)
        self._crowded = Trouble(worker.name)
        self._crowded_until = 0.0
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()

    async def call(self) -> None:
        worker = self._worker
        log.info("%s begins: queues %s, %d at a time", worker.name, ", ".join(worker.queues), worker.concurrency)
        try:
            with self._listening():
                await self._serve()
        finally:
            self._threads.close()
            if self._processes is not None:
                await self._processes.close()
            counts = ", ".join(f"{self._counts[what]} {what}" for what in _BECOMES.values())
            log.info("%s ended: %s, %d running", self._worker.name, counts, len(self._running))
        if self._running:
            raise UnfinishedError(
                f"{self._worker.name}: {len(self._running)} handlers have not returned", running=len(self._running)
            )

    def stop(self) -> None:
        """For any thread."""
        try:
            self._loop.call_soon_threadsafe(self._signalled)
        except RuntimeError:
            pass  # it has ended

    def _signalled(self) -> None:
        self._told += 1
        self._nudge()

    def _nudge(self) -> None:
        if self._core is not None:
            self._core.nudge()

    @contextmanager
    def _listening(self) -> Iterator[None]:
        if not self._signals:
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        for number in before:
            try:
                self._loop.add_signal_handler(number, self._signalled)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: self.stop())
        try:
            yield
        finally:
            for number, handler in before.items():
                try:
                    self._loop.remove_signal_handler(number)
                except NotImplementedError:
                    pass
                if handler is not None:  # it is not Python's
                    signal.signal(number, handler)

    # The file.

    async def _serve(self) -> None:
        """With the file that is at the path now, again and again if it is replaced."""
        database = self._worker.database
        while True:
            own = None
            if database is None:
                database = own = await self._opened()
                if database is None:
                    return
            try:
                await self._serve_file(database)
                return
            except WatcherError as error:
                await self._trouble.amet(error, self._is_told)
            finally:
                if own is not None:
                    own.close()
            database = None

    async def _opened(self) -> Database | None:
        """None if it is told to stop before there is one."""
        worker = self._worker
        while not self._is_told():
            try:
                if worker.database is not None:
                    return worker.database._again()
                if not _server.is_url(worker.path) and not os.path.exists(worker.path):
                    raise CannotOpenError(f"{worker.path} does not exist yet")  # opening would make an empty one
                return Database(worker.path, **worker.database_options)
            except Error as error:
                if not (error.transient or isinstance(error, WatcherError)):
                    raise
                await self._trouble.amet(error, self._is_told)
        return None

    def _replaced(self, error: WatcherError) -> None:
        log.warning(
            "%s cancels the %d jobs that run and opens the file anew: %s", self._worker.name, len(self._running), error
        )
        for hand in self._running:
            hand.held = False
            hand.cancel("replaced")
        self._hands.clear()
        self._finished.clear()

    async def _serve_file(self, database: Database) -> None:
        worker = self._worker
        queues, fires = worker.queues, await self._schedules(database)
        core = self._core = CoreWorker(database, queues, worker.name, **worker.options)
        firing = asyncio.create_task(Scheduler(database).run()) if fires else None
        if firing is not None:
            firing.add_done_callback(lambda _: core.nudge())
        try:
            async with stopping(self._stop_event, core) as stop:
                self._stop = stop
                await self._work(database, core, firing)
        except WatcherError as error:
            self._replaced(error)
            raise
        finally:
            try:
                await self._give_back(core)
            finally:
                self._core = None
                core.close()
                if firing is not None:
                    firing.cancel()
                    await asyncio.wait([firing])

    async def _schedules(self, database: Database) -> bool:
        """Registers them; whether they are to be fired."""
        worker = self._worker
        periodic = [
            task for task in registry.values() if task.periodic is not None and task.queue.name in worker.queues
        ]
        if worker.handler is not None:
            periodic = []
        while True:
            try:
                worker.opened(database)
                for schedule in worker.schedules or []:
                    Scheduler(database).add(**schedule)
                for task in periodic:
                    task.schedule(database)
                return worker.schedules is not None or bool(periodic)
            except Error as error:
                if not error.transient or self._is_told():
                    raise
                await self._trouble.amet(error, self._is_told)

    # The loop.

    def _is_told(self) -> bool:
        return self._told > 0 or (self._stop_event is not None and self._stop_event.is_set())

    async def _work(self, database: Database, core: CoreWorker, firing: asyncio.Task[None] | None) -> None:
        interrupts = database._interrupts
        while True:
            core.expect_signals()  # before it is looked for what they tell
            self._advance()
            if self._is_over():
                return
            more = await self._turn(database, core)
            if interrupts != database._interrupts:
                raise InterruptedError("ended by interrupt")
            if firing is not None and firing.done() and not firing.cancelled():
                firing.result()
            if not more:
                await core.arest(self._until())

    def _until(self) -> float | None:
        """When to look again, whatever is signalled."""
        until = [time.monotonic() + self._stop.check_s] if self._stop.check_s and self._phase is Phase.RUNNING else []
        if self._deadline is not None:
            until.append(self._deadline)
        if self._crowded_until:
            until.append(self._crowded_until)
        return min(until, default=None)

    def _advance(self) -> None:
        if self._phase is Phase.RUNNING:
            if not self._is_told():
                return
            self._enter(Phase.STOPPING, self._worker.stop_timeout_s)
        late = self._deadline is not None and time.monotonic() >= self._deadline
        # What still runs was told before, when its job was lost.
        lost = not self._hands and not self._finished
        if self._phase is Phase.RELEASED or not (late or lost or self._told > 1):
            return
        for hand in self._running:
            hand.cancel("stop")
        if self._phase is Phase.STOPPING and self._told < 2 and not lost:
            self._enter(Phase.CANCELLED, GRACE_S)
        else:
            self._release()
            self._enter(Phase.RELEASED, GRACE_S)

    def _enter(self, phase: Phase, limit_s: float | None) -> None:
        self._phase = phase
        self._deadline = None if limit_s is None else time.monotonic() + limit_s

    def _release(self) -> None:
        """What still runs is given back."""
        for hand in list(self._hands.values()):
            if hand.unsaved is None:
                self._decide(hand, JobSettlement(hand.job, "release"))
            else:
                self._settle(hand, hand.unsaved)

    def _is_over(self) -> bool:
        if self._phase is Phase.RUNNING:
            return False
        if not self._finished and not self._running:
            return True
        if self._phase is Phase.RELEASED and self._deadline is not None and time.monotonic() >= self._deadline:
            if self._trouble.error is not None:
                raise self._trouble.error
            return True
        return False

    async def _turn(self, database: Database, core: CoreWorker) -> bool:
        """One commit of what is finished and of new claims: whether there may be more, or more to do, at once."""
        now = time.monotonic()
        if self._crowded_until and now >= self._crowded_until:
            self._crowded_until = 0.0
        free = self._worker.concurrency - len(self._running)
        finished, self._finished = self._finished, []
        takes = self._phase is Phase.RUNNING and not self._crowded_until
        count = free if takes else 0
        try:
            turn = await core.aturn(finished, count)
        except Error as error:
            self._settled(database, core, finished, None)
            if not error.transient:
                raise
            await self._trouble.amet(error, self._is_hurried)
            return True
        except BaseException:
            self._settled(database, core, finished, None)
            raise
        wrong = self._settled(database, core, finished, turn.refusal)
        for one in turn.lost:
            self._lose(one)
        for job in turn.jobs or []:
            self._start(job)
        if wrong is not None:
            await self._trouble.amet(wrong, self._is_hurried)
        else:
            self._trouble.over()
        if self._phase is not Phase.RUNNING and finished:
            return True  # it may be over
        # What was finished without being run is settled at once.
        return bool(self._finished) or not (turn.jobs is None or turn.filled(count))

    def _is_hurried(self) -> bool:
        """Ends a pause."""
        if self._phase is Phase.RUNNING:
            return self._is_told()
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _settled(
        self, database: Database, core: CoreWorker, settlements: list[JobSettlement], refusal: Error | None
    ) -> Error | None:
        """Counts what is settled and keeps what may be, later; an error of those. What the file refuses for good is
        let go of: it lapses, and must not keep the others waiting. `refusal` says why.
        """
        wrong: Error | None = None
        for one in settlements:
            if one.committed:
                if one.status == 0:  # otherwise somebody else has settled it, its handler perhaps
                    self._counts[_BECOMES[one.kind]] += 1
                continue
            error = database._error_of(one.status)
            if error.transient:
                self._finished.append(one)
                wrong = error
                continue
            log.error(
                "job %d of %s could not be settled, its claim lapses, and it will be tried again: %s",
                one.job.id,
                one.job.queue_name,
                refusal or error,
            )
            try:
                core.put_down(one.job)
            except Error as second:
                if not second.transient:
                    raise
        return wrong

    def _lose(self, lost: Lost) -> None:
        hand = self._hands.get(lost.serial)
        if hand is None or (hand.settled and lost.reason == "gone"):  # by its handler, which goes on
            return
        del self._hands[lost.serial]
        hand.held = False
        job = hand.job
        what = (
            "ran for too long and is retried"
            if lost.reason == "timeout"
            else f"is not this worker's any more ({lost.reason})"
        )
        log.warning(
            "job %d of %s, attempt %d of %d, %s; its handler is told",
            job.id,
            job.queue_name,
            job.attempts,
            job.max_attempts,
            what,
        )
        hand.cancel(lost.reason)

    # The handlers.

    def _start(self, job: Job) -> None:
        try:
            hand = Hand(job, self._worker.plan(job))
        except Unplanned as error:
            log.error("job %d of %s is dead: %s", job.id, job.queue_name, error)
            self._finished.append(JobSettlement(job, "fail", error=_outcomes.message(error)))
            return
        except Exception as error:  # what has to be imported for it cannot be, for instance
            one = JobSettlement(job, "retry", None, _outcomes.report(error))
            self._finished.append(one)
            _outcomes.report_failure(one, error, reporters)
            return
        job._hand = hand
        self._hands[job.serial] = hand
        self._running.add(hand)
        try:
            self._begin(hand)
            self._crowded.over()
        except (RuntimeError, OSError) as error:  # no thread, or process, can be had
            self._hands.pop(job.serial)
            self._running.discard(hand)
            self._finished.append(JobSettlement(job, "release"))
            self._crowded_until = time.monotonic() + self._crowded.met(error)

    def _begin(self, hand: Hand) -> None:
        plan = hand.plan
        if self._processes is not None:
            self._processes.start(hand)
        elif plan.is_async:
            task = self._loop.create_task(call_async(hand))
            task.add_done_callback(lambda task: self._returned(hand, *_outcome_of(task)))
            hand.task = task
        else:
            self._threads.start(lambda: self._call_in_thread(hand))
        if self._processes is None:
            self._begin_timeout(hand)

    def _begin_timeout(self, hand: Hand) -> None:
        if hand.plan.timeout_s is not None:
            hand.timer = self._loop.call_later(hand.plan.timeout_s, self._timed_out, hand)

    def _call_in_thread(self, hand: Hand) -> None:
        value, error = call_sync(hand, self._await_in_loop)
        try:
            self._loop.call_soon_threadsafe(self._returned, hand, value, error)
        except RuntimeError:
            pass  # the loop has ended without it

    def _await_in_loop(self, hand: Hand, value: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await value

        def begin() -> None:
            hand.task = future = asyncio.ensure_future(wait())
            if hand.reason is not None:
                future.cancel()
            future.add_done_callback(lambda _: done.set_result(None))

        done: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._loop.call_soon_threadsafe(begin)
        done.result()
        assert hand.task is not None
        return hand.task.result()

    def _timed_out(self, hand: Hand) -> None:
        if not hand.held:
            return
        seconds = f"{hand.plan.timeout_s:g}"
        log.warning(
            "job %d of %s, attempt %d of %d, ran for more than %s s and is %s; %s",
            hand.job.id,
            hand.job.queue_name,
            hand.job.attempts,
            hand.job.max_attempts,
            seconds,
            "retried" if hand.unsaved is None else "discarded",
            self._what_ends(hand),
        )
        if hand.unsaved is None:
            self._decide(hand, JobSettlement(hand.job, "retry", hand.plan.retry_delay_s, f"timeout after {seconds}s"))
        else:
            self._settle(hand, hand.unsaved)
        hand.cancel("timeout")
        self._nudge()

    def _what_ends(self, hand: Hand) -> str:
        if hand.process is not None:
            return "its process is killed"
        if hand.plan.is_async:
            return "its task is cancelled"
        return "its thread goes on, and its place is taken until that returns"

    def _settle(self, hand: Hand, error: BaseException | None) -> None:
        one = _outcomes.settlement(hand.job, hand.plan, error)
        self._decide(hand, one)
        if error is not None and _outcomes.is_failure(error):
            _outcomes.report_failure(one, error, reporters)

    def _decide(self, hand: Hand, settlement: JobSettlement) -> None:
        hand.held = False
        self._hands.pop(hand.job.serial, None)
        self._finished.append(settlement)

    def _returned(self, hand: Hand, value: Any, error: BaseException | None) -> None:
        if hand.timer is not None:
            hand.timer.cancel()
        if hand.held and error is None and hand.plan.save_result:
            saving = self._loop.create_task(self._save(hand, value))
            saving.add_done_callback(lambda _: self._leave(hand, None))
            hand.timer = None
            hand.task = None
            return
        self._leave(hand, error)

    async def _save(self, hand: Hand, value: Any) -> None:
        """What cannot be saved is logged: a handler that has succeeded is not called again for it."""
        job = hand.job
        try:
            await job.queue._database.asave_result(job.id, value, hand.plan.result_ttl_s)
        except Exception:
            log.exception("the result of job %d of %s cannot be saved", job.id, job.queue_name)

    def _leave(self, hand: Hand, error: BaseException | None) -> None:
        self._running.discard(hand)
        error = hand.outcome(error)
        try:
            if not hand.held:
                if error is not None and not (_outcomes.is_cancellation(error) or isinstance(error, ProcessDied)):
                    log.info("the handler of job %d, which was lost, raised: %s", hand.job.id, _outcomes.message(error))
            elif hand.reason == "stop" and _outcomes.is_cancellation(error):
                self._decide(hand, JobSettlement(hand.job, "release"))
            else:
                self._settle(hand, error)
        finally:
            self._nudge()

    async def _give_back(self, core: CoreWorker) -> None:
        """When it is left otherwise than by being told to, as well: by an error, or since its task was cancelled."""
        if not self._hands and not self._finished:
            return
        for hand in self._running:
            hand.cancel("stop")
        tasks = [hand.task for hand in self._running if hand.task is not None]
        if tasks:
            try:
                await asyncio.wait(tasks, timeout=GRACE_S)
                await asyncio.sleep(0)  # what they have returned is taken
            except asyncio.CancelledError:
                pass
        self._release()
        latest = time.monotonic() + GRACE_S
        while self._finished and not core.closed:
            finished, self._finished = self._finished, []
            try:
                core.turn(finished, 0)
            except Error:
                pass
            self._settled(core._database, core, finished, None)
            if time.monotonic() >= latest:
                return
            if self._finished:
                time.sleep(RETRY_S)

    # One job after the other.

    async def due(self, limit: int | None) -> int:
        worker = self._worker
        database = worker.database
        own = None if database is not None else Database(worker.path, **worker.database_options)
        database = database or own
        assert database is not None
        count = 0
        options = {**worker.options, "heartbeat": False, "rescue": False}
        core = self._core = CoreWorker(database, worker.queues, worker.name, **options)
        try:
            while limit is None or count < limit:
                turn = await core.aturn([], 1)
                if not turn.jobs:
                    if turn.jobs is None:
                        return count
                    continue
                self._start(turn.jobs[0])
                while self._hands:
                    core.expect_signals()
                    await core.arest(None)
                finished, self._finished = self._finished, []
                await core.aturn(finished, 0)
                self._settled(database, core, finished, None)
                if self._crowded.error is not None:  # it was given back, and would be found again
                    raise self._crowded.error
                count += 1
            return count
        finally:
            self._core = None
            self._threads.close()
            if self._processes is not None:
                await self._processes.close()
            core.close()
            if own is not None:
                own.close()


def _outcome_of(task: asyncio.Task[tuple[Any, BaseException | None]]) -> tuple[Any, BaseException | None]:
    """It contains what is raised, unless it was cancelled before it began."""
    return (None, asyncio.CancelledError()) if task.cancelled() else task.result()
