"""Maven's artifacts, as a repository has them: the jars of `make natives`, with the libraries of all platforms in
honker's. `release/publish central` signs them, and bundles them as Maven Central takes them.
"""

import hashlib
import io
import zipfile
from pathlib import Path

import portable
import readme
import repository
from archive import Entry, zipped
from contents import Release
from report import skip

GROUP = "dev/honker"
HOME = "bindings/jvm"


def pack(release: Release, folder: Path) -> None:
    if not portable.has("jvm"):
        skip("the JVM's packages", "they were not compiled: make natives TARGETS=portable")
        return
    published: list[Entry] = []
    for entry in portable.entries("jvm"):
        artifact, _, file = entry.name.partition("/")
        content = entry.content
        if file.endswith(".jar"):
            libraries = _libraries(release) if file == f"honker-{release.version}.jar" else []
            content = _jar(content, [*libraries, *_licenses(release)], release.moment)
        published.append(Entry(f"{GROUP}/{artifact}/{release.version}/{file}", content))
    published += _documentation(release, {entry.name for entry in published})
    sums = [
        Entry(f"{entry.name}.{kind}", hashlib.new(kind, entry.content).hexdigest().encode())
        for entry in published
        for kind in ("md5", "sha1", "sha256")
    ]
    for entry in [*published, *sums]:
        path = folder / "repository" / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(entry.content)


def _documentation(release: Release, there: set[str]) -> list[Entry]:
    """Maven Central wants a jar of documentation from Kotlin as well: the README."""
    missing = []
    for module in portable.JVM_MODULES:
        name = f"{GROUP}/{module}/{release.version}/{module}-{release.version}-javadoc.jar"
        if name not in there:
            text = readme.absolute((repository.ROOT / HOME / "README.md").read_text(), HOME, release.version)
            jar = zipped([Entry("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\n\r\n")], release.moment)
            missing.append(Entry(name, _jar(jar, [Entry("README.md", text.encode())], release.moment)))
    return missing


def _libraries(release: Release) -> list[Entry]:
    return [
        native.entry(native.target.shared, f"META-INF/native/{name}/{native.target.shared}", runs=True)
        for name, native in release.of("jvm")
    ]


def _licenses(release: Release) -> list[Entry]:
    return [Entry(f"META-INF/{license.name}", license.content) for license in release.licenses]


def _jar(jar: bytes, more: list[Entry], moment: int) -> bytes:
    """The jar with more files in it. The manifest stays in front, where readers of streams look for it."""
    with zipfile.ZipFile(io.BytesIO(jar)) as archive:
        there = [Entry(name, archive.read(name)) for name in archive.namelist() if not name.endswith("/")]
    new = {entry.name for entry in more}
    there = [entry for entry in there if entry.name not in new]
    there.sort(key=lambda entry: (entry.name != "META-INF/MANIFEST.MF", entry.name))
    return zipped([*there, *sorted(more, key=lambda entry: entry.name)], moment)
