"""The adapter of the SQL functions: what PROTOCOL.md asks, done with docs/sql.md in Python's own SQLite, or, as
testee-psycopg, on a Postgres server: `database` is the module of either.

It shares no code with the language packages, which makes it the oracle that they are paired with: an operation here is
the documented function and nothing else. What a package would add (workers, outboxes) it does not have; testee.toml
says why.

Threads: the main thread reads requests and hands each to the thread of its lane, the main lane having one too. `reset`
and `bye` are done by the main thread: closing the databases ends what the lanes are waiting for.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from database import (
    FEATURES,
    Database,
    Outcome,
    Refused,
    Transaction,
    Updates,
    all_or_none,
    call,
    changes,
    execute,
    execute_apart,
    json_from_sql,
    sql_from_json,
    version,
)
from request import Named, Request, from_text, to_text, with_payload

LACKS = {
    "wait": "worker.open listen.open stream.subscribe subscription.ack subscription.save subscription.offset sched.run "
    "result.wait",
    "handlers": "worker.run handler.next",
    "outbox": "outbox.open outbox.enqueue outbox.run_once outbox.run outbox.calls",
    **{feature: feature for feature in ("wake", "interrupt", "fork")},
}
UNSUPPORTED = {operation: feature for feature, operations in LACKS.items() for operation in operations.split()}


class Unsupported(Exception):
    """SQL has no such thing; the argument is the feature's name."""


def enqueue_arguments(r: Request, payload: Any) -> list:
    keys = {**r.on.more, **r.keys}
    # A queue without a budget of its own leaves it to its settings, unless an argument behind it has to be given.
    optional = ("run_at", None), ("delay_s", None), ("priority", 0), ("max_attempts", 3), ("expires_s", None)
    return [r.on.name, to_text(payload), *Request(r.testee, keys).shortest(*optional)]


UNIQUE = ("unique_key", "unique_until", "unique_for_s", "on_conflict")
BESIDE_COLUMNS = ("metadata", "max_run_s", "concurrency_key", "batch_id", "member", *UNIQUE)


def with_options(keys: dict, *options: str) -> str:
    return json.dumps({key: keys[key] for key in options if key in keys})


def enqueue(r: Request) -> dict:
    if not any(key in r.keys for key in BESIDE_COLUMNS):
        return {"id": r.call("honker_enqueue", *enqueue_arguments(r, r["payload"])), "status": "enqueued"}
    keys = {**r.on.more, **r.keys}
    options = with_options(keys, "run_at", "delay_s", "priority", "max_attempts", "expires_s", *BESIDE_COLUMNS)
    return json.loads(r.call("honker_enqueue_with", r.on.name, to_text(r["payload"]), options))


def configure(r: Request, function: str) -> dict:
    r.call(function, r.on.name, json.dumps(r["settings"]))
    return {}


def get_batch(r: Request) -> dict:
    batch = r.call("honker_batch_get", r["id"])
    if batch == "":
        raise Outcome("EMPTY")
    return {"batch": json.loads(batch)}


def step(r: Request, outcome: str, function: str, *arguments: Any) -> dict:
    value = r.call(function, r["id"], *arguments)
    if value is None:
        raise Outcome(outcome)
    return {"value": from_text(value)}


def dead_group(group: dict) -> dict:
    return {**group, "newest": with_payload(group["newest"])}


def list_jobs(r: Request) -> dict:
    page = json.loads(r.call("honker_jobs_list", json.dumps(r["filter"])))
    return {"page": {**page, "jobs": [with_payload(job) for job in page["jobs"]]}}


def apply(r: Request) -> dict:
    return {"applied": json.loads(r.call("honker_jobs_apply", json.dumps(r["filter"]), r["action"]))}


def enqueue_many(r: Request) -> dict:
    with r.use() as connection, all_or_none(connection):
        ids = [call(connection, "honker_enqueue", *enqueue_arguments(r, payload)) for payload in r["payloads"]]
    return {"ids": ids}


