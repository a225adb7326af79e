"""Builds what is compiled for each platform, into target/natives/<target>: libhonker shared and static, the loadable
extension, the program, and the packages' own native parts; stripped, their symbols beside them, with a record of how.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import glue
import portable
import repository
import sound
import toolchain
from cargo import Build
from report import close, say, skip
from targets import Target, chosen

RECORD = "native.json"


class Unequal(Exception):
    """What is built depends on the machine, or on the moment."""


def main(names: str) -> None:
    wanted = names.replace(",", " ").split()
    is_portable = not wanted or portable.NAME in wanted
    wanted = [name for name in wanted if name != portable.NAME]
    targets = chosen(" ".join(wanted)) if wanted or not names.strip() else []
    if repository.is_dirty():
        raise SystemExit("release: files differ from HEAD, whose number would be in what is built: commit them")
    commit = repository.commit()
    done = 0
    failed = []
    if is_portable:
        _portable(commit)
        done += 1
    strip = _tools() if targets else ""
    for target in targets:
        if why := toolchain.add_standard_library(target.rust):
            skip(f"natives {target.name}", why)
            continue
        try:
            _native(target, commit, strip)
            done += 1
        except (subprocess.CalledProcessError, Unequal, sound.Unsound) as failure:
            # The others take their time as well: they are not lost.
            failed.append(target.name)
            say(f"{target.name}: {failure}")
    close(done, "natives", failed)


def _native(target: Target, commit: str, strip: str) -> None:
    out = repository.NATIVES / target.name
    if is_of(out, commit):
        say(f"{target.name}: there already")
        for name, why in json.loads((out / RECORD).read_text())["missing"].items():
            skip(f"{name} for {target.name}", why)
    else:
        make(Build(repository.ROOT, repository.TARGET / "release-build", commit), target, out, strip)
    if os.environ.get("TWICE"):
        prove_equal(target, commit, out, strip)


def _tools() -> str:
    """What takes symbols out of files; cargo-zigbuild and zig are there afterwards as well."""
    strip = toolchain.find("llvm-objcopy", *(f"llvm-objcopy-{n}" for n in range(30, 13, -1)))
    if strip is None:
        raise SystemExit("release: llvm-objcopy is missing; install LLVM (Debian: llvm)")
    toolchain.get()
    return strip


def _portable(commit: str) -> None:
    if not is_of(portable.OUT, commit):
        portable.make(commit)
        return
    say(f"{portable.NAME}: there already")
    for name, why in json.loads((portable.OUT / RECORD).read_text())["missing"].items():
        skip(f"{name}, for all platforms", why)


def is_of(out: Path, commit: str) -> bool:
    """Whether all is there, and of this commit."""
    return (out / RECORD).is_file() and json.loads((out / RECORD).read_text())["commit"] == commit


def make(build: Build, target: Target, out: Path, objcopy: str) -> None:
    """Builds one platform into `out`, which is complete once the record is in it."""
    shutil.rmtree(out, ignore_errors=True)
    (out / "symbols").mkdir(parents=True)
    crates = build.crates(target)
    missing = {}
    for kind, name in (("shared", target.shared), ("extension", target.extension), ("program", target.program)):
        _strip(target, crates[kind], out / name, objcopy)
    if "libhonker.a" not in target.never:
        if why := _static(build.source, target, crates["static"], out / "libhonker.a", objcopy):
            missing["libhonker.a"] = why
    if target.os == "windows":
        glue.import_library(target, target.shared, sorted(sound.declared()), out / "honker.lib")
    for name, compile_it in (("honker.node", glue.addon), ("honker_nif.so", glue.nif)):
        if name in target.never:
            continue
        raw = out / f"{name}.raw"
        if why := compile_it(build.source, target, raw):
            missing[name] = why
        else:
            _strip(target, raw, out / name, objcopy)
        raw.unlink(missing_ok=True)
    for stray in out.glob("*.pdb"):
        stray.rename(out / "symbols" / stray.name)
    for name, why in missing.items():
        skip(f"{name} for {target.name}", why)
    sound.check(target, out, places=[build.source, build.work])
    record(target, out, build.commit, missing)


def _strip(target: Target, built: Path, out: Path, objcopy: str) -> None:
    """A copy without symbols, which go to a file beside it."""
    symbols = out.parent / "symbols" / f"{out.name}.debug"
    content = built.read_bytes()
    if (placeless := toolchain.without_place(content)) != content:
        built = out.with_name(f"{out.name}.placeless")
        built.write_bytes(placeless)
    if target.os == "macos":
        # Line tables stay in the object files there: what is kept is the file as it was linked.
        shutil.copy(built, symbols)
        subprocess.run([objcopy, "--strip-debug", "--discard-all", built, out], check=True)
    else:
        subprocess.run([objcopy, "--only-keep-debug", built, symbols], check=True)
        subprocess.run(
            [objcopy, "--strip-unneeded", "--remove-section=.comment", f"--add-gnu-debuglink={symbols}", built, out],
            check=True,
        )
    out.with_name(f"{out.name}.placeless").unlink(missing_ok=True)
    out.chmod(0o755)
    symbols.chmod(0o644)


def _static(source: Path, target: Target, built: Path, out: Path, objcopy: str) -> str | None:
    """The static library in one object that defines honker_* alone; why not, if it cannot be made here."""
    ours = {"x86_64": "x64", "aarch64": "arm64"}.get(os.uname().machine) == target.cpu
    prefix = {"x64": "x86_64-linux-gnu-", "arm64": "aarch64-linux-gnu-"}[target.cpu]
    linker = toolchain.find(f"{prefix}ld", *(["ld"] if ours else []))
    if linker is None:
        return f"it needs {prefix}ld (Debian: binutils-{prefix.rstrip('-').replace('_', '-')})"
    tools = {"NM": toolchain.find(f"{prefix}nm", "nm"), "AR": toolchain.find(f"{prefix}ar", "ar")}
    objcopy = toolchain.find(f"{prefix}objcopy", *(["objcopy"] if ours else [])) or objcopy
    environment = os.environ | tools | {"LD": linker, "OBJCOPY": objcopy}
    subprocess.run([source / "scripts/static-library", built, out], env=environment, check=True)
    out.chmod(0o644)
    return None


def record(target: Target, out: Path, commit: str, missing: dict[str, str]) -> None:
    files = {
        path.relative_to(out).as_posix(): {"sha256": sha256(path), "size": path.stat().st_size}
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != RECORD
    }
    record = {
        "target": target.name,
        "commit": commit,
        "version": repository.version(),
        "tools": toolchain.describe(),
        "files": files,
        "missing": missing,
    }
    (out / RECORD).write_text(json.dumps(record, indent=2) + "\n")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def prove_equal(target: Target, commit: str, out: Path, objcopy: str) -> None:
    """Builds once more, of another checkout in another folder, and compares."""
    again = repository.TARGET / "release-again"
    source = again / "some" / "other" / "folder"
    shutil.rmtree(again, ignore_errors=True)
    source.mkdir(parents=True)
    packed = again / "source.tar"
    subprocess.run(["git", "archive", "-o", packed, commit], cwd=repository.ROOT, check=True)
    with tarfile.open(packed) as archive:
        archive.extractall(source, filter="fully_trusted")
    make(Build(source, again / "build", commit), target, again / "out", objcopy)
    files = [json.loads((folder / RECORD).read_text())["files"] for folder in (out, again / "out")]
    different = sorted(name for name in files[0].keys() | files[1].keys() if files[0].get(name) != files[1].get(name))
    if different:
        raise Unequal(f"built twice, it has different {', '.join(different)}")
    shutil.rmtree(again)
    record = json.loads((out / RECORD).read_text()) | {"twice": True}
    (out / RECORD).write_text(json.dumps(record, indent=2) + "\n")
    say(f"{target.name}: built twice, {len(files[0])} files are equal")
