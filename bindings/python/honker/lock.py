"""Locks that processes share."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from . import _abi, _values
from ._library import lib
from .errors import LockHeld

if TYPE_CHECKING:
    from .database import Database


class Lock:
    """Made by `Database.lock`. Should its holder die, it is free after its time.

    with db.lock("backup", ttl=300) as lock:
        ...
        lock.renew()
    """

    def __init__(self, database: Database, name: str, ttl: _values.Seconds, owner: str | None) -> None:
        self._database = database
        self._text = _values.text(name, "name")
        self._given_owner = owner
        self.name = name
        self.owner: str = _random() if owner is None else owner
        self.ttl: int = _values.seconds(ttl, "ttl")
        self.acquired: bool = False
        _values.text(self.owner, "owner")

    def acquire(self) -> bool:
        """Takes it, if it is free; whether that is so."""
        if self._given_owner is None:
            self.owner = _random()
        self.acquired = self._is_mine(lib.honker_lock_acquire, self.ttl)
        return self.acquired

    def renew(self, ttl: _values.Seconds | None = None) -> bool:
        """It is taken for `ttl` seconds from now. False if it was not acquired, or somebody else has it by now."""
        if not self.acquired:
            return False
        return self._is_mine(lib.honker_lock_renew, self.ttl if ttl is None else _values.seconds(ttl, "ttl"))

    def release(self) -> bool:
        """Gives it up. False, and nothing happens, if it was not acquired, or somebody else has it by now."""
        if not self.acquired:
            return False
        released = self._is_mine(lib.honker_lock_release)
        self.acquired = False  # not if that raised
        return released

    async def aacquire(self) -> bool:
        return await self._database._arun(self.acquire, undo=lambda acquired: acquired and self.release())

    async def arenew(self, ttl: _values.Seconds | None = None) -> bool:
        return await self._database._arun(lambda: self.renew(ttl))

    async def arelease(self) -> bool:
        return await self._database._arun(self.release)

    def _is_mine(self, function: object, *arguments: int) -> bool:
        owner = self.owner.encode()
        status = self._database._write(None, function, self._text, len(self._text), owner, len(owner), *arguments)
        return status == _abi.OK

    def __enter__(self) -> Lock:
        if not self.acquire():
            raise LockHeld(f"somebody else has the lock {self.name!r}")
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    async def __aenter__(self) -> Lock:
        if not await self.aacquire():
            raise LockHeld(f"somebody else has the lock {self.name!r}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.arelease()

    def __repr__(self) -> str:
        return f"<Lock {self.name!r}{'' if self.acquired else ' (not acquired)'}>"


def _random() -> str:
    return secrets.token_hex(16)
