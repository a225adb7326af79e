"""The Go module, and one small module for each platform, which has that platform's library in it. They are written as a
module proxy serves them, and as the tree of the repository that they are published from.
"""

import re
from pathlib import Path

import gomod
import readme
import repository
import thirdparty
from archive import Entry, gzipped, tarred
from contents import Native, Release

HOME = "bindings/go"
MODULE = "github.com/russellromney/honker-go"
# What is ours alone, and the tests, which need this repository.
LEFT_OUT = ("bench/", "testee/", "tests/", "honkerotel/", "examples/examples_test.go")


def pack(release: Release, folder: Path) -> None:
    version = f"v{release.version}"
    proxy = folder / "proxy"
    mirror: list[Entry] = []
    sums = ""
    for name, native in release.of("go"):
        files = _platform(release, name, native)
        sums += gomod.publish(proxy, f"{MODULE}/native/{name}", version, files, release.moment)
        mirror += [Entry(f"native/{name}/{file.name}", file.content) for file in files]
    root = _root(release, version, sums)
    gomod.publish(proxy, MODULE, version, root, release.moment)
    telemetry = _telemetry(release, version)
    gomod.publish(proxy, f"{MODULE}/honkerotel", version, telemetry, release.moment)
    mirror += [*root, *(Entry(f"honkerotel/{file.name}", file.content) for file in telemetry)]
    mirror.sort(key=lambda file: file.name)
    (folder / f"honker-go-{release.version}.tar.gz").write_bytes(gzipped(tarred(mirror, release.moment)))
    thirdparty.go(folder.parent / "third-party/go", repository.ROOT / HOME)


def _platform(release: Release, name: str, native: Native) -> list[Entry]:
    target = native.target
    source = f"""// Package native is libhonker for {name}, for the module {MODULE}.
package native

import _ "embed"

// Library is the file.
//
//go:embed {target.shared}
var Library string
"""
    manifest = f"module {MODULE}/native/{name}\n\ngo 1.23\n"
    return [
        Entry("go.mod", manifest.encode()),
        Entry("native.go", source.encode()),
        native.entry(target.shared, target.shared),
        *release.licenses,
    ]


def _root(release: Release, version: str, sums: str) -> list[Entry]:
    files = []
    for entry in release.files(HOME, but=LEFT_OUT):
        if entry.name.endswith("_test.go"):
            continue
        content = entry.content
        if entry.name == "go.mod":
            needed = "".join(f"\t{MODULE}/native/{name} {version}\n" for name, _ in release.of("go"))
            content += f"\nrequire (\n{needed})\n".encode()
        elif entry.name == "go.sum":
            content += sums.encode()
        elif entry.name == "README.md":
            content = readme.absolute(content.decode(), HOME, release.version).encode()
        files.append(Entry(entry.name, content))
    return [*files, *(_import(name) for name, _ in release.of("go")), *release.licenses]


def _import(name: str) -> Entry:
    """The file that takes the library of a platform, in builds for it alone."""
    system, cpu, *libc = name.split("-")
    musl = "" if system != "linux" else " && honker_musl" if libc else " && !honker_musl"
    source = f"""//go:build {system} && {cpu}{musl} && !honker_system

package honker

import "{MODULE}/native/{name}"

func init() {{ bundled = native.Library }}
"""
    return Entry(f"bundled_{'_'.join([system, cpu, *libc])}.go", source.encode())


def _telemetry(release: Release, version: str) -> list[Entry]:
    """The module for OpenTelemetry, which needs the published one."""
    files = []
    for entry in release.files(f"{HOME}/honkerotel"):
        if entry.name.endswith("_test.go"):
            continue
        content = entry.content
        if entry.name == "go.mod":
            text = re.sub(r"\nreplace .*\n", "", content.decode())
            content = re.sub(rf"{re.escape(MODULE)} v\S+", f"{MODULE} {version}", text).encode()
        files.append(Entry(entry.name, content))
    return [*files, *release.licenses]
