"""What a release is made of: the version, the commit, and the natives of each platform."""

import json
import os
import subprocess
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import natives
import portable
import repository
from archive import Entry, tree
from report import say, skip
from targets import Target, read


@dataclass
class Native:
    """What was compiled for a platform."""

    target: Target
    folder: Path
    files: frozenset[str]

    def has(self, name: str) -> bool:
        return name in self.files

    def entry(self, name: str, called: str, runs: bool = False) -> Entry:
        return Entry(called, (self.folder / name).read_bytes(), runs)


@dataclass
class Release:
    """One version of everything."""

    version: str
    commit: str
    moment: int
    natives: list[Native]
    # Whether all natives are of this commit, and of which each is.
    is_whole: bool = True
    commits: dict[str, str] = field(default_factory=dict)

    def of(self, language: str) -> list[tuple[str, Native]]:
        """The platforms that a language has a package for, with its name for each."""
        return [(name, native) for native in self.natives if (name := native.target.called.get(language))]

    @cached_property
    def licenses(self) -> list[Entry]:
        return tree(repository.ROOT, ["LICENSE-APACHE", "LICENSE-MIT"])

    def files(self, folder: str, *, below: str = "", but: tuple[str, ...] = ()) -> list[Entry]:
        """What git has in a folder of the repository."""
        names = repository.git("ls-files", "--", folder).splitlines()
        inside = [name.removeprefix(f"{folder}/") for name in names]
        return tree(repository.ROOT / folder, [name for name in sorted(inside) if not name.startswith(but)], below)


def gather() -> Release:
    """The release that HEAD is. Natives of another commit are refused."""
    commit = repository.commit()
    found = []
    commits = {}
    is_whole = True
    for target in read():
        folder = repository.NATIVES / target.name
        if not (folder / natives.RECORD).is_file():
            if repository.IS_SAMPLE:
                continue
            skip(f"packages for {target.name}", "its natives were not built")
            continue
        record = json.loads((folder / natives.RECORD).read_text())
        is_whole &= _is_same_commit(target.name, record["commit"], commit, repository.SOURCES)
        if record["version"] != repository.version():
            raise SystemExit(f"release: the natives of {target.name} are of version {record['version']}")
        for name, wanted in record["files"].items():
            if natives.sha256(folder / name) != wanted["sha256"]:
                raise SystemExit(f"release: {folder / name} is not what was built")
        # Of a sample that was said a moment ago.
        if not repository.IS_SAMPLE:
            for name, why in record["missing"].items():
                skip(f"{name} for {target.name}", why)
        commits[target.name] = record["commit"]
        found.append(Native(target, folder, frozenset(record["files"])))
    if not found:
        raise SystemExit("release: there are no natives: make natives")
    if (portable.OUT / natives.RECORD).is_file():
        record = json.loads((portable.OUT / natives.RECORD).read_text())
        is_whole &= _is_same_commit(portable.NAME, record["commit"], commit, repository.PORTABLE_SOURCES)
        for name, why in record["missing"].items():
            skip(f"{name}, for all platforms", why)
    else:
        skip("what is compiled once for all platforms", "it was not compiled")
    return Release(repository.version(), commit, repository.commit_time(), found, is_whole, commits)


def _is_same_commit(name: str, built: str, head: str, made_of: list[str]) -> bool:
    """Whether they are of HEAD. If they are not that is the end, but with ALLOW=older, and for a sample."""
    if repository.IS_SAMPLE:
        return False
    if built == head and not repository.is_dirty():
        return True
    if os.environ.get("ALLOW") == "older":
        # For those who work on the packages: what is compiled does not differ, but for the commit that it names.
        command = ["git", "diff", "--quiet", built, "--", *made_of]
        if subprocess.run(command, cwd=repository.ROOT).returncode == 0:
            say(f"ALLOW=older: the natives of {name} name {built[:12]}; this is no release")
            return False
        raise SystemExit(f"release: what the natives of {name} are made of has changed since {built[:12]}")
    if built == head:
        raise SystemExit("release: files differ from HEAD: commit them")
    raise SystemExit(f"release: the natives of {name} are of {built[:12]}, and HEAD is {head[:12]}: make natives")
