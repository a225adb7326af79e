"""Clean systems to prove packages in: Debian 13 with what one language needs and nothing else, each program in it
without a network and without anything of this machine.

ROOT=host takes this machine's own system instead, with an empty home and without its compilers: it is there at once,
and proves less. The table says which it was.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from report import say
from repository import TARGET

ROOTS = TARGET / "release-roots"
CPUS = {"x86_64": "amd64", "aarch64": "arm64"}
# This machine's, as Debian calls it.
CPU = CPUS.get(os.uname().machine, os.uname().machine)
SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
HOME = "/home/user"
BINARY_FORMATS = Path("/proc/sys/fs/binfmt_misc")
IS_HOST = os.environ.get("ROOT") == "host"
KIND = "this system, an empty home" if IS_HOST else f"Debian {SUITE}"
# What a machine may have of its own.
HIDDEN = "root home work tmp usr/local opt" if IS_HOST else ""
COMPILERS = "cc c++ gcc g++ clang clang++ cargo rustc ld as *-gcc* *-g++* gcc-* g++-* clang-*" if IS_HOST else ""

# Mounts the layers on top of each other, the folders of this machine that are lent, and runs the command, $3, there.
ENTER = r"""
set -eu
ip link set lo up
mount -t overlay overlay -o "$1" "$2"
mount --rbind /dev "$2/dev"
mount -t proc proc "$2/proc"
command=$3 path=$4 merged=$2 hidden=$5 compilers=$6
shift 6
for folder in $hidden; do
  if [ -d "$merged/$folder" ]; then mount -t tmpfs tmpfs "$merged/$folder"; fi
