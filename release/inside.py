"""Looks into what was packed: each package has its native parts for a platform, and they are sound there (sound.py). It
is all that can be said of platforms whose programs do not run here.
"""

import fnmatch
import io
import struct
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import repository
import sound
from targets import Target


@dataclass(frozen=True)
class Place:
    """Where a package has its native parts for a platform. In the patterns `{0}` is the platform, `{1}` the version."""

    archive: str
    folder: str
    # What has to be there: what a target calls it, or a name.
    parts: tuple[str, ...]
    # The package that people name, where the native parts are not in it.
    main: str = ""


PLACES = {
    "python": Place("python/honker-{1}-py3-none-{0}.whl", "honker*", ("shared", "extension", "program")),
    "node": Place(
        "node/*-honker-node-{0}-{1}.tgz",
        "package",
        ("shared", "extension", "honker.node"),
        "node/*-honker-node-[0-9]*.tgz",
    ),
    "go": Place(
        "go/proxy/**/native/{0}/@v/v{1}.zip", "*/native/{0}@v{1}", ("shared",), "go/proxy/**/honker-go/@v/v{1}.zip"
    ),
    "ruby": Place("ruby/honker-{1}-{0}.gem", "lib/honker/native", ("shared", "extension")),
    "elixir": Place("elixir/honker-nif-{1}-{0}.tar.gz", ".", ("shared", "honker_nif.so"), "elixir/honker-{1}.tar"),
    "jvm": Place("jvm/repository/**/honker-{1}.jar", "META-INF/native/{0}", ("shared",)),
    "dotnet": Place("dotnet/Honker.{1}.nupkg", "runtimes/{0}/native", ("shared", "extension")),
    "c": Place("c/honker-{1}-{0}.tar.gz", "honker-*", ("shared", "extension")),
    "extension": Place("extension/honker-ext-{1}-{0}.zip", ".", ("extension",)),
}
# Bun's package takes Node's natives.
PLACES["bun"] = replace(PLACES["node"], main="node/*-honker-bun-[0-9]*.tgz")


def problems(package: str, target: Target) -> list[str] | None:
    """What is wrong with a package's native parts for a platform; None if it has no package for it."""
    place, names = PLACES[package], (called(package, target), repository.version())
    patterns = [place.archive, *([place.main] if place.main else [])]
    archives = [path for pattern in patterns for path in repository.DIST.glob(pattern.format(*names))]
    if len(archives) < len(patterns):
        return None
    found = {}
    for name, content in _files(archives[0]).items():
        folder, _, file = name.rpartition("/")
        if fnmatch.fnmatch(folder or ".", place.folder.format(*names)):
            found[_plain(file, target)] = content
    wanted = sorted(parts(package, target))
    wrong = [f"{archives[0].name} has no {name}" for name in wanted if name not in found]
    with tempfile.TemporaryDirectory() as scratch:
        for name in sorted(found.keys() & set(wanted)):
            path = Path(scratch) / name
            path.write_bytes(found[name])
            wrong += [f"{name} in {archives[0].name} {problem}" for problem in _unsound(target, path)]
    return wrong + _places_named(archives)


def _places_named(archives: list[Path]) -> list[str]:
    """Folders of this machine that stand in any file, also in one that was compiled once for all platforms."""
    return [
        f"{name} in {archive.name} names a folder of this machine: {named}"
        for archive in archives
        for name, content in _files(archive).items()
        if (named := sound.folder_named(content, [repository.ROOT]))
    ]


def parts(package: str, target: Target) -> set[str]:
    """What a package has to have for a platform."""
    return {str(getattr(target, part, part)) for part in PLACES[package].parts}


def called(package: str, target: Target) -> str:
    """What the package's registry calls a platform; the tarballs and the zips have our name."""
    return target.called.get("node" if package == "bun" else package, target.name)


def _unsound(target: Target, path: Path) -> list[str]:
    try:
        return sound.problems_of(target, path)
    except (ValueError, struct.error):
        return [f"is no file of {target.os}"]


def _plain(file: str, target: Target) -> str:
    """The name without the version of the interface."""
    versioned = {f"libhonker.so.{repository.abi()}", f"libhonker.{repository.abi()}.dylib"}
    return target.shared if file in versioned else file


def _files(archive: Path) -> dict[str, bytes]:
    """The files of an archive, without links."""
    if archive.suffix in (".zip", ".whl", ".jar", ".nupkg"):
        with zipfile.ZipFile(archive) as opened:
            return {name: opened.read(name) for name in opened.namelist()}
    content = archive.read_bytes()
    # RubyGems' form, and Hex's: a tar of the contents and what is said of them.
    inner = {".gem": "data.tar.gz", ".tar": "contents.tar.gz"}.get(archive.suffix)
    if inner:
        content = _unpacked(content)[inner]
    return _unpacked(content)


def _unpacked(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened if member.isfile()}
