"""What the natives are built with: cargo-zigbuild and zig, from wheels, in a venv of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from report import say
from repository import TARGET

REQUIREMENTS = Path(__file__).with_name("wheels.txt")
WHEELS = [line.split()[0] for line in REQUIREMENTS.read_text().splitlines() if "==" in line]
VENV = TARGET / "release-tools" / "venv"
PYTHON = VENV / "bin" / "python3"


def get() -> None:
    """Makes the venv, unless it has what is wanted."""
    stamp = VENV / "wheels.txt"
    if stamp.is_file() and stamp.read_text() == "\n".join(WHEELS):
        return
    say(f"installing {' '.join(WHEELS)} into {VENV} (pip)")
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    install = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    subprocess.run([*install, "--require-hashes", "-r", REQUIREMENTS], check=True)
    stamp.write_text("\n".join(WHEELS))


def environment() -> dict[str, str]:
    """An environment in which cargo finds cargo-zigbuild, and that its zig."""
    return os.environ | {"PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def zig(*arguments: str | Path) -> list[str]:
    return [str(PYTHON), "-m", "ziglang", *map(str, arguments)]


def without_place(content: bytes) -> bytes:
    """The same with other names for zig's folders, of their length: zig compiles some of libc while it links, and no
    option keeps the place of those sources out of their symbols.
    """
    for place in (str(VENV).encode(), str(_cache()).encode()):
        content = content.replace(place, b"/zig".ljust(len(place), b"/"))
    return content


def _cache() -> Path:
    """Where zig keeps what it has compiled of libc."""
    named = os.environ.get("ZIG_GLOBAL_CACHE_DIR")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else caches / "zig"


def add_standard_library(rust_target: str) -> str | None:
    """Rust's standard library for a target; why not, if it cannot be had."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True).stdout.strip()
    if (Path(sysroot) / "lib/rustlib" / rust_target / "lib").is_dir():
        return None
    if shutil.which("rustup") is None:
        return f"Rust's standard library for {rust_target} is not installed, and there is no rustup"
    done = subprocess.run(["rustup", "target", "add", rust_target], capture_output=True, text=True)
    if done.returncode == 0:
        return None
    return f"rustup cannot add {rust_target}: {done.stderr.strip().splitlines()[-1]}"


def find(*names: str) -> str | None:
    """The first of these programs that is there."""
    return next((found for name in names if (found := shutil.which(name))), None)


def describe() -> dict[str, str]:
    """The versions, for the record that stands beside what was built."""

    def said(*command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0].strip()

    return {"rustc": said("rustc", "--version"), "wheels": " ".join(WHEELS)}
