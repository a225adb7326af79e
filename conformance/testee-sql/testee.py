"""The testee of the SQL functions: what PROTOCOL.md asks, done with docs/sql.md in Python's own SQLite.

It shares no code with the language packages, which makes it the oracle that they are paired with: an operation here is
the documented function and nothing else. What a package would add (waiting, outboxes) it does not have; testee.toml
says why.

A database is a path and a pool of connections, each set up as packages set up theirs. A call takes a connection out of
the pool for as long as it runs, a transaction for as long as it is open, so that no two threads use one at the same
time and a call outside of a transaction never ends up inside of one.

Threads: the main thread reads requests and hands each to the thread of its lane, the main lane having one too. `reset`
and `bye` are done by the main thread: closing the databases ends what the lanes are waiting for.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import sqlite3
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

EXTENSION = os.environ["HONKER_EXTENSION"]
FEATURES = (
    "queue tx stream notify sched cron result result_tx settle_tx by_id lock rate rate_sweep dead stats next_at "
    "enqueue_many text bytes journal updates foreign prune_keep tick_at"
).split()
# Operations of features that SQL does not have.
LACKS = {
    **dict.fromkeys(["worker.open", "listen.open", "stream.subscribe", "sched.run", "result.wait"], "wait"),
    **dict.fromkeys(["subscription.ack", "subscription.save", "subscription.offset"], "wait"),
    **dict.fromkeys(["outbox.open", "outbox.enqueue", "outbox.run_once", "outbox.run", "outbox.calls"], "outbox"),
    **{feature: feature for feature in ("wake", "interrupt", "fork")},
}
# The primary result codes of SQLite that say what is wrong by themselves. SQLITE_ERROR is everything else.
ERROR_NAMES = {
    sqlite3.SQLITE_BUSY: "BUSY",
    sqlite3.SQLITE_READONLY: "READONLY",
    sqlite3.SQLITE_IOERR: "IO",
    sqlite3.SQLITE_CORRUPT: "CORRUPT",
    sqlite3.SQLITE_NOTADB: "CORRUPT",
    sqlite3.SQLITE_FULL: "FULL",
    sqlite3.SQLITE_CANTOPEN: "CANNOT_OPEN",
}
LONG_MS = 2**31 - 1


class Outcome(Exception):
    """There was nothing to do or to give; the argument is the outcome's name."""


class Unsupported(Exception):
    """SQL has no such thing; the argument is the feature's name."""


class Refused(Exception):
    """What SQLite, the extension or Python's driver says is wrong with the call."""

    def __init__(self, message: str, name: str = "ERROR", kind: str = "sqlite3.ProgrammingError") -> None:
        super().__init__(message)
        self.name, self.kind = name, kind


class NotUtf8(bytes):
    """A text that SQLite stores but Python cannot hold."""


