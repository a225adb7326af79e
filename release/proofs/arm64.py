"""Linux on ARM64, with glibc: the proofs of x86-64, in a root of that processor, whose programs qemu-user runs. Where
the JVM, .NET and Bun compile while they run, and Rust for minutes, it is too slow or not right.
"""

import importlib
from dataclasses import replace

import roots
from proofs import Proof

NAMES = ["python", "go", "node", "ruby", "c", "extension", "elixir"]
CALLED = {
    "linux-x64-gnu": "linux-arm64-gnu",
    "x86_64-linux-gnu": "aarch64-linux-gnu",
    "manylinux_2_28_x86_64": "manylinux_2_28_aarch64",
    "linux-amd64": "linux-arm64",
}


def _text(text: str) -> str:
    for old, new in CALLED.items():
        text = text.replace(old, new)
    return text


def _emulated(command: str) -> str:
    """Under qemu-user Erlang's compiler needs one mapping of what it writes and runs."""
    return f"export ERL_FLAGS='+JMsingle true'\n{command}" if "mix " in command else command


def moved(proof: Proof) -> Proof:
    """The same, for ARM64."""
    return replace(
        proof,
        platform="linux-arm64-gnu",
        cpu="arm64",
        system=f"Debian {roots.SUITE}, arm64 under qemu-user" if roots.CPU != "arm64" else "",
        install=_emulated(_text(proof.install)),
        run_example=_emulated(proof.run_example),
        run_worker=_emulated(proof.run_worker),
        files=[_text(pattern) for pattern in proof.files],
    )


PROOFS = [moved(importlib.import_module(f"proofs.{name}").PROOF) for name in NAMES]
