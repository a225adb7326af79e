"""One module for each package: how it is installed from dist/ and used, as a `Proof`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import repository
from roots import Root


@dataclass
class Proof:
    """How a package is proved."""

    name: str
    # Debian's packages that the root has: the language, and its client.
    debian: list[str]
    install: str
    # The README's first example, by file; what runs it, and the line that it has to say.
    example: dict[str, str]
    run_example: str
    says: str
    # A program that makes /shared/app.db, says that it waits by making /shared/waiting, waits for a job in the queue
    # ping, and answers with one in pong.
    worker: dict[str, str] = field(default_factory=dict)
    run_worker: str = ""
    build_worker: str = ""
    # The language's own toolchain is a compiler.
    compiles: bool = False
    # The module of the language it is paired with.
    partner: str = "python"
    platform: str = "linux-x64-gnu"
    # Files that the installation needs in the home.
    brought: dict[str, str] = field(default_factory=dict)
    # The files of dist/ that a user of this platform gets, as patterns.
    files: list[str] = field(default_factory=list)
    # Folders of this machine that the root needs, by where it sees them: a toolchain that Debian does not have.
    lends: dict[str, Callable[[], Path | None]] = field(default_factory=dict)
    path: str = ""

    def unavailable(self) -> str | None:
        for pattern in self.files:
            if not list(repository.DIST.glob(pattern)):
                return f"there is no {pattern} in dist/: make packages"
        for where, find in self.lends.items():
            if find() is None:
                return f"what is to be at {where} is not here"
        return None

    def size(self) -> int:
        """Bytes that are downloaded."""
        return sum(path.stat().st_size for pattern in self.files for path in repository.DIST.glob(pattern))

    def furnish(self, root: Root) -> None:
        root.lend(repository.DIST, "/dist")
        for where, find in self.lends.items():
            if place := find():
                root.lend(place, where)
        for name, text in self.brought.items():
            root.write(name, text)
        if self.path:
            root.path = f"{self.path}:{root.path}"


def readme(language: str) -> str:
    return (repository.ROOT / "bindings" / language / "README.md").read_text()
