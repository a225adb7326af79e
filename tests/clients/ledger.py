"""What a file must hold, from what its users said they did.

A `Ledger` follows every job from call to call. At most one call of a killed process is in doubt: the one it had
announced and not yet had an answer to. The file must then look exactly as before that call or exactly as after it;
anything in between is a call that was not atomic, and anything else a job that was lost or came back.
"""

from __future__ import annotations

import copy
import sqlite3
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# name: period, first boundary. Boundaries are our own, far from now; a tick's argument is what counts.
SCHEDULES = {"every-1": (1, 1_000_000_000), "every-2": (2, 1_000_000_000)}
# The jobs of the schedules expire this long after their boundary: it can be read off the job for ever.
EXPIRES_S = 2_000_000_000


class Job(NamedTuple):
    queue: str
    holder: str | None  # who has a valid claim
    attempts: int
    max_attempts: int


class Dead(NamedTuple):
    queue: str
    attempts: int
    max_attempts: int
    error: str


class Wrong(Exception):
    """The file, or an answer, is not what it must be."""


@dataclass
class Picture:
    """The state of a file, as far as it is compared."""

    live: dict[int, Job] = field(default_factory=dict)
    dead: dict[int, Dead] = field(default_factory=dict)
    orders: dict[int, int] = field(default_factory=dict)  # the job of each
    fires: dict[int, tuple[str, int]] = field(default_factory=dict)  # job: schedule, boundary
    next_fire_at: dict[str, int] = field(default_factory=lambda: {name: at for name, (_, at) in SCHEDULES.items()})
    events: list[int] = field(default_factory=list)
    schema: str = "new"

    @classmethod
    def of(cls, db: sqlite3.Connection) -> Picture:
        live = db.execute(
            "SELECT id, queue, iif(claim_expires_at >= unixepoch(), worker_id, NULL), attempts, max_attempts"
            " FROM _honker_live WHERE queue != 'ticks'"
        )
        dead = db.execute("SELECT id, queue, attempts, max_attempts, last_error FROM _honker_dead")
        fires = db.execute("SELECT id, payload, expires_at - ? FROM _honker_live WHERE queue = 'ticks'", (EXPIRES_S,))
        indexes = {
            name.removeprefix("_honker_")
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'index'")
        }
        watched = indexes & {"live_exceptions", "stream_topic", "live_pending_deadline"}
        schemas = {
            frozenset({"live_exceptions", "stream_topic"}): "new",
            frozenset({"live_pending_deadline"}): "old",
        }
        return cls(
            live={job: Job(*rest) for job, *rest in live},
            dead={job: Dead(*rest) for job, *rest in dead},
            orders=dict(db.execute("SELECT id, job FROM orders")),
            fires={job: tuple(rest) for job, *rest in fires},
            next_fire_at=dict(db.execute("SELECT name, next_fire_at FROM _honker_scheduler_tasks")),
            events=[offset for (offset,) in db.execute("SELECT offset FROM _honker_stream ORDER BY 1")],
            schema=schemas.get(frozenset(watched), f"half: {sorted(watched)}"),
        )

    def differences(self, other: Picture) -> list[str]:
        """What distinguishes this from `other`, for people."""
        lines = []
        for name in self.__dataclass_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine == theirs:
                continue
            if isinstance(mine, dict):
                for key in sorted(mine.keys() | theirs.keys()):
                    if mine.get(key) != theirs.get(key):
                        lines.append(f"{name}[{key}]: must be {mine.get(key)}, is {theirs.get(key)}")
            else:
                lines.append(f"{name}: must be {mine}, is {theirs}")
        return lines


