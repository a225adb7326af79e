"""A request to the adapter of the SQL functions, the handles that it names, and the values in it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from database import Database, Outcome, Transaction, call

if TYPE_CHECKING:
    from testee import Testee


class Named:
    """A queue, a topic or a lock: its name, in a database, and the other arguments that its functions want."""

    def __init__(self, db: Database, name: Any, **more: Any):
        self.db, self.name, self.more = db, name, more

    def close(self) -> None:
        if self.more.pop("held", False):
            with self.db.use() as connection:
                call(connection, "honker_lock_release", self.name, self.more["owner"])


def to_text(value: Any) -> Any:
    """What is stored for a payload or a result."""
    match value:
        case {"$text": text}:
            return text
        case {"$bytes": _}:
            return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def from_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=int)  # int refuses NaN and Infinity, as JSON does.
    except ValueError:
        return {"$text": text}


def with_payload(row: dict) -> dict:
    return {**row, "payload": from_text(row["payload"])}


class Request:
    """One request, and what most operations do with it."""

    def __init__(self, testee: Testee, keys: dict):
        self.testee, self.keys = testee, keys

    def __getitem__(self, key: str) -> Any:
        return self.keys[key]

    def get(self, key: str, default: Any = None) -> Any:
        return self.keys.get(key, default)

    @property
    def on(self) -> Any:
        return self.testee.handles[self["on"]]

    def use(self) -> contextlib.AbstractContextManager[Any]:
        on = self.testee.handles[self["tx"]] if "tx" in self.keys else self.on
        return on.use() if isinstance(on, Transaction) else on.db.use()

    def make(self, new: Callable[[Database], Any]) -> dict:
        on, name = self.on, self["as"]
        self.testee.drop(name)
        self.testee.handles[name] = new(on.db)
        return {}

    def call(self, function: str, *arguments: Any) -> Any:
        with self.use() as connection:
            return call(connection, function, *arguments)

    def rows(self, function: str, *arguments: Any) -> list[dict]:
        return [with_payload(row) for row in json.loads(self.call(function, *arguments))]

    def or_else(self, outcome: str, function: str, *arguments: Any) -> dict:
        """Of a function that answers 1, or 0 for the outcome."""
        if self.call(function, *arguments) == 0:
            raise Outcome(outcome)
        return {}

    def shortest(self, *optional: tuple[str, Any]) -> list:
        """The arguments of these keys, without those at the end that are absent; the others are given their default."""
        last = max((i for i, (key, _) in enumerate(optional) if key in self.keys), default=-1)
        return [self.get(key, default) for key, default in optional[: last + 1]]
