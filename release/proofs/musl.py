"""Linux with musl: what is linked with it, or brings nothing else, in a root of Debian that has musl's loader. Debian
has neither a Python nor a Node for musl: Bun comes from npm, and a C++ compiler with zig.
"""

from dataclasses import replace
from pathlib import Path

import fetched
import repository
import roots
import toolchain
from proofs import bun, c, rust

SYSTEM = f"Debian {roots.SUITE} with musl"
PLATFORM = "linux-x64-musl"
# musl's C++ library, which Bun takes from the system and Debian does not have, is in every wheel that needs it.
WITH_LIBRARIES = ("numpy", "2.3.5", "musllinux_1_2_x86_64")


def zig() -> Path | None:
    found = sorted(toolchain.VENV.glob("lib/python*/site-packages/ziglang"))
    return found[0] if found else None


def compiler(target: str) -> str:
    """Commands that make `cxx` a C++ compiler for a target of zig's, and show it nlohmann/json."""
    return f"""
mkdir -p bin include && ln -sf /usr/include/nlohmann include/nlohmann
printf '#!/bin/sh\\nexec /usr/local/zig/zig c++ -target {target} -I"$HOME/include" "$@"\\n' >bin/cxx
chmod +x bin/cxx
"""


def _bun() -> Path | None:
    package = fetched.npm("@oven/bun-linux-x64-musl", _version())
    return package / "bin" if package else None


def _version() -> str:
    """That of scripts/setup."""
    lines = (repository.ROOT / "scripts/setup").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("bun_version="))


def _libraries() -> Path | None:
    wheel = fetched.wheel(*WITH_LIBRARIES)
    return wheel / "numpy.libs" if wheel else None


C = replace(
    c.PROOF,
    platform=PLATFORM,
    system=SYSTEM,
    shares="c-musl",
    debian=["musl", "cmake", "make", "pkg-config", "nlohmann-json3-dev"],
    install=c.INSTALL.replace("linux-x64-gnu", PLATFORM) + compiler("x86_64-linux-musl"),
    run_example=c.PROOF.run_example.replace("c++ -std", "bin/cxx -std"),
    build_worker=c.PROOF.build_worker.replace("-S .", "-S . -DCMAKE_CXX_COMPILER=$HOME/bin/cxx"),
    lends={"/usr/local/zig": zig},
    files=[f"c/honker-*-{PLATFORM}.tar.gz"],
)
RUST = replace(
    rust.PROOF,
    platform=PLATFORM,
    system=SYSTEM,
    shares="rust-musl",
    debian=[*rust.PROOF.debian, "musl", "musl-tools"],
    install=f"{rust.PROOF.install} --target x86_64-unknown-linux-musl",
    run_example="target/x86_64-unknown-linux-musl/debug/app",
    run_worker="target/x86_64-unknown-linux-musl/debug/worker",
)
BUN = replace(
    bun.PROOF,
    platform=PLATFORM,
    system=SYSTEM,
    shares="bun-musl",
    debian=["musl"],
    install=f"""set -e
printf '/usr/local/musl\\n/usr/lib/x86_64-linux-musl\\n' >/etc/ld-musl-x86_64.path
ln -s "$(ls /usr/local/musl/libstdc++-*.so.6.* | head -n 1)" /usr/lib/x86_64-linux-musl/libstdc++.so.6
ln -s "$(ls /usr/local/musl/libgcc_s-*.so.1 | head -n 1)" /usr/lib/x86_64-linux-musl/libgcc_s.so.1
{bun.INSTALL.replace("linux-x64-gnu", PLATFORM)}
""",
    lends={"/usr/local/bun": _bun, "/usr/local/musl": _libraries},
    files=["node/*-honker-bun-[0-9]*.tgz", f"node/*-honker-node-{PLATFORM}-*.tgz"],
)
PROOFS = [C, RUST, BUN]
