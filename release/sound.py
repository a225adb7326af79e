"""Looks at what was built for a platform: that it runs on the oldest system it is for, needs nothing that may be
missing, shows only what the header declares, and names no folder of the machine that built it.
"""

import os
import re
from pathlib import Path

import frameworks
import repository
from formats.elf import Elf
from formats.macho import MachO
from formats.pe import Pe
from targets import Target

GLIBC = re.compile(r"lib(c|m|dl|pthread|rt|util)\.so\.\d+|ld-linux-(x86-64\.so\.2|aarch64\.so\.1)")
MUSL = re.compile(r"libc\.so|libc\.musl-(x86_64|aarch64)\.so\.1|ld-musl-(x86_64|aarch64)\.so\.1")
# What every Windows has. The universal C runtime is one of its parts from Windows 10 on.
WINDOWS = re.compile(
    r"(kernel32|ntdll|advapi32|user32|ws2_32|secur32|bcrypt|bcryptprimitives|userenv|shell32|ole32|msvcrt|ucrtbase|synchronization"
    r"|api-ms-win-.*)\.dll",
    re.I,
)
MACOS = re.compile(
    r"/usr/lib/(libSystem\.B|libc\+\+\.1|libiconv\.2|libobjc\.A)\.dylib|"
    + "|".join(re.escape(frameworks.PLACE.format(name)) for name in frameworks.FRAMEWORKS)
)


class Unsound(SystemExit):
    """A file that must not be released."""


def check(target: Target, folder: Path, places: list[Path]) -> None:
    """All that is in the folder of a target, which was built in `places`."""
    problems = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "native.json":
            named = folder_named(path.read_bytes(), places)
            if named:
                problems.append(f"{path.name} names a folder of this machine: {named}")
    for name in (target.shared, target.extension, target.program, "honker.node", "honker_nif.so"):
        if (folder / name).is_file():
            problems += [f"{name} {problem}" for problem in problems_of(target, folder / name)]
    if problems:
        raise Unsound(f"release: what was built for {target.name} must not be released:\n  " + "\n  ".join(problems))


def folder_named(content: bytes, places: list[Path]) -> str | None:
    """The first of these folders, or of the user's, that is in a file."""
    cargo = os.environ.get("CARGO_HOME")
    for place in [*places, Path.home(), *([Path(cargo)] if cargo else [])]:
        # Of a user whose home is / or the like, every file would name it.
        text = str(place).encode()
        if len(place.parts) > 1 and (found := re.search(re.escape(text) + rb"/[ -~]*", content)):
            return found[0].decode()
    return None


def declared() -> set[str]:
    """The functions of the C ABI."""
    lines = (repository.ROOT / "honker-ffi/symbols.txt").read_text().splitlines()
    return {line.split()[0] for line in lines if line.startswith("honker_")}


def problems_of(target: Target, path: Path) -> list[str]:
    look = {"linux": _elf, "macos": _macho, "windows": _pe}[target.os]
    return look(target, path)


def _elf(target: Target, path: Path) -> list[str]:
    elf = Elf(path)
    problems = []
    if elf.cpu != target.cpu:
        problems.append(f"is for {elf.cpu}")
    allowed = GLIBC if target.libc == "gnu" else MUSL
    problems += [f"needs {name}" for name in elf.needed if not allowed.fullmatch(name)]
    floor = tuple(int(part) for part in target.floor.split(".")) if target.floor else ()
    newest = elf.newest("GLIBC_")
    if newest > floor:
        problems.append(f"needs glibc {'.'.join(map(str, newest))}")
    if elf.search_path:
        problems.append(f"has a search path: {elf.search_path}")
    if elf.has_executable_stack:
        problems.append("has an executable stack")
    if elf.has_text_relocations:
        problems.append("has text relocations")
    if debug := sorted(name for name in elf.sections if name.startswith(".debug") or name == ".symtab"):
        problems.append(f"is not stripped: {', '.join(debug)}")
    if path.name == target.shared:
        if elf.soname != f"libhonker.so.{repository.abi()}":
            problems.append(f"is called {elf.soname}")
        if not (elf.has_relro and elf.binds_now and elf.stays_loaded):
            problems.append(f"has relro {elf.has_relro}, now {elf.binds_now}, nodelete {elf.stays_loaded}")
        problems += _exports({name for name, is_defined in elf.symbols.items() if is_defined})
    return problems


def _macho(target: Target, path: Path) -> list[str]:
    macho = MachO(path)
    problems = []
    if macho.cpu != target.cpu:
        problems.append(f"is for {macho.cpu}")
    problems += [f"needs {name}" for name in macho.needed if not MACOS.fullmatch(name)]
    floor = tuple(int(part) for part in target.floor.split("."))
    if macho.oldest > floor:
        problems.append(f"needs macOS {'.'.join(map(str, macho.oldest))}")
    if macho.search_path:
        problems.append(f"has a search path: {macho.search_path}")
    if target.cpu == "arm64" and not macho.is_signed:
        problems.append("has no signature that fits, without which it does not run")
    if path.name == target.shared:
        if macho.name != f"@rpath/libhonker.{repository.abi()}.dylib":
            problems.append(f"is called {macho.name}")
        problems += _exports({name for name, is_defined in macho.symbols.items() if is_defined})
    return problems


def _pe(target: Target, path: Path) -> list[str]:
    pe = Pe(path)
    problems = []
    if pe.cpu != target.cpu:
        problems.append(f"is for {pe.cpu}")
    also = {"node.exe"} if path.name == "honker.node" else set()
    problems += [f"needs {name}" for name in pe.needed if not WINDOWS.fullmatch(name) and name not in also]
    if not (pe.has_aslr and pe.has_nx):
        problems.append(f"has address randomisation {pe.has_aslr}, no-execute {pe.has_nx}")
    if path.name == target.shared:
        problems += _exports(pe.symbols)
    return problems


def _exports(found: set[str]) -> list[str]:
    """The library shows what the header declares, and nothing else."""
    wanted = declared()
    return [f"lacks {name}" for name in sorted(wanted - found)] + [f"shows {name}" for name in sorted(found - wanted)]
