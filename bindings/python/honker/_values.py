"""What users give, as the library takes it; and back."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from . import _abi
from ._library import memory
from .errors import EncodingError, InvalidError

MIN, MAX = -(2**63), 2**63 - 1

Seconds = int | float | timedelta
Moment = int | float | datetime
Parameter = None | bool | int | float | str | bytes | bytearray | memoryview
Row = dict[str, Any]


def text(value: str, name: str) -> bytes:
    """As UTF-8."""
    if not isinstance(value, str):
        raise TypeError(f"{name} has to be a str, not {type(value).__name__}")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise EncodingError(f"{name} cannot be written as UTF-8: {error}") from None


def optional_text(value: str | None, name: str) -> bytes | None:
    return None if value is None else text(value, name)


def integer(value: float, name: str) -> int:
    """A 64-bit integer; floats are truncated."""
    if not isinstance(value, int):
        if not isinstance(value, float):
            raise TypeError(f"{name} has to be an int, not {type(value).__name__}")
        if not math.isfinite(value):
            raise InvalidError(f"{name} must not be {value}")
        value = int(value)
    if not MIN <= value <= MAX:
        raise InvalidError(f"{name} does not fit into 64 bits: {value}")
    return int(value)


def positive(value: float, name: str) -> int:
    number = integer(value, name)
    if number <= 0:
        raise InvalidError(f"{name} must be positive: {number}")
    return number


def seconds(value: Seconds, name: str) -> int:
    """Whole seconds."""
    return integer(value.total_seconds() if isinstance(value, timedelta) else value, name)


def optional_seconds(value: Seconds | None, name: str) -> int:
    return _set(seconds(value, name), name) if value is not None else _abi.NO_TIME


def optional_integer(value: float | None, name: str) -> int:
    return _set(integer(value, name), name) if value is not None else _abi.NO_TIME


def moment(value: Moment | None, name: str) -> int:
    """Unix seconds; a datetime without a time zone is a local one."""
    if value is None:
        return _abi.NO_TIME
    return _set(integer(value.timestamp() if isinstance(value, datetime) else value, name), name)


def _set(value: int, name: str) -> int:
    if value == _abi.NO_TIME:
        raise InvalidError(f"{name} is too large: {value}")
    return value


def timeout(value: float | None, name: str = "timeout") -> float | None:
    """Seconds to wait; None without end."""
    if value is None:
        return None
    if not isinstance(value, int | float) or math.isnan(value):
        raise TypeError(f"{name} has to be a number of seconds or None, not {value!r}")
    return None if value == math.inf else max(0.0, float(value))


def milliseconds(value: float | None, name: str) -> int:
    """-1 for None: never."""
    if value is None:
        return -1
    if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise InvalidError(f"{name} has to be a positive number of seconds or None, not {value!r}")
    return integer(value * 1000, name) or 1


def choice(choices: Mapping[str, int], value: str, name: str) -> int:
    try:
        return choices[value]
    except (KeyError, TypeError):
        raise InvalidError(f"{name} has to be one of {', '.join(choices)}, not {value!r}") from None


class Kept:
    """Memory that the library reads during a call, as a struct has it: an address and a length."""

    __slots__ = ("_all",)

    def __init__(self) -> None:
        self._all: list[Any] = []

    def place(self, data: bytes | None) -> tuple[int, int]:
        if data is None:
            return 0, 0
        view = ctypes.c_char_p(data)
        self._all.append(view)
        return ctypes.cast(view, ctypes.c_void_p).value or 0, len(data)

    def struct(self, data: bytes) -> int:
        return self.place(data)[0]


def parameters(values: Sequence[Parameter] | None, kept: Kept) -> tuple[bytes | None, int]:
    """Those of a statement."""
    if values is None:
        return None, 0
    if isinstance(values, str | bytes | bytearray | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"params has to be a positional sequence, such as a list, not {type(values).__name__}")
    packed = [_parameter(value, kept) for value in values]
    return b"".join(packed), len(packed)


def _parameter(value: Any, kept: Kept) -> bytes:
    pack = _abi.VALUE.pack
    match value:
        case None:
            return pack(_abi.TYPE_NULL, 0, 0, 0.0, 0, 0)
        case bool() | int():
            return pack(_abi.TYPE_INTEGER, 0, integer(value, "an SQL parameter"), 0.0, 0, 0)
        case float():
            return pack(_abi.TYPE_REAL, 0, 0, value, 0, 0)
        case str():
            return pack(_abi.TYPE_TEXT, 0, 0, 0.0, *kept.place(text(value, "an SQL parameter")))
        case bytes() | bytearray() | memoryview():
            return pack(_abi.TYPE_BLOB, 0, 0, 0.0, *kept.place(bytes(value)))
    raise TypeError(f"unsupported SQL parameter type: {type(value).__name__}")


def column(kind: int, number: int, real: float, address: int, length: int) -> Any:
    """A value of a row."""
    if kind == _abi.TYPE_INTEGER:
        return number
    if kind == _abi.TYPE_REAL:
        return real
    if kind == _abi.TYPE_TEXT:
        return memory[address : address + length].decode(errors="replace")
    if kind == _abi.TYPE_BLOB:
        return memory[address : address + length]
    return None
