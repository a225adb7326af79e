"""Waiting for what came of a job."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from . import _values, payload
from ._consumer import Consumer
from ._library import lib

if TYPE_CHECKING:
    from .database import Database


class ResultWait(Consumer):
    _free = "honker_result_wait_free"

    def __init__(self, database: Database, id: int, *, private: bool = False) -> None:
        self.id: int = _values.integer(id, "id")
        super().__init__(database, lib.honker_result_wait_new, self.id, private=private)

    def result(self, text: bytes | None) -> Any:
        if text is None:
            raise TimeoutError(f"wait_result({self.id}) timed out")
        return payload.decode(text)

    def _look(self) -> bytes | None:
        out = ctypes.c_void_p()
        status = self._database._call(lib.honker_result_wait_next, self._handle, 0, ctypes.byref(out))
        return self._database._take_text(out) if self._found(status) else None
