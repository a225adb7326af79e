"""Payloads: JSON, compact and UTF-8, as every package reads and writes it."""

from __future__ import annotations

import json
from typing import Any

from .errors import EncodingError

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode


class RawText(str):
    """A payload's text as it is: given to `enqueue` and the like it is stored without being encoded, and a stored text
    that is not JSON comes back as one.
    """

    __slots__ = ()


def encode(value: Any, name: str = "payload") -> bytes:
    """The text of a payload.

    Raises TypeError for what JSON does not have, ValueError for NaN, and for what contains itself.
    """
    try:
        written = value if type(value) is RawText else _encode(value)
        return written.encode()
    except UnicodeEncodeError as error:
        raise EncodingError(f"{name} cannot be written as UTF-8: {error}") from None
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None


def decode(data: bytes | str) -> Any:
    """The value of a stored payload; None for an empty one, a RawText for what is not JSON."""
    if not data:
        return None
    text = data if isinstance(data, str) else data.decode(errors="replace")
    try:
        return _decode(text)
    except (ValueError, RecursionError):
        return RawText(text)
