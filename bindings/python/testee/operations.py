"""The operations of conformance/PROTOCOL.md, each through the package's public API."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import traceback
from collections.abc import Callable
from typing import Any

import honker
from honker.claim import CoreWorker, Settlement
from request import (
    UNIQUE,
    HandlerRun,
    Otherwise,
    Request,
    Runner,
    ScriptedOutbox,
    event,
    payload,
    row,
    stored,
    true,
    unless_none,
    value,
)

FEATURES = (
    "queue tx wait stream notify sched result lock rate outbox journal watcher interrupt fork foreign enqueue_many "
    "settle_tx by_id next_at stats dead wake updates cron result_tx rate_sweep prune_keep tick_at text bytes nesting "
    "release settle metadata settings batch step bulk unique schedule_options unknown_keys claims_by_id metrics "
    "counters handlers fault.abi"
).split()


def next_of(r: Request) -> dict[str, Any]:
    handle = r.on
    try:
        match handle:
            case CoreWorker():
                n = r["n"] if "n" in r else 1
                turn = handle.settle_next([], n, r.timeout)
                if turn.jobs is None:
                    raise Otherwise(outcome="WOKEN" if handle.woken else "TIMEOUT")
                return told(r, turn)
            case honker.Updates():
                found = handle.next(r.timeout) or None
            case _:
                found = handle.next(r.timeout)
    except honker.ClosedError:
        if r.keys["was_closed"]:
            raise
        raise Otherwise(outcome="CLOSED") from None
    if found is None:
        raise Otherwise(outcome="WOKEN" if handle.woken else "TIMEOUT")
    match found:
        case honker.Event():
            return {"event": event(found)}
        case honker.Notification():
            given = {"id": found.id, "channel": found.channel, "payload": stored(found.payload)}
            return {"notification": given}
    return {}


def told(r: Request, turn: Any) -> dict[str, Any]:
    lost = [{"id": one.id, "serial": one.serial, "reason": one.reason.upper()} for one in turn.lost]
    return {"jobs": r.give(turn.jobs or [], serials=True), "lost": lost}


def settle(r: Request) -> dict[str, Any]:
    def one(given: dict[str, Any]) -> Settlement:
        return Settlement(
            given["id"], given["serial"], given["kind"], given.get("delay_s"), value(given.get("error", ""))
        )

    settlements = [one(given) for given in r["settlements"]]
    turn = r.on.settle_next(settlements, r["n"], r.timeout)
    return {**told(r, turn), "held": [one.status == 0 for one in settlements]}


def fork(r: Request) -> dict[str, Any]:
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answers = [r.testee.answer(step) for step in r["steps"]]
            os.write(writes, json.dumps(answers).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writes)
    with open(reads, "rb") as pipe:
        answers = json.loads(pipe.read())
    os.waitpid(child, 0)
    return {"answers": answers}


def foreign_exec(r: Request) -> dict[str, Any]:
    times = r["times"] if "times" in r else 1
    with contextlib.closing(sqlite3.connect(r["path"], timeout=5, isolation_level=None)) as connection:
        for _ in range(times):
            connection.execute(r["sql"])
    return {"done": times}


def begin(r: Request) -> None:
    transaction = r.on.transaction()
    r.testee.drop(r.keys["as"])
    transaction.__enter__()
    r.testee.handles[r.keys["as"]] = transaction


def end(r: Request, how: str) -> None:
    if not r.on.open:
        r.on.query("SELECT 1")  # the package's own error; ending it once more is none
    getattr(r.on, how)()


def sql_params(r: Request) -> list[Any]:
    return [value(one) for one in r.keys.get("params") or []]


def execute(r: Request) -> dict[str, Any]:
    sql, params = r["sql"], sql_params(r)
    # The package does not say how many rows a statement has changed; SQL does, in another way on a server.
    if not r.testee.is_on_server:
        r.on.execute(sql, params)
        return {"changes": r.on.query("SELECT changes() AS n")[0]["n"]}
    if sql.split()[0].upper() in ("INSERT", "UPDATE", "DELETE"):
        return {"changes": len(r.on.query(f"{sql} RETURNING 1", params))}
    r.on.execute(sql, params)
    return {"changes": 0}


def query(r: Request) -> dict[str, Any]:
    rows = r.on.query(r["sql"], sql_params(r))
    return {"rows": [[{"$hex": one.hex()} if isinstance(one, bytes) else one for one in it.values()] for it in rows]}


def open_database(r: Request) -> None:
    options = r.options("busy_timeout_ms", watcher_backend="watcher", watcher_poll_interval_ms="poll_ms")
    if "journal" in r:
        options["journal_mode"] = r["journal"].lower()
    r.testee.is_on_server = r["path"].startswith(("postgres:", "postgresql:"))
    r.keep(lambda: honker.open(r["path"], **options))


def enqueue(r: Request) -> dict[str, Any]:
    done = r.on.try_enqueue(r.payload(), **r.enqueue_options())
    return done._asdict()


def enqueue_many(r: Request) -> dict[str, Any]:
    return {"ids": r.on.enqueue_many([payload(one) for one in r.keys["payloads"]], **r.enqueue_options())}


def create_batch(r: Request) -> dict[str, Any]:
    options = dict(r["options"])
    for name in ("on_finished", "on_success"):
        if isinstance(options.get(name), dict):
            job = dict(options[name])
            if isinstance(job.get("payload"), str):
                job["payload"] = honker.RawText(job["payload"])
            given = job.pop("options", {})
            options[name] = {**job, **given}
    return {"id": r.on.batch(**options, **r.tx).id}


def jobs_page(r: Request) -> tuple[Any, dict[str, Any]]:
    conditions = dict(r["filter"])
    names = {"limit": "page_size", "cursor": "cursor"}
    pages = {names[name]: conditions.pop(name) for name in names if name in conditions}
    return r.on.jobs(**conditions, **r.tx), pages


def list_jobs(r: Request) -> dict[str, Any]:
    jobs, pages = jobs_page(r)
    page = jobs.page(**pages)
    return {"page": {**page, "jobs": [row(job) for job in page["jobs"]]}}


def apply_to_jobs(r: Request) -> dict[str, Any]:
    jobs, pages = jobs_page(r)
    return {"applied": jobs.apply(r["action"], **pages)}


def save_step(r: Request) -> dict[str, Any]:
    try:
        return {"value": stored(r.on.save_step(r["id"], r["worker"], r["name"], r.payload("value"), **r.tx))}
    except honker.JobLost:
        raise Otherwise(outcome="LOST") from None


def found(answer: tuple[bool, Any]) -> dict[str, Any]:
    if not answer[0]:
        raise Otherwise(outcome="EMPTY")
    return {"value": stored(answer[1])}


def subscribe(r: Request) -> None:
    options = r.options("consumer", "from_offset", "save_every_n")
    if "save_every_ms" in r:
        options["save_every_s"] = r["save_every_ms"] / 1000
    r.keep(lambda: r.on.subscribe(**options))


def events(found: list[honker.Event]) -> dict[str, Any]:
    return {"events": [event(one) for one in found]}


def add_schedule(r: Request) -> None:
    options = r.options(
        "name", "queue", "schedule", "priority", "max_attempts", "overlap", "metadata", *UNIQUE, expires="expires_s",
        delay="delay_s",
    )  # fmt: skip
    r.on.scheduler().add(payload=r.payload(), **options)


def update_schedule(r: Request) -> dict[str, Any]:
    changes = r.options("schedule", "priority", "max_attempts", expires="expires_s")
    if "payload" in r:
        changes["payload"] = r.payload()
    return {"changed": r.on.scheduler().update(r["name"], **changes)}


def fire(given: honker.Fire) -> dict[str, Any]:
    return {name: one for name, one in given._asdict().items() if (name, one) != ("status", "enqueued")}


def run_scheduler(r: Request) -> None:
    scheduler, owner = r.on.scheduler(), r["owner"]
    scheduler.leader(owner).close()  # says here what run would say in its own thread: that it cannot
    r.keep(lambda: Runner(lambda stop: scheduler.run(stop_event=stop, owner=owner)))


def wait_result(r: Request) -> dict[str, Any]:
    try:
        return {"value": stored(r.on.wait_result(r["id"], r.timeout))}
    except TimeoutError:
        raise Otherwise(outcome="TIMEOUT") from None


def acquire(r: Request) -> None:
    r.testee.drop(r.keys["as"])
    lock = r.on.lock(r["name"], **r.options("owner", ttl="ttl_s"))
    true(lock.acquire(), "HELD")
    r.testee.handles[r.keys["as"]] = lock


def open_outbox(r: Request) -> None:
    options = r.options("visibility_timeout_s", "max_attempts", "base_backoff_s")
    r.keep_unless_refused(lambda: ScriptedOutbox(r.on, r["name"], r["deliver"], options))


def open_queue(r: Request) -> None:
    options = r.options("visibility_timeout_s", "max_attempts")

    def make() -> honker.Queue:
        try:
            return r.on.queue(r["name"], **options)
        except honker.InvalidError:  # a database has one object for a name; a case may want others
            return honker.Queue(r.on, r["name"], **options)

    r.keep_unless_refused(make)


OPERATIONS: dict[str, Callable[[Request], Any]] = {
    "hello": lambda r: {"testee": "python", "version": honker.__version__, "pid": os.getpid(), "features": FEATURES},
    "open": open_database,
    "close": lambda r: r.testee.close(r.on),
    "interrupt": lambda r: r.on.interrupt(),
    "fork": fork,
    "foreign.exec": foreign_exec,
    "tx.begin": begin,
    "tx.commit": lambda r: end(r, "commit"),
    "tx.rollback": lambda r: end(r, "rollback"),
    "sql.exec": execute,
    "sql.query": query,
    "queue.open": open_queue,
    "queue.enqueue": enqueue,
    "queue.enqueue_many": enqueue_many,
    "queue.claim": lambda r: {"jobs": r.give(r.on.claim_batch(r["worker"], r["n"]))},
    "queue.ack": lambda r: true(r.on.ack(r["id"], r["worker"], **r.tx)),
    "queue.retry": lambda r: true(r.on.retry(r["id"], r["worker"], r["delay_s"], r["error"], **r.tx)),
    "queue.fail": lambda r: true(r.on.fail(r["id"], r["worker"], r["error"], **r.tx)),
    "queue.release": lambda r: true(r.on.release(r["id"], r["worker"], r["delay_s"], **r.tx)),
    "queue.heartbeat": lambda r: true(r.on.heartbeat(r["id"], r["worker"], r["extend_s"], **r.tx)),
    "queue.ack_many": lambda r: {"acked": r.on.ack_batch(r["ids"], r["worker"])},
    "queue.cancel": lambda r: {"cancelled": r.on.cancel(r["id"])},
    "queue.get": lambda r: {"job": row(unless_none(r.on.get_job(r["id"]), "EMPTY"))},
    "queue.next_at": lambda r: {"at": r.on.next_claim_at() or 0},
    "queue.sweep": lambda r: {"n": r.on.sweep_expired()},
    "queue.stats": lambda r: {"stats": r.on.stats()},
    "queue.configure": lambda r: r.on.configure(**r["settings"]),
    "queue.settings": lambda r: {"settings": r.on.settings()},
    "queues": lambda r: {"queues": r.on.queues()},
    "metrics": lambda r: r.on.metrics(),
    "dead.list": lambda r: {"jobs": [row(one) for one in r.on.dead(**r.options("limit"))]},
    "dead.requeue": lambda r: {"requeued": r.on.requeue(r["id"])},
    "dead.purge": lambda r: {"n": r.on.purge_dead(r["older_than_s"])},
    "dead.groups": lambda r: {"groups": [{**one, "newest": row(one["newest"])} for one in r.on.dead_groups()]},
    "jobs.list": list_jobs,
    "jobs.apply": apply_to_jobs,
    "batch.create": create_batch,
    "batch.seal": lambda r: {"sealed": r.on.batch(r["id"]).seal(**r.tx)},
    "batch.get": lambda r: {"batch": unless_none(r.on.batch(r["id"]).get(), "EMPTY")},
    "step.get": lambda r: found(r.on.get_step(r["id"], r["name"], **r.tx)),
    "step.save": save_step,
    "worker.open": lambda r: r.keep(lambda: r.on.core_worker(r["worker"], rescue=False)),
    "worker.settle": settle,
    "worker.run": lambda r: r.keep(lambda: HandlerRun(r.on, r["worker"], r["handle"])),
    "handler.next": lambda r: unless_none(r.on.next(r.timeout), "TIMEOUT"),
    "next": next_of,
    "wake": lambda r: r.on.wake(),
    "updates.open": lambda r: r.keep(r.on.update_events),
    "stream.open": lambda r: r.keep_unless_refused(lambda: r.on.stream(r["topic"])),
    "stream.publish": lambda r: {"offset": r.on.publish(r.payload(), **r.options("key"), **r.tx)},
    "stream.configure": lambda r: r.on.configure(**r["settings"]),
    "stream.trim": lambda r: {"n": r.on.trim(**r["settings"])},
    "stream.read": lambda r: events(r.on.read_since(r["offset"], **r.options("limit"))),
    "stream.read_consumer": lambda r: events(r.on.read_from_consumer(r["consumer"], **r.options("limit"))),
    "stream.save": lambda r: {"saved": r.on.save_offset(r["consumer"], r["offset"], **r.tx)},
    "stream.offset": lambda r: {"offset": r.on.get_offset(r["consumer"])},
    "stream.subscribe": subscribe,
    "subscription.ack": lambda r: r.on.ack(),
    "subscription.save": lambda r: r.on.save(),
    "subscription.offset": lambda r: {"offset": r.on.offset},
    "notify.send": lambda r: {"id": r.on.notify(r["channel"], r.payload(), **r.tx)},
    "notify.configure": lambda r: r.on.configure_notifications(**r["settings"]),
    "notify.prune": lambda r: {"n": r.on.prune_notifications(**r.options("older_than_s", "max_keep"))},
    "listen.open": lambda r: r.keep(lambda: r.on.listen(r["channel"])),
    "sched.add": add_schedule,
    "sched.remove": lambda r: {"changed": r.on.scheduler().remove(r["name"])},
    "sched.pause": lambda r: {"changed": r.on.scheduler().pause(r["name"])},
    "sched.resume": lambda r: {"changed": r.on.scheduler().resume(r["name"])},
    "sched.update": update_schedule,
    "sched.list": lambda r: {"schedules": [row(one) for one in r.on.scheduler().list()]},
    "sched.tick": lambda r: {"fires": [fire(one) for one in r.on.scheduler().tick(**r.options("now"))]},
    "sched.soonest": lambda r: {"at": r.on.scheduler().soonest() or 0},
    "sched.run": run_scheduler,
    "cron.next_after": lambda r: {"at": r.on.scheduler().next_after(r["schedule"], r["from"])},
    "result.save": lambda r: r.on.save_result(r["id"], r.payload("value"), **r.options(ttl="ttl_s"), **r.tx),
    "result.get": lambda r: found(r.on.get_result(r["id"])),
    "result.wait": wait_result,
    "result.sweep": lambda r: {"n": r.on.sweep_results()},
    "lock.acquire": acquire,
    "lock.renew": lambda r: true(r.on.renew(r["ttl_s"])),
    "lock.release": lambda r: true(r.on.release()),
    "rate.try": lambda r: true(r.on.try_rate_limit(r["name"], r["limit"], r["per_s"]), "LIMITED"),
    "rate.sweep": lambda r: {"n": r.on.sweep_rate_limits(r["older_than_s"])},
    "outbox.open": open_outbox,
    "outbox.enqueue": lambda r: {"id": r.on.outbox.enqueue(r.payload(), **r.enqueue_options())},
    "outbox.run_once": lambda r: {"handled": r.on.outbox.run_once(r["worker"])},
    "outbox.run": lambda r: r.keep(lambda: Runner(lambda stop: r.on.outbox.run_worker(r["worker"], stop_event=stop))),
    "outbox.calls": lambda r: {"payloads": [stored(one) for one in r.on.calls]},
}
