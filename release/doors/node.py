"""npm's packages: Node's, Bun's, and one for each platform with the native parts of both, which is an optional
dependency of the two. index.json says what a registry has to know of each.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import portable
import readme
import repository
from archive import Entry, gzipped, tarred
from contents import Native, Release
from report import skip


def pack(release: Release, folder: Path) -> None:
    index = {}
    manifests = []
    for language, name in (("node", "Node"), ("bun", "Bun")):
        if portable.has(language):
            manifests.append(_javascript(release, folder, language))
        else:
            skip(f"{name}'s package", "it was not compiled: make natives TARGETS=portable")
    main = json.loads((repository.ROOT / "bindings/node/package.json").read_text())
    for name, native in release.of("node"):
        if native.has("honker.node"):
            manifests.append(_platform(release, folder, main, name, native))
        else:
            skip(f"npm's package for {name}", "honker.node was not built")
    for manifest in manifests:
        content = (folder / tarball(manifest)).read_bytes()
        index[manifest["name"]] = manifest | {
            "dist": {
                "tarball": tarball(manifest),
                "integrity": "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode(),
                "shasum": hashlib.sha1(content).hexdigest(),
            }
        }
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n")


def tarball(manifest: dict[str, Any]) -> str:
    """As npm pack calls it."""
    return f"{manifest['name'].removeprefix('@').replace('/', '-')}-{manifest['version']}.tgz"


def _javascript(release: Release, folder: Path, language: str) -> dict[str, Any]:
    """The package itself: JavaScript that `make natives` has compiled of our TypeScript, and its types."""
    home = f"bindings/{language}"
    manifest = json.loads((repository.ROOT / home / "package.json").read_text())
    # A platform whose natives were not built has no package.
    there = {name for name, native in release.of("node") if native.has("honker.node")}
    manifest["optionalDependencies"] = {
        name: version
        for name, version in manifest["optionalDependencies"].items()
        if name.partition("/honker-node-")[2] in there
    }
    text = readme.absolute((repository.ROOT / home / "README.md").read_text(), home, release.version)
    files = [
        Entry("README.md", text.encode()),
        *release.licenses,
        *(entry for entry in portable.entries(language) if entry.name.endswith((".js", ".mjs", ".d.ts", ".d.mts"))),
    ]
    return _write(release, folder, manifest, files)


def _platform(release: Release, folder: Path, main: dict[str, Any], name: str, native: Native) -> dict[str, Any]:
    target = native.target
    system = {"linux": "linux", "macos": "darwin", "windows": "win32"}[target.os]
    libc = {"gnu": ["glibc"], "musl": ["musl"]}.get(target.libc)
    names = ["honker.node", target.shared, target.extension]
    manifest = {
        "name": f"{main['name']}-{name}",
        "version": release.version,
        "description": f"The native parts of {main['name']} for {name}",
        "license": main["license"],
        "repository": main["repository"],
        "engines": main["engines"],
        "os": [system],
        "cpu": [target.cpu],
        **({"libc": libc} if libc else {}),
        "main": "honker.node",
        "files": ["LICENSE-*", *names],
    }
    # The addon is for Bun as well, which has no version of Node to name.
    files = [*release.licenses, *(native.entry(file, file, runs=True) for file in names)]
    return _write(release, folder, manifest, files)


def _write(release: Release, folder: Path, manifest: dict[str, Any], files: list[Entry]) -> dict[str, Any]:
    described = Entry("package.json", (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())
    entries = [
        Entry(f"package/{file.name}", file.content, file.runs)
        for file in [described, *sorted(files, key=lambda file: file.name)]
    ]
    (folder / tarball(manifest)).write_bytes(gzipped(tarred(entries, release.moment)))
    return manifest
