"""The URL of a Postgres database of the project's, for honker's own connections to it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from django.core.exceptions import ImproperlyConfigured

# What of libpq's is understood by honker. What else is in OPTIONS is about Django's connection.
_PARAMETERS = (
    "application_name",
    "channel_binding",
    "connect_timeout",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "options",
    "passfile",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
)


def url(connection: Any, migrate: bool = False) -> str:
    """migrate: whether honker's schema is to be made, or brought up to date."""
    settings = connection.settings_dict
    options = settings.get("OPTIONS", {})
    for name in ("service", "sslcert", "sslkey"):
        if name in options:
            raise ImproperlyConfigured(f"honker does not know the option {name!r} of Postgres's")
    given = {
        "host": settings["HOST"],
        "port": settings["PORT"],
        "user": settings["USER"],
        "password": settings["PASSWORD"],
        **{name: options.get(name) for name in _PARAMETERS},
        "honker_migrate": "on" if migrate else None,
    }
    given = {name: value for name, value in given.items() if value not in (None, "")}
    return f"postgresql:///{quote(settings['NAME'] or '', safe='')}?{urlencode(given, quote_via=quote)}"
