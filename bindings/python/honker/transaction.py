"""Transactions: the caller's own SQL and honker's operations, committed together or not at all."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _values
from ._library import lib
from .errors import MisuseError

if TYPE_CHECKING:
    from .database import Database


class OpenTransaction:
    """That there is one, and in which thread it was last used."""

    __slots__ = ("thread",)

    def __init__(self) -> None:
        self.thread: int = threading.get_ident()


class Transaction:
    """Made by `Database.transaction` and `Database.atransaction`. One thread or task uses it at a time.

    It has the database's only writer: until it is over, other calls that write wait, in every process. Should the
    process die, it never happened.
    """

    __slots__ = ("_database", "_handle", "_open", "_pid")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._handle = 0
        self._open: OpenTransaction | None = None
        self._pid = os.getpid()

    def _begin(self) -> None:
        database = self._database
        handle = database._new(lib.honker_tx_begin, database._handle)
        self._open = database._open_transaction = OpenTransaction()
        self._handle = handle

    def _over(self) -> int:
        """It is, for everybody but the library."""
        handle, self._handle = self._handle, 0
        if self._database._open_transaction is self._open:
            self._database._open_transaction = None
        self._open = None
        return handle

    def _use(self, database: Database | None = None) -> int:
        if database is not None and database is not self._database:
            raise MisuseError("tx is a transaction of another database")
        if not self._handle or self._open is None:
            raise MisuseError("the transaction is over")
        self._open.thread = threading.get_ident()
        return self._handle

    def __del__(self) -> None:
        if self._handle and self._pid == os.getpid():
            lib.honker_tx_free(self._over())

    @property
    def open(self) -> bool:
        """Whether it is neither committed nor rolled back."""
        return self._handle != 0

    def execute(self, sql: str, params: Sequence[_values.Parameter] | None = None) -> None:
        """Runs one statement of SQL; all of honker's SQL functions are there.

        params: the values of ?1, ?2, ... in order: None, bool, int, float, str, bytes.
        """
        kept, out = _values.Kept(), ctypes.c_int64()
        sql_text = _values.text(sql, "sql")
        packed, count = _values.parameters(params, kept)
        self._database._call(
            lib.honker_tx_execute, self._use(), sql_text, len(sql_text), packed, count, ctypes.byref(out)
        )

    def query(self, sql: str, params: Sequence[_values.Parameter] | None = None) -> list[_values.Row]:
        """The rows of one statement, dicts by its columns' names. They see what the transaction has done so far."""
        return self._database._rows(lib.honker_tx_query, self._use(), sql, params)

    def notify(self, channel: str, value: Any) -> int:
        """Sends a notification to whoever listens, when this is committed; its id."""
        return self._database.notify(channel, value, tx=self)

    def bootstrap_honker_schema(self) -> None:
        """Makes honker's tables where they are missing; opening the database has done so already.

        On Postgres there is nothing to do: a database without them is not opened (`honker migrate` makes them).
        """
        if self._database._is_server:
            self._use()  # An error if the transaction is over.
        else:
            self.query("SELECT honker_bootstrap()")

    def commit(self) -> None:
        """Commits; nothing if it is over already. On an error nothing of the transaction has happened."""
        self._end(lib.honker_tx_commit)

    def rollback(self) -> None:
        """Rolls back; nothing if it is over already."""
        self._end(lib.honker_tx_rollback)

    def _end(self, function: Any) -> None:
        if not self._handle:
            return
        handle = self._over()
        try:
            self._database._call(function, handle)
        finally:
            lib.honker_tx_free(handle)

    def _discard(self) -> None:
        """Without an error of its own: there is one already. What cannot be rolled back is freed, which does it."""
        if self._handle:
            lib.honker_tx_free(self._over())

    # As a block.

    def __enter__(self) -> Transaction:
        if self._handle:
            raise MisuseError("the transaction has begun already")
        self._database._check_nesting("nested db.transaction() is not supported")
        self._begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.commit()
        else:
            self._discard()

    def __repr__(self) -> str:
        return f"<Transaction of {self._database._name}{'' if self._handle else ' (not open)'}>"


class AsyncTransaction:
    """The block of `Database.atransaction`."""

    __slots__ = ("_transaction",)

    def __init__(self, database: Database) -> None:
        self._transaction = Transaction(database)

    async def __aenter__(self) -> Transaction:
        transaction = self._transaction
        if transaction.open:
            raise MisuseError("the transaction has begun already")
        await transaction._database._arun(transaction._begin, undo=lambda _: transaction._discard())
        transaction._use()  # in this thread from now on
        return transaction

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._transaction.__exit__(kind)
