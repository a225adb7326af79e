"""What an installation can set, by variables of its environment: REMINDERS_ and the name in capitals."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self, get_type_hints


@dataclass(frozen=True)
class Settings:
    """database: the file.
    endpoint, topic, token: where reminders are posted to, as ntfy has it: the server, a topic there, an access token.
    timeout_s: how long an answer is waited for.
    attempts: how often a delivery is tried before it is among the dead.
    backoff_s, backoff_max_s: after how long it is tried again: twice as long each time, up to the second.
    deliveries: how many go on at once.
    keep_s: how long what was delivered is remembered.
    """

    database: str = "reminders.db"
    endpoint: str = "http://127.0.0.1:8080"
    topic: str = "reminders"
    token: str = ""
    timeout_s: float = 10.0
    attempts: int = 20
    backoff_s: int = 5
    backoff_max_s: int = 3600
    deliveries: int = 8
    keep_s: int = 7 * 86_400

    @classmethod
    def of_environment(cls) -> Self:
        """SystemExit says what is wrong."""
        given = {}
        for name, kind in get_type_hints(cls).items():
            variable = f"REMINDERS_{name.upper()}"
            if variable in os.environ:
                try:
                    given[name] = kind(os.environ[variable])
                except ValueError as error:
                    raise SystemExit(f"reminders: {variable}: {error}") from None
        return cls(**given)
