"""Three real SQLite clients with honker loaded, behind one face, so that tests can mix them.

- `sqlite3`: the command line
- `python`: the sqlite3 module of the Python that runs this
- `apsw`: another module, with a newer SQLite of its own

`connect` opens a file in this process (`python`, `apsw`). Two copies of SQLite in one process must never share a file:
closing it in one drops the locks of the other. So a test that uses several clients on one file gets each from `spawn`,
in a process of its own; started with `python` or `apsw`, this module is that process.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

KINDS = ("sqlite3", "python", "apsw")
BUSY_TIMEOUT_S = 20
ROOT = Path(__file__).resolve().parents[2]


class SqlError(Exception):
    """What a client said of a statement that failed."""


def extension() -> Path:
    """The library under test: HONKER_EXTENSION, or what cargo built last."""
    if named := os.environ.get("HONKER_EXTENSION"):
        return Path(named).resolve()
    release = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    for name in ("libhonker_ext.so", "libhonker_ext.dylib", "honker_ext.dll"):
        if (release / name).exists():
            return release / name
    raise FileNotFoundError("no libhonker_ext: cargo build --release -p honker-extension")


def command_line() -> str | None:
    return os.environ.get("HONKER_SQLITE3") or shutil.which("sqlite3")


def available(kind: str) -> bool:
    """Whether this machine has it. One that is there and does not work is a failure, not a reason to skip."""
    if kind == "sqlite3":
        return command_line() is not None
    return kind == "python" or importlib.util.find_spec("apsw") is not None


def connect(kind: str, path: Path | str, library: Path | None = None) -> sqlite3.Connection | Any:
    """A connection of this process, with the extension loaded. Both kinds have `execute` and `close`."""
    library = library or extension()
    if kind == "python":
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    else:
        import apsw

        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(BUSY_TIMEOUT_S * 1000)
    connection.enable_load_extension(True)
    connection.load_extension(str(library))
    connection.enable_load_extension(False)
    return connection


def spawn(kind: str, path: Path | str | None = None) -> Client:
    """A client in a process of its own. Without a path it waits for `send_open`."""
    client = CommandLine() if kind == "sqlite3" else Module(kind)
    if path is not None:
        try:
            client.send_open(path)
            client.receive()
        except BaseException:
            client.kill()
            raise
    return client


class Client:
    """A client in another process. `rows` asks and waits; `send_…` and `receive` let many work at once."""

    process: subprocess.Popen

    def send_open(self, path: Path | str) -> None:
        raise NotImplementedError

    def send(self, sql: str, *parameters: int | str | None) -> None:
        raise NotImplementedError

    def receive(self) -> list[list]:
        raise NotImplementedError

    def rows(self, sql: str, *parameters: int | str | None) -> list[list]:
        self.send(sql, *parameters)
        return self.receive()

    def value(self, sql: str, *parameters: int | str | None) -> Any:
        return self.rows(sql, *parameters)[0][0]

    def close(self) -> int:
        """Ends the process in good order; its exit status."""
        self.process.stdin.close()
        status = self.process.wait(timeout=30)
        self.process.stdout.close()
        return status

    def kill(self) -> None:
        """SIGKILL, and the end of the process seen."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _write(self, text: str) -> None:
        self.process.stdin.write(text)
        self.process.stdin.flush()


class CommandLine(Client):
    """The sqlite3 shell. Parameters are written into the statement, as there is no other way."""

    END = "-- end of answer --"

    def __init__(self) -> None:
        # Errors come in between the answers, where they belong.
        command = [command_line(), "-batch", "-cmd", ".mode json"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
        )

    def send_open(self, path: Path | str) -> None:
        library = extension().with_suffix("")
        self._write(f'.open "{path}"\n.timeout {BUSY_TIMEOUT_S * 1000}\n.load "{library}"\n.print {self.END}\n')

    def send(self, sql: str, *parameters: int | str | None) -> None:
        pieces = sql.split("?")
        assert len(pieces) == len(parameters) + 1, f"{sql} with {parameters}"
        sql = "".join(piece + literal for piece, literal in zip(pieces, [*map(_literal, parameters), ""]))
        self._write(f"{sql};\n.print {self.END}\n")

    def receive(self) -> list[list]:
        lines = []
        while (line := self.process.stdout.readline()) != self.END + "\n":
            if not line:
                raise SqlError(f"sqlite3 ended: {''.join(lines)}")
            lines.append(line)
        answer = "".join(lines)
        if not answer:
            return []
        try:
            return json.loads(answer, object_pairs_hook=lambda pairs: [value for _, value in pairs])
        except json.JSONDecodeError:
            raise SqlError(answer) from None


def _literal(value: int | str | None) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


class Module(Client):
    """This file, run as a program by this Python. One JSON text a line each way."""

    def __init__(self, kind: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )

    def send_open(self, path: Path | str) -> None:
        self._write(json.dumps(["open", str(path)]) + "\n")

    def send(self, sql: str, *parameters: int | str | None) -> None:
        self._write(json.dumps([sql, *parameters]) + "\n")

    def receive(self) -> list[list]:
        line = self.process.stdout.readline()
        if not line:
            raise SqlError("the client process ended")
        answer = json.loads(line)
        if isinstance(answer, str):
            raise SqlError(answer)
        return answer


def _serve(kind: str) -> None:
    connection = None
    for line in sys.stdin:
        sql, *parameters = json.loads(line)
        try:
            if sql == "open":
                if connection:
                    connection.close()
                connection = connect(kind, *parameters)
                answer = []
            else:
                answer = [list(row) for row in connection.execute(sql, parameters)]
        except Exception as error:  # whatever it is, the test wants to know
            answer = str(error)
        print(json.dumps(answer), flush=True)
    if connection:
        connection.close()


if __name__ == "__main__":
    _serve(sys.argv[1])