class Ledger:
    def __init__(self) -> None:
        self.picture = Picture()
        self.gone: set[int] = set()  # acked or cancelled
        self.doubt: dict[str, Any] | None = None
        self.done = 0

    def read(self, said: list[dict[str, Any]]) -> None:
        """Follows what one process said."""
        for line in said:
            if "op" in line:
                self.doubt = line
            elif "answer" in line:
                call, self.doubt = self.doubt, None
                try:
                    getattr(self, call["op"])(call, line["answer"])
                except KeyError as error:
                    raise Wrong(f"{call}: no such job: {error}") from None
                except Wrong as error:
                    raise Wrong(f"{call}: {error}") from None
                self.done += 1

    def settle(self, actual: Picture) -> str | None:
        """Compares with the file. The operation that was in doubt and has happened after all, if any."""
        before = self.picture.differences(actual)
        call, self.doubt = self.doubt, None
        if not before:
            return None
        if call is None:
            raise Wrong("\n".join(["with no call in doubt:", *before[:20]]))
        kept = copy.deepcopy(self.picture)
        try:
            getattr(self, call["op"])(call, self.infer(call, actual))
            after = self.picture.differences(actual)
        except (Wrong, KeyError, ValueError) as error:
            self.picture, after = kept, [f"impossible: {error}"]
        if after:
            raise Wrong("\n".join([f"neither before nor after {call}", *before[:20], "or", *after[:20]]))
        return call["op"]

    def infer(self, call: dict[str, Any], actual: Picture) -> Any:
        """The answer that a call would have given, had it been seen. `settle` then checks that it makes sense."""
        op, live = call["op"], self.picture.live
        if op in ("enqueue", "order"):
            [job] = actual.live.keys() - live.keys()
            return job
        if op == "claim":
            now = actual.live
            return [(job, now[job].attempts) for job in live if job in now and now[job].attempts > live[job].attempts]
        if op == "ack_batch":
            return len(call["jobs"])
        if op == "sweep":
            return sum(job.queue == "stale" for job in live.values())
        if op == "tick":
            return [(job, *actual.fires[job]) for job in sorted(actual.fires.keys() - self.picture.fires.keys())]
        if op == "publish":
            return len(actual.events)
        return 1

    def expect(self, answer: Any, expected: Any) -> None:
        if answer != expected:
            raise Wrong(f"answered {answer}, must be {expected}")

    def dead_letter(self, job: int, error: str) -> None:
        row = self.picture.live.pop(job)
        self.picture.dead[job] = Dead(row.queue, row.attempts, row.max_attempts, error)

    def lapse(self) -> None:
        """All claims have been made to lapse."""
        live = self.picture.live
        live.update({job: row._replace(holder=None) for job, row in live.items()})

    # One for each operation: what it does, and what it must answer.

    def enqueue(self, call: dict[str, Any], job: int) -> None:
        if job in self.picture.live or job in self.picture.dead or job in self.gone or job in self.picture.fires:
            raise Wrong(f"job id {job} was used before")
        self.picture.live[job] = Job(call.get("queue", "q"), None, 0, call.get("max_attempts", 3))

    def order(self, call: dict[str, Any], job: int) -> None:
        self.enqueue(call, job)
        self.picture.orders[call["order"]] = job

    def claim(self, call: dict[str, Any], jobs: list[tuple[int, int]]) -> None:
        live = self.picture.live
        free = {job: row for job, row in live.items() if row.queue == "q" and row.holder is None}
        for job in [job for job, row in free.items() if row.attempts >= row.max_attempts]:
            del free[job]
            self.dead_letter(job, "max attempts exceeded")
        self.expect(len(jobs), min(call["n"], len(free)))
        for job, attempts in jobs:
            self.expect(attempts, free.pop(job).attempts + 1)
            live[job] = live[job]._replace(holder=call["holder"], attempts=attempts)

    def ack(self, call: dict[str, Any], answer: int) -> None:
        self.expect(answer, 1)
        del self.picture.live[call["job"]]
        self.gone.add(call["job"])

    cancel = ack

    def ack_batch(self, call: dict[str, Any], answer: int) -> None:
        self.expect(answer, len(call["jobs"]))
        for job in call["jobs"]:
            del self.picture.live[job]
            self.gone.add(job)

    def retry(self, call: dict[str, Any], answer: int) -> None:
        self.expect(answer, 1)
        row = self.picture.live[call["job"]]
        if row.attempts >= row.max_attempts:
            self.dead_letter(call["job"], "retried")
        else:
            self.picture.live[call["job"]] = row._replace(holder=None)

    def fail(self, call: dict[str, Any], answer: int) -> None:
        self.expect(answer, 1)
        self.dead_letter(call["job"], "failed")

    def sweep(self, _: dict[str, Any], answer: int) -> None:
        stale = [job for job, row in self.picture.live.items() if row.queue == "stale"]
        self.expect(answer, len(stale))
        for job in stale:
            self.dead_letter(job, "expired")

    def requeue(self, call: dict[str, Any], answer: int) -> None:
        self.expect(answer, 1)
        row = self.picture.dead.pop(call["job"])
        self.picture.live[call["job"]] = Job(row.queue, None, 0, row.max_attempts)

    def tick(self, call: dict[str, Any], fires: list[tuple[int, str, int]]) -> None:
        expected = []
        for name, (period, _) in SCHEDULES.items():
            boundaries = range(self.picture.next_fire_at[name], call["until"] + 1, period)
            expected += [(name, boundary) for boundary in boundaries]
            if boundaries:
                self.picture.next_fire_at[name] = boundaries[-1] + period
        self.expect([(name, boundary) for _, name, boundary in fires], expected)
        self.picture.fires.update({job: (name, boundary) for job, name, boundary in fires})

    def publish(self, _: dict[str, Any], offset: int) -> None:
        self.expect(offset, len(self.picture.events) + 1)
        self.picture.events.append(offset)

    def schema(self, call: dict[str, Any], answer: int) -> None:
        self.expect(answer, 1)
        self.picture.schema = call["schema"]
