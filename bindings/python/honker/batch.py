"""Jobs that are waited for together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _abi
from ._library import lib

if TYPE_CHECKING:
    from .database import Database
    from .job import Job
    from .transaction import Transaction


class Batch:
    """Made by `Database.batch`. Jobs join it with the option `batch` of whatever enqueues. As a block it is sealed at
    its end; if that is left by an exception it stays open, and never finishes, unless it was made in a `tx` that is
    rolled back.

    Any number of threads may use it at the same time.
    """

    __slots__ = ("_database", "_member", "_tx", "id")

    id: int

    def __init__(self, database: Database, id: int, tx: Transaction | None = None, member: Job | None = None) -> None:
        self._database = database
        self._tx = tx
        self._member = member
        self.id = id

    def seal(self, tx: Transaction | None = None) -> bool:
        """From now on only running members may add jobs to it (`Job.batch`), and with the last of its jobs it is
        finished; at once if none is pending. False if it was sealed before. ValueError if there is no such batch.
        """
        return self._database._write(tx, lib.honker_batch_seal, self.id) == _abi.OK

    def get(self, tx: Transaction | None = None) -> dict[str, Any] | None:
        """What is known of it: how many jobs (total, pending, done, dead, cancelled), whether it is sealed, and
        finished_at, which is None until then. None if there is no such batch any more: it is kept for a day after it
        has finished, or for `keep_s`.
        """
        found: dict[str, Any] | None = self._database._json(self._database._read, tx, lib.honker_batch_get, self.id)
        return found

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.seal(self._tx)

    async def __aenter__(self) -> Batch:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self._database._arun(lambda: self.seal(self._tx), tx=self._tx)

    def __repr__(self) -> str:
        return f"<Batch {self.id} of {self._database._name}>"
