"""How each package is installed from dist/ and used, as a `Proof`: one module for each language, on Linux with glibc,
and one for each other kind of platform.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import repository
import roots
from roots import Root

LANGUAGES = ["python", "go", "node", "bun", "ruby", "c", "extension", "jvm", "dotnet", "elixir", "rust"]
OTHERS = ["musl", "arm64", "windows"]


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
    # What cannot wait has no worker, but a command that enqueues in ping, and says "answered" when that is in pong.
    asks: str = ""
    # The module of the language it is paired with.
    partner: str = "python"
    # The other side of a pair that runs in the same root, started beside the worker: where two systems cannot lock one
    # file for each other. It says "answered".
    beside: str = ""
    platform: str = "linux-x64-gnu"
    # The root's processor, as Debian calls it, and what it has that Debian's has not.
    cpu: str = "amd64"
    system: str = ""
    shares: str = ""
    # Files that the installation needs in the home.
    brought: dict[str, str] = field(default_factory=dict)
    # The files of dist/ that a user of this platform gets, as patterns.
    files: list[str] = field(default_factory=list)
    # Folders of this machine that the root needs, by where it sees them: a toolchain that Debian does not have.
    lends: dict[str, Callable[[], Path | None]] = field(default_factory=dict)
    path: str = ""
    # What this machine's own system may be too old for: why, or None.
    unfit: Callable[[], str | None] = lambda: None

    @property
    def layer(self) -> str:
        """The name of what Debian's packages add to its root: proofs with the same packages share it."""
        return self.shares or self.name

    def unavailable(self) -> str | None:
        if why := roots.unavailable(self.cpu):
            return why
        for pattern in self.files:
            if not list(repository.DIST.glob(pattern)):
                return f"there is no {pattern} in dist/: make packages"
        for where, find in self.lends.items():
            if find() is None:
                return f"what is to be at {where} is not here"
        return self.unfit() if roots.IS_HOST else None

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


def every() -> list[Proof]:
    modules = [importlib.import_module(f"proofs.{name}") for name in LANGUAGES]
    # One machine's own system is one platform.
    others = [] if roots.IS_HOST else [importlib.import_module(f"proofs.{name}") for name in OTHERS]
    return [*(module.PROOF for module in modules), *(proof for module in others for proof in module.PROOFS)]


def partner(proof: Proof) -> Proof:
    """The other side of its pair, on a system with the same processor."""
    return _beside(proof, importlib.import_module(f"proofs.{proof.partner}").PARTNER)


def waiting(proof: Proof) -> Proof:
    """The worker that is paired with what cannot wait, on a system with the same processor."""
    return _beside(proof, importlib.import_module(f"proofs.{proof.partner}").PROOF)


def _beside(proof: Proof, found: Proof) -> Proof:
    moved = importlib.import_module("proofs.arm64").moved
    return found if proof.cpu == found.cpu else moved(found)


def readme(language: str) -> str:
    return (repository.ROOT / "bindings" / language / "README.md").read_text()
