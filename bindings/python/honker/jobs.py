"""Jobs of all kinds, to look at and to act on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, Unpack

from . import _values
from ._library import lib
from .batch import Batch
from .enqueue import options_text
from .errors import InvalidError
from .queue import Queue, _row

if TYPE_CHECKING:
    from .database import Database
    from .transaction import Transaction

PAGE = 1000


class Applied(NamedTuple):
    """How many jobs an action has changed, and how many it passed over because another job has their unique key, or
    because the file refuses the change.
    """

    changed: int
    conflicts: int


State = Literal["due", "delayed", "processing", "blocked", "dead", "done"]


class JobConditions(TypedDict, total=False):
    """Those of `Database.jobs`, all of which a job has to fulfil. None is no condition, but an error.

    queue: its name, or a Queue.
    state: one or a list of "due", "delayed", "processing", "blocked" (by its concurrency key), "dead" and "done".
    min_id, max_id, created_from, created_to, ended_from, ended_to: bounds, inclusive; times are Unix seconds.
    worker_id, unique_key, batch: what it has.
    metadata: texts, all of which it has.
    error: a part of its error's text.
    order: "newest" (the default) or "oldest" first.
    """

    queue: str | Queue
    state: State | Sequence[State]
    min_id: int
    max_id: int
    worker_id: str
    unique_key: str
    batch: Batch | int
    metadata: Mapping[str, str]
    error: str
    created_from: int
    created_to: int
    ended_from: int
    ended_to: int
    order: Literal["newest", "oldest"]


class Jobs:
    """The live, dead and done jobs that a filter finds; made by `Database.jobs`. Nothing is read before it is asked
    for, and then a page at a time. Each job is a dict with the keys id, queue, payload, state, priority, run_at,
    worker_id, claim_expires_at, attempts, max_attempts, created_at, expires_at, last_error, died_at, finished_at,
    result, metadata, unique_key, concurrency_key and batch_id; what it does not have is None. `state` is "due",
    "delayed", "blocked", "processing", "dead" or "done".

        for job in db.jobs(queue="emails", state="dead", error="503"):
            print(job["payload"])
        db.jobs(queue="emails", state="dead", error="503").retry().changed

    An action takes as many transactions of a thousand jobs at most as it needs, and looks at each job again. One that
    was ended in the middle has done a part, and may be called again. With a `tx` all of it is that transaction's.
    """

    def __init__(self, database: Database, conditions: JobConditions, tx: Transaction | None) -> None:
        paged = {"limit", "page_size", "cursor"} & set(conditions)
        if paged:
            raise TypeError(f"{' and '.join(sorted(paged))}: the page_size and cursor are arguments of page()")
        self._database = database
        self._conditions = conditions
        self._tx = tx

    def where(self, **conditions: Unpack[JobConditions]) -> Jobs:
        """Those that fulfil these conditions as well."""
        return Jobs(self._database, {**self._conditions, **conditions}, self._tx)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """What is enqueued and ends meanwhile may or may not be among them."""
        cursor = None
        while True:
            page = self.page(cursor=cursor)
            yield from page["jobs"]
            cursor = page["cursor"]
            if cursor is None:
                return

    def page(self, page_size: int = 100, cursor: int | None = None) -> dict[str, Any]:
        """One page: `jobs`, `page_size` of them at most (1 to 1,000; there may be fewer, also none, although there is a
        next page), and `cursor`, for the next one; None for the last.
        """
        text = self._filter(page_size, cursor)
        page = self._database._json(self._database._read, self._tx, lib.honker_job_list, text, len(text))
        return {**page, "jobs": [_row(job) for job in page["jobs"]]}

    def apply(self, action: str | dict[str, Any], page_size: int = PAGE, cursor: int | None = None) -> dict[str, Any]:
        """Does an action to one page of them, of `page_size` jobs at most (1 to 1,000): "retry", "run_now", "cancel",
        "delete", {"move": queue} or {"priority": number}. A dict with the keys changed, conflicts, left (None where
        that would have to be counted) and cursor.
        """
        text = self._filter(page_size, cursor)
        what = options_text(action) if isinstance(action, dict) else _values.text(action, "action")
        page: dict[str, Any] = self._database._json(
            self._database._write, self._tx, lib.honker_job_apply, text, len(text), what, len(what)
        )
        return page

    def retry(self) -> Applied:
        """Dead jobs become due, with all of their attempts."""
        return self._apply_to_all("retry")

    def run_now(self) -> Applied:
        """Delayed jobs become due."""
        return self._apply_to_all("run_now")

    def cancel(self) -> Applied:
        """Live jobs are removed; handlers of those that run are told."""
        return self._apply_to_all("cancel")

    def delete(self) -> Applied:
        """Removes jobs, also dead and done ones."""
        return self._apply_to_all("delete")

    def move(self, queue: str | Queue) -> Applied:
        """Jobs that wait, and dead ones, go to another queue."""
        return self._apply_to_all({"move": queue.name if isinstance(queue, Queue) else queue})

    def prioritize(self, priority: int) -> Applied:
        """Live jobs have another priority."""
        return self._apply_to_all({"priority": priority})

    def _apply_to_all(self, action: str | dict[str, Any]) -> Applied:
        changed = conflicts = 0
        cursor = None
        while True:
            page = self.apply(action, cursor=cursor)
            changed += page["changed"]
            conflicts += page["conflicts"]
            cursor = page["cursor"]
            if cursor is None:
                return Applied(changed, conflicts)

    def _filter(self, page_size: int, cursor: int | None) -> bytes:
        size = _values.integer(page_size, "page_size")
        if not 1 <= size <= PAGE:
            raise InvalidError(f"page_size, the limit of a page, must be 1 to {PAGE}, not {size}")
        given: dict[str, Any] = {**self._conditions, "limit": size}
        if cursor is not None:
            given["cursor"] = cursor
        if "batch" in given:
            batch = given.pop("batch")
            given["batch_id"] = batch.id if isinstance(batch, Batch) else batch
        if isinstance(given.get("queue"), Queue):
            given["queue"] = given["queue"].name
        return options_text(given)  # what is None by mistake is refused, and does not mean all jobs

    def __repr__(self) -> str:
        return f"<Jobs {self._conditions} of {self._database._name}>"
