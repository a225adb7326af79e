"""NuGet's packages: the assemblies of `make natives`, with the libraries of all platforms in Honker's."""

import io
import re
import zipfile
from pathlib import Path

import portable
import readme
from archive import Entry, zipped
from contents import Release
from report import skip

HOME = "bindings/dotnet"
TYPES = "[Content_Types].xml"


def pack(release: Release, folder: Path) -> None:
    if not portable.has("dotnet"):
        skip(".NET's packages", "they were not compiled: make natives TARGETS=portable")
        return
    for entry in portable.entries("dotnet"):
        more = _libraries(release) if entry.name == f"Honker.{release.version}.nupkg" else []
        (folder / entry.name).write_bytes(_package(entry.content, more, release))


def _libraries(release: Release) -> list[Entry]:
    return [
        native.entry(file, f"runtimes/{rid}/native/{file}", runs=True)
        for rid, native in release.of("dotnet")
        for file in (native.target.shared, native.target.extension)
    ]


def _package(package: bytes, more: list[Entry], release: Release) -> bytes:
    """The package with more files in it, whose kinds stand in its list of kinds."""
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        there = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    kinds = sorted({Path(entry.name).suffix[1:] for entry in more})
    text = there.pop(TYPES).decode()
    for kind in kinds:
        if f'Extension="{kind}"' not in text:
            text = text.replace("</Types>", f'<Default Extension="{kind}" ContentType="application/octet" /></Types>')
    if "README.md" in there:
        there["README.md"] = readme.absolute(there["README.md"].decode(), HOME, release.version).encode()
    there = _without_chance(there)
    entries = [Entry(TYPES, text.encode()), *(Entry(name, content) for name, content in sorted(there.items()))]
    return zipped([*entries, *more], release.moment)


def _without_chance(there: dict[str, bytes]) -> dict[str, bytes]:
    """`.psmdcp` gets a random name each time, to which `_rels/.rels` refers by random identifiers."""
    result = {}
    for name, content in there.items():
        if name.endswith(".psmdcp"):
            name = "package/services/metadata/core-properties/honker.psmdcp"
        elif name == "_rels/.rels":
            text = re.sub(r"/package/services/metadata/core-properties/\w+\.psmdcp", _psmdcp, content.decode())
            for number, found in enumerate(re.findall(r' Id="\w+"', text), 1):
                text = text.replace(found, f' Id="R{number}"')
            content = text.encode()
        result[name] = content
    return result


def _psmdcp(_: re.Match[str]) -> str:
    return "/package/services/metadata/core-properties/honker.psmdcp"
