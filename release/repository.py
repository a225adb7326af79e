"""This checkout: its folders, its version, its commit."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute()
# A sample (sample.py) has folders of its own, and is never released.
IS_SAMPLE = "HONKER_SAMPLE" in os.environ
NATIVES = TARGET / ("sample/natives" if IS_SAMPLE else "natives")
DIST = TARGET / "sample/dist" if IS_SAMPLE else ROOT / "dist"
# Natives are made of these alone.
SOURCES = [
    "Cargo.toml", "Cargo.lock", "honker-core", "honker-postgres", "honker-ffi", "honker-extension", "honker-cli",
    "include", "bindings/node/native", "bindings/elixir/c_src", "scripts/static-library", "release/targets.json",
]  # fmt: skip
PORTABLE_SOURCES = ["bindings/node", "bindings/bun", "bindings/jvm", "bindings/dotnet", "bindings/go/schema.sql"]


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def commit() -> str:
    return git("rev-parse", "HEAD")


def is_dirty() -> bool:
    """Whether files that git knows differ from HEAD, or there are others where compilers take what lies there."""
    changed = git("status", "--porcelain", "--untracked-files=no")
    strange = git("ls-files", "--others", "--exclude-standard", "--", *SOURCES, *PORTABLE_SOURCES)
    return bool(changed or strange)


def commit_time() -> int:
    """When HEAD was committed, in Unix seconds: the time of every file in every archive."""
    return int(git("show", "-s", "--format=%ct", "HEAD"))


def version(root: Path = ROOT) -> str:
    """The one version number: the workspace's in Cargo.toml."""
    text = (root / "Cargo.toml").read_text()
    return re.search(r'^\[workspace\.package\]\nversion = "(.+)"$', text, re.M)[1]


def abi(root: Path = ROOT) -> int:
    """The major version of the interface, which is in the name of the library."""
    return int(
        re.search(r"^#define HONKER_ABI_VERSION \(*(\d+) << 16", (root / "include/honker.h").read_text(), re.M)[1]
    )