def statement(r: Request) -> tuple[Any, list]:
    return sql_from_json(r["sql"]), [sql_from_json(value) for value in r.get("params", [])]


def sql_exec(r: Request) -> dict:
    with r.use() as connection:
        return {"changes": changes(connection, *statement(r))}


def sql_query(r: Request) -> dict:
    with r.use() as connection:
        rows = execute(connection, *statement(r))
    return {"rows": [[json_from_sql(value) for value in row] for row in rows]}


def foreign_exec(r: Request) -> dict:
    execute_apart(r["path"], r["sql"], r.get("times", 1))
    return {"done": r.get("times", 1)}


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
    keys = ("id", "queue", "payload", "attempts", "metadata")
    return {"jobs": [{"worker": job["worker_id"], **{key: job[key] for key in keys if key in job}} for job in jobs]}


def save_result(r: Request) -> dict:
    r.call("honker_result_save", r["id"], to_text(r["value"]), r.get("ttl_s", 0))
    return {}


def get_result(r: Request) -> dict:
    value = r.call("honker_result_get", r["id"])
    if value is None:
        raise Outcome("EMPTY")
    return {"value": from_text(value)}


def read_consumer(r: Request) -> dict:
    offset = r.call("honker_stream_get_offset", r["consumer"], r.on.name)
    return {"events": r.rows("honker_stream_read_since", r.on.name, offset, r.get("limit", -1))}


def add_schedule(r: Request) -> dict:
    payload, priority, expires_s = to_text(r["payload"]), r.get("priority", 0), r.get("expires_s")
    beside = ("overlap", "delay_s", *BESIDE_COLUMNS)
    if any(key in r.keys for key in beside):
        options = with_options(r.keys, "priority", "expires_s", "max_attempts", *beside)
        r.call("honker_scheduler_register_with", r["name"], r["queue"], r["schedule"], payload, options)
        return {}
    budget = r.shortest(("max_attempts", 3))
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
    r.or_else("LOST", "honker_lock_release", r.on.name, r.on.more["owner"])
    r.on.more["held"] = False
    return {}


def open_queue(r: Request) -> dict:
    options = {key: r[key] for key in ("visibility_timeout_s", "max_attempts") if key in r.keys}
    return r.make(lambda db: Named(db, r["name"], **options))


