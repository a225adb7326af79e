"""A sample of a release, in minutes: this machine's platform, of the Rust and the JavaScript that the test suites have
built, packed into target/sample/dist, and proved in this machine's own system with an empty home, or with ROOT=debian
in clean roots. What the suites have not built, and what has no toolchain here, is SKIPPED. Nothing of it is released.
"""

import os
import shutil
import subprocess

os.environ["HONKER_SAMPLE"] = "1"
os.environ.setdefault("ROOT", "host")

import natives
import packages
import portable
import prove
import repository
import roots
import table
import toolchain
from report import skip
from targets import Target, read

BUILT = repository.TARGET / "release"
# All but the crate, which its suite packs, and compiles a program with.
DOORS = [name for name in packages.DOORS if name != "rust"]
# The suites of these languages install what they pack as well, and their clients take minutes.
PROOFS = [name for name in table.PACKAGES if name not in ("dotnet", "jvm", "rust")]


def main(names: str) -> None:
    target = _host()
    if target is None:
        skip("the sample of a release", "it is for Linux with glibc")
        return
    shutil.rmtree(repository.NATIVES.parent, ignore_errors=True)
    _natives(target)
    _portable()
    packages.main(" ".join(DOORS))
    wanted = names.split() or PROOFS
    prove.main(" ".join(wanted))


def _host() -> Target | None:
    cpu = {"amd64": "x64", "arm64": "arm64"}.get(roots.CPU)
    return next((one for one in read() if (one.os, one.libc, one.cpu) == ("linux", "gnu", cpu)), None)


def _natives(target: Target) -> None:
    out = repository.NATIVES / target.name
    (out / "symbols").mkdir(parents=True)
    missing = {}
    found = {
        target.shared: [BUILT / target.shared],
        target.extension: [BUILT / target.extension],
        target.program: [BUILT / target.program, repository.TARGET / "debug" / target.program],
        "honker.node": [repository.ROOT / "bindings/node/dist/honker.node"],
        "honker_nif.so": sorted(repository.TARGET.glob("elixir/**/honker_nif.so")),
    }
    for name, places in found.items():
        built = next((place for place in places if place.is_file()), None)
        if built is None:
            missing[name] = "the suites have not built it"
        else:
            subprocess.run([_strip(), "--strip-unneeded", "-o", out / name, built], check=True)
    static = [repository.ROOT / "scripts/static-library", BUILT / "libhonker.a", out / "libhonker.a"]
    subprocess.run(static, check=True)
    for name, why in missing.items():
        skip(f"{name} in the sample of a release", why)
    natives.record(target, out, repository.commit(), missing)


def _strip() -> str:
    found = toolchain.find("strip", "llvm-strip")
    if found is None:
        raise SystemExit("release: strip is missing; install binutils")
    return found


def _portable() -> None:
    """The JavaScript that the suites have compiled; the jars and assemblies anew, in folders that no suite uses: of
    what a suite leaves there some may be missing, or be written just now.
    """
    for language in ("node", "bun"):
        built = repository.ROOT / "bindings" / language / "dist"
        if built.is_dir():
            shutil.copytree(built, portable.OUT / language / "dist", ignore=shutil.ignore_patterns("*.node"))
    compiled = {
        "jvm": portable.compile_jvm(repository.TARGET / "sample-jvm", portable.OUT / "jvm", kinds=("",)),
        "dotnet": portable.pack_dotnet(repository.TARGET / "sample-dotnet", portable.OUT / "dotnet"),
    }
    for language, why in compiled.items():
        if why:
            skip(f"{language} in the sample of a release", why)
    portable.record(repository.commit(), [], {})
