"""The reminders of a file. A reminder and what makes it come are changed in one transaction: its schedule if it recurs,
and otherwise its delivery, which is a job of the outbox that is due later. Any thread may call this.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import honker

from .models import Delivery, New, Reminder
from .ntfy import Ntfy
from .settings import Settings

TABLE = """
CREATE TABLE IF NOT EXISTS reminders (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  title TEXT NOT NULL,
  message TEXT NOT NULL,
  priority INTEGER NOT NULL,
  schedule TEXT,
  at INTEGER,
  paused INTEGER NOT NULL DEFAULT 0
)"""
UNDELIVERED = ["due", "delayed", "processing", "blocked", "dead"]


class Missing(LookupError):
    pass


class Conflict(Exception):
    pass


class Reminders:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ntfy = Ntfy(settings)
        self._db = honker.open(settings.database)
        with self._db.transaction() as tx:
            tx.execute(TABLE)
        self._outbox = self._db.outbox("reminders", self._ntfy, settings.attempts, settings.backoff_s)
        self._outbox.queue.configure(keep_done_s=settings.keep_s)
        self._scheduler = honker.Scheduler(self._db)

    def worker(self) -> honker.Worker:
        """What makes them come. It fires the schedules as well."""
        settings = self._settings
        return self._outbox.worker(
            name="reminders",
            concurrency=settings.deliveries,
            retry_max_s=settings.backoff_max_s,
            stop_timeout_s=settings.timeout_s + 1,
            schedules=[],
        )

    async def aclose(self) -> None:
        await self._ntfy.aclose()
        self._db.close()

    def create(self, new: New) -> Reminder:
        with self._db.transaction() as tx:
            tx.execute(
                "INSERT INTO reminders (title, message, priority, schedule, at) VALUES (?, ?, ?, ?, ?)",
                [new.title, new.message, new.priority, new.schedule, new.moment()],
            )
            row = tx.query("SELECT * FROM reminders WHERE id = last_insert_rowid()")[0]
            self._begin(row, tx)
        return self.get(row["id"])

    def all(self) -> list[Reminder]:
        return self._described(self._db.query("SELECT * FROM reminders ORDER BY id"), {})

    def get(self, id: int) -> Reminder:
        return self._described([self._row(id)], {"metadata": _mark(id)})[0]

    def pause(self, id: int) -> Reminder:
        """A recurring one does not come while it is paused; what is on its way is delivered. Conflict if one that comes
        once is on its way.
        """
        with self._db.transaction() as tx:
            row = self._row(id, tx)
            if row["schedule"] is not None:
                self._scheduler.pause(_name(id), tx)
            elif not row["paused"]:
                jobs = list(self._jobs(id, tx))
                if not (len(jobs) == 1 and jobs[0]["state"] == "delayed" and jobs[0]["attempts"] == 0):
                    raise Conflict("it is on its way, or has been delivered")
                self._jobs(id, tx).cancel()
            tx.execute("UPDATE reminders SET paused = 1 WHERE id = ?", [id])
        return self.get(id)

    def resume(self, id: int) -> Reminder:
        """What would have come meanwhile does not; one that comes once does, now if its time is over."""
        with self._db.transaction() as tx:
            row = self._row(id, tx)
            if row["paused"]:
                self._scheduler.remove(_name(id), tx)  # Scheduler.resume would make up for all of it
                self._begin(row, tx)
                tx.execute("UPDATE reminders SET paused = 0 WHERE id = ?", [id])
        return self.get(id)

    def delete(self, id: int) -> None:
        """With what is on its way, and what was delivered."""
        with self._db.transaction() as tx:
            self._row(id, tx)
            self._scheduler.remove(_name(id), tx)
            self._jobs(id, tx).delete()
            tx.execute("DELETE FROM reminders WHERE id = ?", [id])

    def deliveries(self, id: int) -> list[Delivery]:
        """The latest hundred, the newest first."""
        self._row(id)
        return [_delivery(job) for job in self._jobs(id).page()["jobs"]]

    def dead(self) -> list[Delivery]:
        return [_delivery(job) for job in self._db.jobs(queue=self._outbox.queue, state="dead")]

    def retry(self, id: int) -> None:
        """A dead delivery is due again, with all of its attempts."""
        if not self._outbox.queue.requeue(id):
            raise Missing(f"no delivery {id} is dead")

    def _begin(self, row: dict[str, Any], tx: honker.Transaction) -> None:
        payload = {"title": row["title"], "message": row["message"], "priority": row["priority"]}
        if row["schedule"] is None:
            self._outbox.enqueue(payload, tx, run_at=row["at"], metadata=_mark(row["id"]))
        else:
            self._scheduler.add(
                name=_name(row["id"]),
                queue=self._outbox.queue,
                schedule=row["schedule"],
                payload=payload,
                max_attempts=self._settings.attempts,
                metadata=_mark(row["id"]),
                tx=tx,
            )

    def _jobs(self, id: int, tx: honker.Transaction | None = None) -> honker.Jobs:
        return self._db.jobs(queue=self._outbox.queue, metadata=_mark(id), tx=tx)

    def _row(self, id: int, tx: honker.Transaction | None = None) -> dict[str, Any]:
        rows = (tx or self._db).query("SELECT * FROM reminders WHERE id = ?", [id])
        if not rows:
            raise Missing(f"there is no reminder {id}")
        return rows[0]

    def _described(self, rows: list[dict[str, Any]], conditions: dict[str, Any]) -> list[Reminder]:
        schedules = {schedule["name"]: schedule for schedule in self._scheduler.list()}
        jobs: dict[str, list[dict[str, Any]]] = {}
        for job in self._db.jobs(queue=self._outbox.queue, state=UNDELIVERED, **conditions):
            jobs.setdefault(job["metadata"]["reminder"], []).append(job)
        return [_reminder(row, schedules.get(_name(row["id"])), jobs.get(str(row["id"]), [])) for row in rows]


def _name(id: int) -> str:
    """Of its schedule."""
    return f"reminder {id}"


def _mark(id: int) -> dict[str, str]:
    """The metadata of its deliveries."""
    return {"reminder": str(id)}


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _reminder(row: dict[str, Any], schedule: dict[str, Any] | None, jobs: list[dict[str, Any]]) -> Reminder:
    now = datetime.now(UTC).timestamp()
    live = [job for job in jobs if job["state"] != "dead"]
    next_at = schedule["next_fire_at"] if schedule else min((job["run_at"] for job in live), default=None)
    if row["paused"]:
        state, next_at = "paused", None
    elif schedule or live:
        state = "active"
    else:
        state = "failed" if jobs else "delivered"
    return Reminder.model_validate(
        {
            **row,
            "state": state,
            "next_at": _moment(next_at),
            "waiting": sum(job["run_at"] <= now or job["attempts"] > 0 for job in live),
            "dead": len(jobs) - len(live),
        }
    )


def _delivery(job: dict[str, Any]) -> Delivery:
    return Delivery(
        id=job["id"],
        reminder=int(job["metadata"]["reminder"]),
        state=job["state"],
        due_at=datetime.fromtimestamp(job["run_at"], UTC),
        attempts=job["attempts"],
        finished_at=_moment(job["finished_at"] or job["died_at"]),
        error=(job["last_error"] or "").partition("\n")[0] or None,
    )