OPERATIONS: dict[str, Callable[[Request], dict]] = {
    "hello": lambda r: r.testee.hello(),
    "open": open_database,
    "close": lambda r: r.on.close() or {},
    "foreign.exec": foreign_exec,
    "tx.begin": lambda r: r.make(Transaction),
    "tx.commit": lambda r: r.on.end("COMMIT") or {},
    "tx.rollback": lambda r: r.on.end("ROLLBACK") or {},
    "sql.exec": sql_exec,
    "sql.query": sql_query,
    "queue.open": open_queue,
    "queue.enqueue": enqueue,
    "queue.enqueue_many": enqueue_many,
    "queue.claim": claim,
    "queue.ack": lambda r: r.or_else("LOST", "honker_ack", r["id"], r["worker"]),
    "queue.retry": lambda r: r.or_else("LOST", "honker_retry", r["id"], r["worker"], r["delay_s"], r["error"]),
    "queue.fail": lambda r: r.or_else("LOST", "honker_fail", r["id"], r["worker"], r["error"]),
    "queue.release": lambda r: r.or_else("LOST", "honker_release", r["id"], r["worker"], r["delay_s"]),
    "queue.heartbeat": lambda r: r.or_else("LOST", "honker_heartbeat", r["id"], r["worker"], r["extend_s"]),
    "queue.ack_many": lambda r: {"acked": r.call("honker_ack_batch", json.dumps(r["ids"]), r["worker"])},
    "queue.cancel": lambda r: {"cancelled": r.call("honker_cancel", r["id"]) == 1},
    "queue.get": get_job,
    "queue.next_at": lambda r: {"at": r.call("honker_queue_next_claim_at", r.on.name)},
    "queue.sweep": lambda r: {"n": r.call("honker_sweep_expired", r.on.name)},
    "queue.stats": lambda r: {"stats": json.loads(r.call("honker_stats", r.on.name))},
    "queue.configure": lambda r: configure(r, "honker_queue_configure"),
    "queue.settings": lambda r: {"settings": json.loads(r.call("honker_queue_settings", r.on.name))},
    "dead.list": lambda r: {"jobs": r.rows("honker_dead_list", r.on.name, r.get("limit", -1))},
    "dead.requeue": lambda r: {"requeued": r.call("honker_dead_requeue", r["id"]) == 1},
    "dead.purge": lambda r: {"n": r.call("honker_dead_purge", r.on.name, r["older_than_s"])},
    "queues": lambda r: {"queues": json.loads(r.call("honker_queues"))},
    "metrics": lambda r: {"queues": json.loads(r.call("honker_metrics"))["queues"]},
    "dead.groups": lambda r: {
        "groups": [dead_group(group) for group in json.loads(r.call("honker_dead_groups", r.on.name))]
    },
    "jobs.list": list_jobs,
    "jobs.apply": apply,
    "batch.create": lambda r: {"id": r.call("honker_batch_create", json.dumps(r["options"]))},
    "batch.seal": lambda r: {"sealed": r.call("honker_batch_seal", r["id"]) == 1},
    "batch.get": get_batch,
    "step.get": lambda r: step(r, "EMPTY", "honker_step_get", r["name"]),
    "step.save": lambda r: step(r, "LOST", "honker_step_save", r["worker"], r["name"], to_text(r["value"])),
    "updates.open": lambda r: r.make(Updates),
    "next": lambda r: r.on.next(r["timeout_ms"]),
    "stream.open": lambda r: r.make(lambda db: Named(db, r["topic"])),
    "stream.configure": lambda r: configure(r, "honker_stream_configure"),
    "stream.trim": lambda r: {"n": r.call("honker_stream_trim", r.on.name, json.dumps(r["settings"]))},
    "stream.publish": lambda r: {
        "offset": r.call("honker_stream_publish", r.on.name, r.get("key"), to_text(r["payload"]))
    },
    "stream.read": lambda r: {"events": r.rows("honker_stream_read_since", r.on.name, r["offset"], r.get("limit", -1))},
    "stream.read_consumer": read_consumer,
    "stream.save": lambda r: {"saved": r.call("honker_stream_save_offset", r["consumer"], r.on.name, r["offset"]) == 1},
    "stream.offset": lambda r: {"offset": r.call("honker_stream_get_offset", r["consumer"], r.on.name)},
    "notify.send": lambda r: {"id": r.call("notify", r["channel"], to_text(r["payload"]))},
    "notify.configure": lambda r: r.call("honker_notifications_configure", json.dumps(r["settings"])) and {} or {},
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
    "result.save": save_result,
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
        return {"testee": "sql", "version": version(), "pid": os.getpid(), "features": FEATURES}

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
            if operation in UNSUPPORTED:
                raise Unsupported(UNSUPPORTED[operation])
            result = {"ok": OPERATIONS[operation](Request(self, keys))}
        except Outcome as outcome:
            result = {"outcome": str(outcome)}
        except Unsupported as feature:
            result = {"unsupported": str(feature)}
        except Refused as error:
            result = {"error": {"name": "ERROR", "type": error.kind, "message": str(error)}}
        except Exception as error:
            result = {"crashed": {"message": repr(error), "trace": traceback.format_exc()}}
        self.write(keys, result)

    def write(self, keys: dict, answer: dict) -> None:
        line = json.dumps({"seq": keys["seq"], **answer}, allow_nan=False)
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