@contextlib.contextmanager
def driver() -> Iterator[None]:
    """Around calls of the driver, so that its errors are told from mistakes of the testee's."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError) as error:
        name = ERROR_NAMES.get((getattr(error, "sqlite_errorcode", None) or 0) & 0xFF, "ERROR")
        raise Refused(str(error), name, f"{type(error).__module__}.{type(error).__qualname__}") from error


def text_from_sqlite(stored: bytes) -> str | NotUtf8:
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return NotUtf8(stored)


def sql_from_json(value: Any) -> Any:
    match value:
        case {"$hex": digits}:
            return bytes.fromhex(digits)
        case {"$bytes": digits}:
            return NotUtf8.fromhex(digits)
    return value


def json_from_sql(value: Any) -> Any:
    match value:
        case NotUtf8():
            return {"$bytes": value.hex()}
        case bytes():
            return {"$hex": value.hex()}
    return value


def execute(connection: sqlite3.Connection, sql: str, parameters: tuple | list = ()) -> list[tuple]:
    # The driver cannot bind text that is not UTF-8; it refuses surrogates, as it should.
    fit = [value.decode(errors="surrogateescape") if isinstance(value, NotUtf8) else value for value in parameters]
    with driver():
        return connection.execute(sql, fit).fetchall()


def call(connection: sqlite3.Connection, function: str, *arguments: Any) -> Any:
    """The answer of an SQL function."""
    values = [sql_from_json(argument) for argument in arguments]
    places = ["CAST(? AS TEXT)" if isinstance(value, NotUtf8) else "?" for value in values]
    blobs = [bytes(value) if isinstance(value, NotUtf8) else value for value in values]
    return execute(connection, f"SELECT {function}({', '.join(places)})", blobs)[0][0]


class Database:
    """A path, how to open it, and the connections that are not in use."""

    def __init__(self, path: str, busy_timeout_ms: int = 5000, journal: str = "WAL", poll_ms: int | None = None):
        self.path, self.busy_timeout_ms, self.journal, self.poll_ms = path, busy_timeout_ms, journal, poll_ms
        self.closed = False
        self.idle: list[sqlite3.Connection] = []
        self.in_use: set[sqlite3.Connection] = set()
        self.given_back = threading.Condition()
        self.within: list[Transaction | Updates] = []
        self.db = self
        self.idle.append(self._connect())

    def _connect(self) -> sqlite3.Connection:
        with driver():
            connection = sqlite3.connect(
                self.path,
                timeout=self.busy_timeout_ms / 1000,
                isolation_level=None,
                check_same_thread=False,
                uri=self.path.startswith("file:"),
            )
        try:
            connection.text_factory = text_from_sqlite
            if execute(connection, "PRAGMA database_list")[0][2] == "":
                raise Refused("an in-memory database cannot have a second connection; use a temporary file")
            # A mode that the file is in already is set without any lock, but TRUNCATE and PERSIST are the connection's.
            mode = execute(connection, f"PRAGMA journal_mode = {self.journal}")[0][0]
            if mode != self.journal.lower():
                raise Refused(f"the journal mode is {mode}, and cannot be made {self.journal}")
            for pragma in ("synchronous = NORMAL", "foreign_keys = ON", "wal_autocheckpoint = 10000"):
                execute(connection, f"PRAGMA {pragma}")
            with driver():
                connection.enable_load_extension(True)
                connection.load_extension(EXTENSION)
                connection.enable_load_extension(False)
            call(connection, "honker_bootstrap")
        except BaseException:
            connection.close()
            raise
        return connection

    def take(self) -> sqlite3.Connection:
        with self.given_back:
            connection = self.idle.pop() if self.idle else None
        if not (connection or self.closed):
            connection = self._connect()
        with self.given_back:
            if not self.closed:
                self.in_use.add(connection)
                return connection
        if connection:
            connection.close()
        raise Refused("Cannot operate on a closed database.")

    def give(self, connection: sqlite3.Connection) -> None:
        with self.given_back:
            # One in a transaction was told BEGIN by a query; nobody could ever end it.
            if self.closed or connection.in_transaction:
                connection.close()
            else:
                self.idle.append(connection)
            self.in_use.discard(connection)
            self.given_back.notify_all()

    @contextlib.contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        connection = self.take()
        try:
            yield connection
        finally:
            self.give(connection)

    def close(self) -> None:
        """Ends what is running; when it returns the file is nobody's."""
        for handle in self.within[::-1]:
            handle.close()
        with self.given_back:
            self.closed = True
            for connection in self.in_use:
                connection.interrupt()
            self.given_back.wait_for(lambda: not self.in_use)
            while self.idle:
                self.idle.pop().close()


class Transaction:
    """An open BEGIN IMMEDIATE, and the connection it is on until it is over."""

    def __init__(self, db: Database):
        self.db, self.lock = db, threading.Lock()
        self.connection: sqlite3.Connection | None = db.take()
        try:
            execute(self.connection, "BEGIN IMMEDIATE")
        except BaseException:
            db.give(self.connection)
            raise
        db.within.append(self)

    @contextlib.contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        with self.lock:
            # SQLite ends a transaction by itself after some errors; what came then would be committed one by one.
            if self.connection is None or not self.connection.in_transaction:
                raise Refused("the transaction is over")
            yield self.connection

    def end(self, statement: str) -> None:
        with self.use() as connection:
            try:
                execute(connection, statement)
            finally:
                if not connection.in_transaction:  # A COMMIT that was BUSY may be tried again.
                    self._leave()

    def close(self) -> None:
        with contextlib.suppress(AttributeError):
            self.connection.interrupt()
        with self.lock:
            if self.connection is not None:
                if self.connection.in_transaction:
                    execute(self.connection, "ROLLBACK")
                self._leave()

    def _leave(self) -> None:
        connection, self.connection = self.connection, None
        self.db.within.remove(self)
        self.db.give(connection)


