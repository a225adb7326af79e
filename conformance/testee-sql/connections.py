"""The connections of an opened database that are not in use: what testee-sql and testee-psycopg have in common.

Any thread may take one, and gives it back. Closing waits until all have come back, and ends what is running on them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any


class Connections:
    """Which driver they are of says who inherits from it."""

    def __init__(self) -> None:
        self.closed = False
        self.idle: list[Any] = []
        self.in_use: set[Any] = set()
        self.given_back = threading.Condition()
        # Transactions and watchers, which are closed first.
        self.within: list[Any] = []
        self.idle.append(self.connect())

    def connect(self) -> Any:
        raise NotImplementedError

    def refused(self) -> Exception:
        """What is raised once it is closed."""
        raise NotImplementedError

    def may_be_kept(self, connection: Any) -> bool:
        """Whether others may take it: one in a transaction was told BEGIN by a query, and nobody could ever end it."""
        raise NotImplementedError

    def interrupt(self, connection: Any) -> None:
        raise NotImplementedError

    def discard(self, connection: Any) -> None:
        connection.close()

    def take(self) -> Any:
        with self.given_back:
            connection = self.idle.pop() if self.idle else None
        if not (connection or self.closed):
            connection = self.connect()
        with self.given_back:
            if not self.closed:
                self.in_use.add(connection)
                return connection
        if connection:
            connection.close()
        raise self.refused()

    def give(self, connection: Any) -> None:
        with self.given_back:
            if self.closed or not self.may_be_kept(connection):
                self.discard(connection)
            else:
                self.idle.append(connection)
            self.in_use.discard(connection)
            self.given_back.notify_all()

    @contextlib.contextmanager
    def use(self) -> Iterator[Any]:
        connection = self.take()
        try:
            yield connection
        finally:
            self.give(connection)

    def close(self) -> None:
        """Ends what is running; when it returns no connection is left."""
        for handle in self.within[::-1]:
            handle.close()
        with self.given_back:
            self.closed = True
            for connection in self.in_use:
                self.interrupt(connection)
            self.given_back.wait_for(lambda: not self.in_use)
            while self.idle:
                self.idle.pop().close()
