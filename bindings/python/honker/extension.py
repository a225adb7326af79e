"""The loadable extension, for connections of your own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

EXTENSION_ENTRYPOINT = "sqlite3_honkerext_init"
FILE = {"win32": "honker_ext.dll", "darwin": "libhonker_ext.dylib"}.get(sys.platform, "libhonker_ext.so")
BUNDLED = Path(__file__).parent / "_lib" / FILE


class ExtensionInfo(NamedTuple):
    path: str
    entrypoint: str


def extension_info() -> ExtensionInfo:
    """Where the extension is: what HONKER_EXTENSION_PATH names, else the copy in this package, else that of a build in
    a parent directory. FileNotFoundError lists what was searched.
    """
    named = os.environ.get("HONKER_EXTENSION_PATH")
    if named:
        if os.path.isfile(named):
            return ExtensionInfo(os.path.abspath(named), EXTENSION_ENTRYPOINT)
        raise FileNotFoundError(f"HONKER_EXTENSION_PATH is no file: {named}")
    places = [BUNDLED, *(parent / "target" / "release" / FILE for parent in Path(__file__).resolve().parents)]
    for place in places:
        if place.is_file():
            return ExtensionInfo(str(place), EXTENSION_ENTRYPOINT)
    listed = "".join(f"\n  {place}" for place in places)
    raise FileNotFoundError(f"honker's loadable extension was not found; set HONKER_EXTENSION_PATH. Searched:{listed}")


def load_extension(conn: Any) -> None:
    """Loads the extension into a sqlite3.Connection, or one like it, whose SQL then has honker's functions. Loading is
    disabled again afterwards. `SELECT honker_bootstrap()` makes honker's tables, if nobody has opened the file with
    honker.

    RuntimeError if this Python cannot load extensions, as many builds (pyenv's among them) and the system's on macOS
    cannot: `enqueue_on` needs none.
    """
    info = extension_info()
    if not hasattr(conn, "enable_load_extension"):
        raise RuntimeError(
            f"{type(conn).__module__}.{type(conn).__qualname__} cannot load extensions: it has no "
            "enable_load_extension, since Python was built without. To enqueue on a connection of your own nothing has "
            "to be loaded: honker.enqueue_on(conn, queue, payload)"
        )
    conn.enable_load_extension(True)
    try:
        try:
            conn.load_extension(info.path, entrypoint=info.entrypoint)
        except TypeError:  # before Python 3.12
            conn.execute("SELECT load_extension(?, ?)", (info.path, info.entrypoint))
    finally:
        conn.enable_load_extension(False)
