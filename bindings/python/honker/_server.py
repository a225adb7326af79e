"""The URLs of servers, which stand where the name of a file does."""

from __future__ import annotations

import re

_PARTS = re.compile(r"(postgres(?:ql)?://)(?:([^:/?@]*)[^?]*@)?([^?]*)")


def is_url(name: str) -> bool:
    return name.startswith(("postgres://", "postgresql://"))


def shown(name: str) -> str:
    """For texts that people read: without a password, and without parameters, where one may be as well."""
    match = _PARTS.match(name)
    if match is None:
        return name
    scheme, user, rest = match.groups()
    return f"{scheme}{user}@{rest}" if user else f"{scheme}{rest}"