class Updates:
    """A handle of honker_update_watcher_open."""

    def __init__(self, db: Database):
        self.db, self.closed = db, False
        more = () if db.poll_ms is None else (db.poll_ms,)
        with db.use() as connection:
            self.handle = call(connection, "honker_update_watcher_open", db.path, "auto", *more)
        db.within.append(self)

    def next(self, timeout_ms: int) -> dict:
        with self.db.use() as connection:
            while True:
                wait_ms = LONG_MS if timeout_ms < 0 else timeout_ms
                came = call(connection, "honker_update_watcher_wait", self.handle, wait_ms)
                if came == 1:
                    return {}
                if came == -1 and not self.closed:
                    raise Refused("the watcher died", kind="honker_update_watcher_wait")
                if came == -1 or timeout_ms >= 0:
                    raise Outcome("CLOSED" if came == -1 else "TIMEOUT")

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.db.within.remove(self)
            with self.db.use() as connection:
                call(connection, "honker_update_watcher_close", self.handle)


class Named:
    """A queue, a topic or a lock: its name, in a database, and what the functions want to know besides."""

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


def no_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def from_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=no_constant)
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

    def use(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
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


def enqueue_arguments(r: Request, payload: Any) -> list:
    keys = {**r.on.more, **r.keys}
    optional = ("run_at", None), ("delay_s", None), ("priority", 0), ("max_attempts", 3), ("expires_s", None)
    return [r.on.name, to_text(payload), *Request(r.testee, keys).shortest(*optional)]


def enqueue_many(r: Request) -> dict:
    with r.use() as connection:
        within = connection.in_transaction
        execute(connection, "SAVEPOINT many" if within else "BEGIN IMMEDIATE")
        try:
            ids = [call(connection, "honker_enqueue", *enqueue_arguments(r, payload)) for payload in r["payloads"]]
            execute(connection, "RELEASE many" if within else "COMMIT")
        except BaseException:
            if connection.in_transaction:
                execute(connection, "ROLLBACK TO many" if within else "ROLLBACK")
            raise
    return {"ids": ids}


def sql_exec(r: Request) -> dict:
    with r.use() as connection:
        before = connection.total_changes
        execute(connection, r["sql"], [sql_from_json(value) for value in r.get("params", [])])
        # changes() still has the number of an earlier statement if this one changed nothing.
        changes = connection.total_changes != before and execute(connection, "SELECT changes()")[0][0]
    return {"changes": int(changes)}


def sql_query(r: Request) -> dict:
    with r.use() as connection:
        rows = execute(connection, r["sql"], [sql_from_json(value) for value in r.get("params", [])])
    return {"rows": [[json_from_sql(value) for value in row] for row in rows]}


def foreign_exec(r: Request) -> dict:
    times = r.get("times", 1)
    with driver(), contextlib.closing(sqlite3.connect(r["path"], timeout=5, isolation_level=None)) as connection:
        for _ in range(times):
            connection.execute(r["sql"]).fetchall()
    return {"done": times}


def open_database(r: Request) -> dict:
    if "watcher" in r.keys:
        raise Unsupported("watcher")
    r.testee.drop(r["as"])
    keys = ("busy_timeout_ms", "journal", "poll_ms")
    r.testee.handles[r["as"]] = Database(r["path"], **{key: r[key] for key in keys if key in r.keys})
    return {}


def get_job(r: Request) -> dict:
    job = r.call("honker_get_job", r["id"])
    if job == "":
        raise Outcome("EMPTY")
    return {"job": with_payload(json.loads(job))}


def claim(r: Request) -> dict:
    timeout_s = r.on.more.get("visibility_timeout_s", 300)
    jobs = r.rows("honker_claim_batch", r.on.name, r["worker"], r["n"], timeout_s)
    keys = ("id", "queue", "payload", "attempts")
    return {"jobs": [{"worker": job["worker_id"], **{key: job[key] for key in keys}} for job in jobs]}


def get_result(r: Request) -> dict:
    value = r.call("honker_result_get", r["id"])
    if value is None:
        raise Outcome("EMPTY")
    return {"value": from_text(value)}


def read_consumer(r: Request) -> dict:
    offset = r.call("honker_stream_get_offset", r["consumer"], r.on.name)
    return {"events": r.rows("honker_stream_read_since", r.on.name, offset, r.get("limit", -1))}


def add_schedule(r: Request) -> dict:
    budget = r.shortest(("max_attempts", 3))
    payload, priority, expires_s = to_text(r["payload"]), r.get("priority", 0), r.get("expires_s")
    r.call("honker_scheduler_register", r["name"], r["queue"], r["schedule"], payload, priority, expires_s, *budget)
    return {}


def update_schedule(r: Request) -> dict:
    payload = to_text(r["payload"]) if "payload" in r.keys else None
    changes = [r.get("schedule"), payload, r.get("priority"), r.get("expires_s"), int("expires_s" in r.keys)]
    budget = [r["max_attempts"], 1] if "max_attempts" in r.keys else []
    return {"changed": r.call("honker_scheduler_update", r["name"], *changes, *budget) == 1}


def tick(r: Request) -> dict:
    with r.use() as connection:
        now = r["now"] if "now" in r.keys else execute(connection, "SELECT unixepoch()")[0][0]
        return {"fires": json.loads(call(connection, "honker_scheduler_tick", now))}


def acquire_lock(r: Request) -> dict:
    on, owner = r.on, r.get("owner", secrets.token_hex(16))
    r.testee.drop(r["as"])
    r.or_else("HELD", "honker_lock_acquire", r["name"], owner, r["ttl_s"])
    return r.make(lambda db: Named(on.db, r["name"], owner=owner, held=True))


def release_lock(r: Request) -> dict:
    r.on.more["held"] = False
    return r.or_else("LOST", "honker_lock_release", r.on.name, r.on.more["owner"])


def open_queue(r: Request) -> dict:
    options = {key: r[key] for key in ("visibility_timeout_s", "max_attempts") if key in r.keys}
    return r.make(lambda db: Named(db, r["name"], **options))


def close(r: Request) -> dict:
    r.on.close()
    return {}


OPERATIONS: dict[str, Callable[[Request], dict]] = {
    "hello": lambda r: r.testee.hello(),
    "open": open_database,
    "close": close,
    "foreign.exec": foreign_exec,
    "tx.begin": lambda r: r.make(Transaction),
    "tx.commit": lambda r: r.on.end("COMMIT") or {},
    "tx.rollback": lambda r: r.on.end("ROLLBACK") or {},
    "sql.exec": sql_exec,
    "sql.query": sql_query,
    "queue.open": open_queue,
    "queue.enqueue": lambda r: {"id": r.call("honker_enqueue", *enqueue_arguments(r, r["payload"]))},
    "queue.enqueue_many": enqueue_many,
    "queue.claim": claim,
    "queue.ack": lambda r: r.or_else("LOST", "honker_ack", r["id"], r["worker"]),
    "queue.retry": lambda r: r.or_else("LOST", "honker_retry", r["id"], r["worker"], r["delay_s"], r["error"]),
    "queue.fail": lambda r: r.or_else("LOST", "honker_fail", r["id"], r["worker"], r["error"]),
    "queue.heartbeat": lambda r: r.or_else("LOST", "honker_heartbeat", r["id"], r["worker"], r["extend_s"]),
    "queue.ack_many": lambda r: {"acked": r.call("honker_ack_batch", json.dumps(r["ids"]), r["worker"])},
    "queue.cancel": lambda r: {"cancelled": r.call("honker_cancel", r["id"]) == 1},
    "queue.get": get_job,
    "queue.next_at": lambda r: {"at": r.call("honker_queue_next_claim_at", r.on.name)},
    "queue.sweep": lambda r: {"n": r.call("honker_sweep_expired", r.on.name)},
    "queue.stats": lambda r: {"stats": json.loads(r.call("honker_stats", r.on.name))},
    "dead.list": lambda r: {"jobs": r.rows("honker_dead_list", r.on.name, r.get("limit", -1))},
    "dead.requeue": lambda r: {"requeued": r.call("honker_dead_requeue", r["id"]) == 1},
    "dead.purge": lambda r: {"n": r.call("honker_dead_purge", r.on.name, r["older_than_s"])},
    "updates.open": lambda r: r.make(Updates),
    "next": lambda r: r.on.next(r["timeout_ms"]),
    "stream.open": lambda r: r.make(lambda db: Named(db, r["topic"])),
    "stream.publish": lambda r: {
        "offset": r.call("honker_stream_publish", r.on.name, r.get("key"), to_text(r["payload"]))
    },
    "stream.read": lambda r: {"events": r.rows("honker_stream_read_since", r.on.name, r["offset"], r.get("limit", -1))},
    "stream.read_consumer": read_consumer,
    "stream.save": lambda r: {"saved": r.call("honker_stream_save_offset", r["consumer"], r.on.name, r["offset"]) == 1},
    "stream.offset": lambda r: {"offset": r.call("honker_stream_get_offset", r["consumer"], r.on.name)},
    "notify.send": lambda r: {"id": r.call("notify", r["channel"], to_text(r["payload"]))},
    "notify.prune": lambda r: {"n": r.call("honker_prune_notifications", r.get("older_than_s"), r.get("max_keep"))},
    "sched.add": add_schedule,
    "sched.remove": lambda r: {"changed": r.call("honker_scheduler_unregister", r["name"]) == 1},
    "sched.pause": lambda r: {"changed": r.call("honker_scheduler_pause", r["name"]) == 1},
    "sched.resume": lambda r: {"changed": r.call("honker_scheduler_resume", r["name"]) == 1},
    "sched.update": update_schedule,
    "sched.list": lambda r: {"schedules": r.rows("honker_scheduler_list")},
    "sched.tick": tick,
    "sched.soonest": lambda r: {"at": r.call("honker_scheduler_soonest")},
    "cron.next_after": lambda r: {"at": r.call("honker_cron_next_after", r["schedule"], r["from"])},
    "result.save": lambda r: (
        {} if r.call("honker_result_save", r["id"], to_text(r["value"]), r.get("ttl_s", 0)) else {}
    ),
    "result.get": get_result,
    "result.sweep": lambda r: {"n": r.call("honker_result_sweep")},
    "lock.acquire": acquire_lock,
    "lock.renew": lambda r: r.or_else("LOST", "honker_lock_renew", r.on.name, r.on.more["owner"], r["ttl_s"]),
    "lock.release": release_lock,
    "rate.try": lambda r: r.or_else("LIMITED", "honker_rate_limit_try", r["name"], r["limit"], r["per_s"]),
    "rate.sweep": lambda r: {"n": r.call("honker_rate_limit_sweep", r["older_than_s"])},
}


class Testee:
    """The handles, the lanes, and the conversation."""

    def __init__(self) -> None:
        self.handles: dict[str, Any] = {}
        self.lanes: dict[str | None, tuple[threading.Thread, queue.SimpleQueue]] = {}
        self.writing = threading.Lock()

    def hello(self) -> dict:
        with contextlib.closing(sqlite3.connect(":memory:")) as connection, driver():
            connection.enable_load_extension(True)
            connection.load_extension(EXTENSION)
            version = call(connection, "honker_version")
        return {"testee": "sql", "version": version, "pid": os.getpid(), "features": FEATURES}

    def drop(self, name: str) -> None:
        handle = self.handles.pop(name, None)
        if handle is not None:
            handle.close()

    def reset(self) -> None:
        for handle in list(self.handles.values())[::-1]:
            with contextlib.suppress(Refused):
                handle.close()
        lanes = list(self.lanes.values())
        for _, requests in lanes:
            requests.put(None)
        for thread, _ in lanes:
            thread.join()
        self.lanes.clear()
        # What the lanes still had to do may have made more.
        for name in list(self.handles)[::-1]:
            with contextlib.suppress(Refused):
                self.drop(name)

    def answer(self, keys: dict) -> None:
        try:
            operation = keys["op"]
            if operation in LACKS:
                raise Unsupported(LACKS[operation])
            result = {"ok": OPERATIONS[operation](Request(self, keys))}
        except Outcome as outcome:
            result = {"outcome": str(outcome)}
        except Unsupported as feature:
            result = {"unsupported": str(feature)}
        except Refused as error:
            result = {"error": {"name": error.name, "type": error.kind, "message": str(error)}}
        except Exception as error:
            result = {"crashed": {"message": repr(error), "trace": traceback.format_exc()}}
        self.write(keys, result)

    def write(self, keys: dict, answer: dict) -> None:
        number = "seq" if "seq" in keys else "id"
        line = json.dumps({number: keys[number], **answer}, allow_nan=False)
        with self.writing:
            print(line, flush=True)

    def work(self, requests: queue.SimpleQueue) -> None:
        while (keys := requests.get()) is not None:
            self.answer(keys)

    def listen(self) -> None:
        for line in sys.stdin.buffer:
            keys = json.loads(line)
            if keys["op"] in ("reset", "bye"):
                self.reset()
                self.write(keys, {"ok": {}})
                if keys["op"] == "bye":
                    return
                continue
            lane = keys.get("lane")
            if lane not in self.lanes:
                requests: queue.SimpleQueue = queue.SimpleQueue()
                thread = threading.Thread(target=self.work, args=(requests,), name=str(lane), daemon=True)
                thread.start()
                self.lanes[lane] = thread, requests
            self.lanes[lane][1].put(keys)


if __name__ == "__main__":
    Testee().listen()
