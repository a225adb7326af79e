"""Finds and loads libhonker, once in a process.

`lib` has the functions of the C ABI as attributes, once `load` was called: each is ctypes' own, and lets other threads
run unless the function is quick. Handles are numbers, which the library checks in every call.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from pathlib import Path
from typing import Any

from . import _abi
from ._version import __version__
from .errors import LibraryError

FILE = {"win32": "honker.dll", "darwin": "libhonker.dylib"}.get(sys.platform, "libhonker.so")
BUNDLED = Path(__file__).parent / "_lib" / FILE

_TYPES: dict[str, Any] = {
    "p": ctypes.c_void_p,
    "s": ctypes.c_char_p,
    "i": ctypes.c_int32,
    "I": ctypes.c_uint32,
    "q": ctypes.c_int64,
    "Q": ctypes.c_uint64,
    "d": ctypes.c_double,
    "N": ctypes.c_size_t,
    "t": ctypes.c_char_p,
    "v": None,
}

# All that this process can address, for the library's memory: a slice of it is a copy, and several times faster than
# ctypes.string_at. Only what the library says is looked at.
memory: Any = (ctypes.c_char * sys.maxsize).from_address(0)


class Library:
    """The functions of libhonker."""

    def __init__(self) -> None:
        self.loaded: str | None = None

    def __getattr__(self, name: str) -> Any:  # until it is loaded
        if not name.startswith("honker_"):
            raise AttributeError(name)
        load()
        return self.__dict__[name]


lib = Library()
_lock = threading.Lock()


def load(path: str | os.PathLike[str] | None = None) -> str:
    """Loads the library, if it is not loaded: from `path`, else from what HONKER_LIBRARY names, else the copy in this
    package, the one next to the program, the system's. The first to load it decides for the process.
    """
    with _lock:
        if lib.loaded is not None:
            return _same(lib.loaded, path)
        tried = []
        for place, why in _places(path):
            problem = _try(place)
            if problem is None:
                lib.loaded = place
                return place
            tried.append(f"{place} ({why}): {problem}")
        lines = "".join(f"  {line}\n" for line in tried)
        raise LibraryError(
            f"libhonker could not be loaded. Tried:\n{lines}"
            f"Pass library_path= to honker.open, or set HONKER_LIBRARY, to the path of {FILE}.",
            tried=tried,
        )


def _places(path: str | os.PathLike[str] | None) -> list[tuple[str, str]]:
    if path is not None:
        return [(os.path.abspath(path), "library_path")]
    named = os.environ.get("HONKER_LIBRARY")
    if named:
        return [(os.path.abspath(named), "HONKER_LIBRARY")]
    beside = Path(os.path.abspath(sys.argv[0] if sys.argv and sys.argv[0] else ".")).parent / FILE
    return [(str(BUNDLED), "in this package"), (str(beside), "next to the program"), (FILE, "the system")]


def _same(loaded: str, path: str | os.PathLike[str] | None) -> str:
    if path is None or os.path.abspath(path) == loaded:
        return loaded
    if os.path.exists(loaded) and os.path.exists(path) and os.path.samefile(path, loaded):
        return loaded
    raise LibraryError(
        f"{os.fspath(path)} cannot be loaded: this process uses {loaded} already", tried=[os.fspath(path)]
    )


def _try(place: str) -> str | None:
    if os.path.dirname(place) and not os.path.exists(place):
        return "no such file"
    try:
        blocking, quick = ctypes.CDLL(place), ctypes.PyDLL(place)
    except OSError as error:
        return str(error)
    try:
        problem = _misfit(_function(quick, "honker_abi_version")(), _function(quick, "honker_version")().decode())
        if problem is not None:
            return problem
        functions = {name: _function(quick if name in _abi.QUICK else blocking, name) for name in _abi.SIGNATURES}
    except AttributeError as error:
        return f"not a libhonker that fits: {error}"
    lib.__dict__.update(functions)
    return None


def _function(library: ctypes.CDLL, name: str) -> Any:
    function = library[name]  # an attribute would be shared with whoever else loads it
    signature = _abi.SIGNATURES[name]
    function.restype = _TYPES[signature[0]]
    function.argtypes = [_TYPES[letter] for letter in signature[1:]]
    return function


def _misfit(abi: int, version: str) -> str | None:
    ours = _abi.ABI_VERSION
    if abi >> 16 == ours >> 16 and abi >= ours:
        return None
    return (
        f"its interface is version {abi >> 16}.{abi & 0xFFFF} (libhonker {version}), and honker {__version__} for "
        f"Python needs {ours >> 16}.{ours & 0xFFFF} or a later {ours >> 16}.x"
    )