done
(cd "$merged/usr/bin" && rm -f $compilers)
if [ -n "$hidden" ]; then mkdir -p "$merged/home/user" && mount --bind "$merged.home" "$merged/home/user"; fi
while [ $# -gt 0 ]; do
  mkdir -p "$merged$2"
  mount --bind "$1" "$merged$2"
  if [ "$3" = ro ]; then mount -o remount,bind,ro "$merged$2"; fi
  shift 3
done
exec chroot "$merged" /usr/bin/env -i HOME=/home/user LANG=C.UTF-8 TERM=dumb PATH="$path" \
  sh -c 'cd "$HOME" && eval "$1"' sh "$command"
"""


class Failed(Exception):
    """A command in a root that did not do what it should; with what it said."""


def unavailable(cpu: str = CPU) -> str | None:
    """Why there can be no roots of this processor here."""
    if os.uname().sysname != "Linux":
        return "clean roots are for Linux"
    if os.geteuid() != 0:
        return "only root can make clean roots"
    for tool in ([] if IS_HOST else ["debootstrap"]) + ["unshare", "chroot", "ip"]:
        if shutil.which(tool) is None:
            return f"{tool} is missing"
    if not IS_HOST and not KEYRING.is_file():
        return "Debian's keys are missing (debian-archive-keyring)"
    if cpu != CPU and not _is_emulated(cpu):
        return f"this kernel runs no programs for {cpu} (Debian: qemu-user-static and binfmt-support)"
    return None


def _is_emulated(cpu: str) -> bool:
    """Whether the kernel has an emulator that it opens itself, so that it need not be in the root."""
    machine = next(name for name, called in CPUS.items() if called == cpu)
    described = BINARY_FORMATS / f"qemu-{machine}"
    return described.is_file() and re.search(r"^flags: .*F", described.read_text(), re.M) is not None


def _of(name: str, cpu: str) -> str:
    return name if cpu == CPU else f"{name}-{cpu}"


def _base(cpu: str) -> Path:
    base = ROOTS / _of("base", cpu)
    if not base.is_dir():
        part = base.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        say(f"making a root of Debian {SUITE} for {cpu}")
        with base.with_suffix(".log").open("wb") as log:
            command = ["debootstrap", f"--arch={cpu}", "--variant=minbase", "--include=ca-certificates"]
            # Without its keys debootstrap takes the packages unsigned.
            command += [f"--keyring={KEYRING}", SUITE, part]
            # What it mounts ends with it, also where it is killed.
            done = subprocess.run(["unshare", "--mount", *command], stdout=log, stderr=log)
        if done.returncode != 0:
            raise Failed(f"debootstrap cannot make a root for {cpu}: {_last(base.with_suffix('.log'))}")
        part.rename(base)
    return base


def _last(log: Path) -> str:
    return "".join(log.read_text(errors="replace").strip().splitlines()[-1:])


def layer(name: str, packages: list[str], cpu: str = CPU) -> Path:
    """What Debian's packages add to the base; made once, with a network."""
    name = _of(name, cpu)
    layer = ROOTS / name
    stamp = layer / "packages"
    if stamp.is_file() and stamp.read_text() == " ".join(packages):
        return layer / "upper"
    base = _base(cpu)
    shutil.rmtree(layer, ignore_errors=True)
    for folder in ("upper/etc/apt/apt.conf.d", "work", "merged"):
        (layer / folder).mkdir(parents=True)
    for file in Path("/etc/apt/apt.conf.d").iterdir():
        # How this machine downloads; what else it does is for its own system.
        if "Acquire::" in file.read_text():
            shutil.copy(file, layer / "upper/etc/apt/apt.conf.d")
    for file in ("resolv.conf", "hosts"):
        shutil.copy(Path("/etc") / file, layer / "upper/etc")
    say(f"{name}: installing {' '.join(packages)} in a root")
    script = (
        'set -eu; mount -t overlay overlay -o "$1" "$2"; mount --rbind /dev "$2/dev"; mount -t proc proc "$2/proc"; '
        "shift; merged=$1; shift; export DEBIAN_FRONTEND=noninteractive; "
        'chroot "$merged" apt-get -qq update; chroot "$merged" apt-get -qq -y install --no-install-recommends "$@"; '
        'chroot "$merged" apt-get clean'
    )
    options = f"lowerdir={base},upperdir={layer / 'upper'},workdir={layer / 'work'}"
    command = ["unshare", "--mount", "sh", "-c", script, "sh", options, str(layer / "merged"), *packages]
    with (ROOTS / f"{name}.log").open("wb") as log:
        if subprocess.run(command, stdout=log, stderr=log).returncode != 0:
            raise Failed(f"apt-get cannot install {' '.join(packages)}: {_last(ROOTS / f'{name}.log')}")
    stamp.write_text(" ".join(packages))
    return layer / "upper"


@dataclass
class Root:
    """A root that is used by one proof, and then gone."""

    layers: list[Path]
    scratch: Path
    # Folders of this machine that are seen in it, by where: read only, or not.
    lent: dict[str, tuple[Path, bool]] = field(default_factory=dict)
    compilers: str = COMPILERS
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    def lend(self, place: Path, where: str, writable: bool = False) -> None:
        self.lent[where] = (place, writable)

    def write(self, name: str, text: str) -> None:
        """A file in the home of the root's user."""
        path = (self.scratch / "merged.home" if IS_HOST else self.scratch / "upper" / HOME.lstrip("/")) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def start(self, command: str) -> "subprocess.Popen[str]":
        layers = ":".join(str(layer) for layer in self.layers)
        mount = f"lowerdir={layers},upperdir={self.scratch / 'upper'},workdir={self.scratch / 'work'}"
        lent = [
            part
            for where, (place, writable) in self.lent.items()
            for part in (str(place), where, "rw" if writable else "ro")
        ]
        # Killed, it takes with it all that the command has started, which would keep its output open.
        whole = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]
        whole += ["sh", "-c", ENTER, "sh", mount, str(self.scratch / "merged"), command]
        whole += [self.path, HIDDEN, self.compilers, *lent]
        return subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, command: str, timeout: float = 1200) -> str:
        """What a command says. It fails with all of that."""
        process = self.start(command)
        try:
            said, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            raise Failed(f"{command}\n{said}\nhas not ended after {timeout} s") from None
        if process.returncode != 0:
            raise Failed(f"{command}\n{said}\nended with {process.returncode}")
        return said


@contextmanager
def root(name: str, packages: list[str], cpu: str = CPU) -> Iterator[Root]:
    """A root with Debian's packages in it, and an empty home."""
    layers = [Path("/")] if IS_HOST else [*([layer(name, packages, cpu)] if packages else []), _base(cpu)]
    ROOTS.mkdir(parents=True, exist_ok=True)
    # Not on the file system that it is laid over.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if IS_HOST else ROOTS, prefix="proof-") as scratch:
        for folder in (f"upper{HOME}", "work", "merged", "merged.home"):
            (Path(scratch) / folder).mkdir(parents=True)
        yield Root(layers, Path(scratch))
