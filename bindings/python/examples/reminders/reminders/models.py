"""What goes over the wire."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Literal, Self

import honker
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, model_validator

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST_S = 100 * 366 * 86_400


def seconds(duration: str) -> int:
    return int(duration[:-1]) * UNITS_S[duration[-1]]


def short_enough(duration: str) -> str:
    if seconds(duration) > LONGEST_S:
        raise ValueError("this is more than a hundred years")
    return duration


Duration = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,9}[smhd]$", examples=["10m"]), AfterValidator(short_enough)]


# SQLite's functions end a text at a NUL, and honker takes none.
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]


class New(BaseModel):
    """A reminder to be created. When: exactly one of `in`, `at`, `every` and `cron`."""

    title: Text = Field(min_length=1, max_length=200)
    message: Text = Field(default="", max_length=4000)
    priority: int = Field(default=3, ge=1, le=5, description="5 is the most urgent")
    in_: Duration | None = Field(default=None, alias="in", description="once, after this time")
    at: AwareDatetime | None = Field(default=None, description="once, at this time")
    every: Duration | None = Field(default=None, description="again and again, at this interval")
    cron: str | None = Field(default=None, description="at times of the calendar", examples=["0 9 * * mon-fri"])
    timezone: str | None = Field(default=None, description="of `cron`; by default the server's")

    @model_validator(mode="after")
    def check(self) -> Self:
        if [self.in_, self.at, self.every, self.cron].count(None) != 3:
            raise ValueError("give exactly one of in, at, every and cron")
        if self.timezone is not None and self.cron is None:
            raise ValueError("a timezone is for cron")
        if self.at is not None and not 0 < self.at.timestamp() - time.time() <= LONGEST_S:
            raise ValueError("`at` is over, or more than a hundred years away")
        if self.cron is not None:
            honker.crontab(self.schedule or "")  # ValueError says what is wrong
        return self

    @property
    def schedule(self) -> str | None:
        """The expression of a recurring one."""
        if self.cron is not None:
            return self.cron if self.timezone is None else f"CRON_TZ={self.timezone} {self.cron}"
        return None if self.every is None else f"@every {self.every}"

    def moment(self) -> int | None:
        """Of one that comes once, in Unix seconds."""
        if self.in_ is not None:
            return int(time.time()) + seconds(self.in_)
        return None if self.at is None else int(self.at.timestamp())


class Reminder(BaseModel):
    id: int
    title: str
    message: str
    priority: int
    schedule: str | None = Field(description="of a recurring one")
    state: Literal["active", "paused", "failed", "delivered"]
    next_at: datetime | None
    waiting: int = Field(description="deliveries that are due, and were not accepted yet")
    dead: int = Field(description="deliveries that were given up")


class Delivery(BaseModel):
    id: int
    reminder: int
    state: Literal["due", "delayed", "processing", "blocked", "done", "dead"]
    due_at: datetime
    attempts: int
    finished_at: datetime | None
    error: str | None
