"""Wheels for each platform, for any Python, with libhonker, the loadable extension and the program; and the source."""

import base64
import hashlib
import tomllib
from pathlib import Path
from typing import Any

import readme
import repository
import sources
from archive import Entry, gzipped, tarred, zipped
from contents import Native, Release

HOME = "bindings/python"


def pack(release: Release, folder: Path) -> None:
    project = tomllib.loads((repository.ROOT / HOME / "pyproject.toml").read_text())["project"]
    code = release.files(f"{HOME}/honker", below="honker/")
    metadata = _metadata(release, project)
    for tag, native in release.of("python"):
        wheel = _wheel(release, project, code, metadata, tag, native)
        (folder / f"honker-{release.version}-py3-none-{tag}.whl").write_bytes(wheel)
    (folder / f"honker-{release.version}.tar.gz").write_bytes(_source(release, metadata))


def _metadata(release: Release, project: dict[str, Any]) -> bytes:
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {release.version}",
        f"Summary: {project['description']}",
        f"Keywords: {','.join(project['keywords'])}",
        f"License-Expression: {project['license']}",
        *(f"License-File: {license.name}" for license in release.licenses),
        *(f"Classifier: {classifier}" for classifier in project["classifiers"]),
        f"Requires-Python: {project['requires-python']}",
        f"Project-URL: Source, {readme.HOME}",
        "Description-Content-Type: text/markdown",
        "",
        readme.absolute((repository.ROOT / HOME / "README.md").read_text(), HOME, release.version),
    ]
    return "\n".join(lines).encode()


def _wheel(
    release: Release, project: dict[str, Any], code: list[Entry], metadata: bytes, tag: str, native: Native
) -> bytes:
    name = f"honker-{release.version}"
    target = native.target
    entries = [
        *code,
        native.entry(target.shared, f"honker/_lib/{target.shared}", runs=True),
        native.entry(target.extension, f"honker/_lib/{target.extension}", runs=True),
        native.entry(target.program, f"{name}.data/scripts/{target.program}", runs=True),
        Entry(f"{name}.dist-info/METADATA", metadata),
        Entry(f"{name}.dist-info/WHEEL", _description(tag)),
        Entry(f"{name}.dist-info/entry_points.txt", _entry_points(project)),
        *(Entry(f"{name}.dist-info/licenses/{entry.name}", entry.content) for entry in release.licenses),
    ]
    record = "".join(f"{entry.name},sha256={_hash(entry.content)},{len(entry.content)}\n" for entry in entries)
    record += f"{name}.dist-info/RECORD,,\n"
    return zipped([*entries, Entry(f"{name}.dist-info/RECORD", record.encode())], release.moment)


def _description(tag: str) -> bytes:
    return f"Wheel-Version: 1.0\nGenerator: honker\nRoot-Is-Purelib: false\nTag: py3-none-{tag}\n".encode()


def _entry_points(project: dict[str, Any]) -> bytes:
    groups = project.get("entry-points", {}) | {"console_scripts": project.get("scripts", {})}
    text = ""
    for group, names in groups.items():
        if names:
            text += f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in names.items()) + "\n"
    return text.encode()


def _hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _source(release: Release, metadata: bytes) -> bytes:
    """What pip builds where there is no wheel: the package, and the Rust that its build compiles."""
    name = f"honker-{release.version}"
    package = [
        entry for entry in release.files(HOME)
        if entry.name.startswith("honker/") or entry.name in ("pyproject.toml", "build_hook.py", "README.md")
    ]  # fmt: skip
    entries = [
        *(Entry(f"{name}/{entry.name}", entry.content) for entry in [*package, *release.licenses]),
        *(Entry(f"{name}/rust/{entry.name}", entry.content, entry.runs) for entry in sources.workspace(release)),
        Entry(f"{name}/PKG-INFO", metadata),
    ]
    return gzipped(tarred(entries, release.moment))
