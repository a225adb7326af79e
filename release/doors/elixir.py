"""Hex's package, with the sums of the precompiled parts, and those parts: one tarball for each platform."""

import hashlib
import re
from pathlib import Path

import readme
import repository
from archive import Entry, gzipped, tarred, tree
from contents import Release
from report import skip

HOME = "bindings/elixir"
# What the package has in it.
CODE = re.compile(r"lib/.*|c_src/.*|Makefile|mix\.exs|\.formatter\.exs")
SUMS = "checksums.exs"


def pack(release: Release, folder: Path) -> None:
    sums = {}
    for name, native in release.of("elixir"):
        if "honker_nif.so" in native.target.never:
            continue
        if not native.has("honker_nif.so"):
            skip(f"Elixir's precompiled NIF for {native.target.name}", "it was not built")
            continue
        files = [native.entry(file, file, runs=True) for file in ("honker_nif.so", native.target.shared)]
        content = gzipped(tarred([*files, *release.licenses], release.moment))
        tarball = f"honker-nif-{release.version}-{name}.tar.gz"
        (folder / tarball).write_bytes(content)
        sums[tarball] = hashlib.sha256(content).hexdigest()
    (folder / f"honker-{release.version}.tar").write_bytes(_package(release, sums))


def _package(release: Release, sums: dict[str, str]) -> bytes:
    """Hex's form: a tar of the metadata and the contents, with a sum of both."""
    text = readme.absolute((repository.ROOT / HOME / "README.md").read_text(), HOME, release.version)
    checksums = "%{\n" + "".join(f'  "{name}" => "{value}",\n' for name, value in sorted(sums.items())) + "}\n"
    files = sorted(
        [
            *(entry for entry in release.files(HOME) if CODE.fullmatch(entry.name)),
            *(Entry(f"c_src/{entry.name}", entry.content) for entry in tree(repository.ROOT, ["include/honker.h"])),
            Entry("README.md", text.encode()),
            Entry(SUMS, checksums.encode()),
            *release.licenses,
        ],
        key=lambda entry: entry.name,
    )
    contents = gzipped(tarred(files, release.moment))
    metadata = _metadata(release, [file.name for file in files]).encode()
    whole = hashlib.sha256(b"3" + metadata + contents).hexdigest().upper()
    return tarred(
        [
            Entry("VERSION", b"3"),
            Entry("CHECKSUM", whole.encode()),
            Entry("metadata.config", metadata),
            Entry("contents.tar.gz", contents),
        ],
        release.moment,
    )


def _metadata(release: Release, files: list[str]) -> str:
    """Erlang terms, as Hex reads them."""
    project = (repository.ROOT / HOME / "mix.exs").read_text()

    def said(name: str) -> str:
        return re.search(rf'{name}: "([^"]+)"', project)[1]

    def text(value: str) -> str:
        return f'<<"{value}"/utf8>>'

    def texts(values: list[str]) -> str:
        return "[" + ",".join(text(value) for value in values) + "]"

    terms = [
        ("name", text("honker")),
        ("version", text(release.version)),
        ("app", text("honker")),
        ("description", text(said("description"))),
        ("elixir", text(said("elixir"))),
        ("licenses", texts(["MIT", "Apache-2.0"])),
        ("links", f"[{{{text('GitHub')},{text(readme.HOME)}}}]"),
        ("build_tools", texts(["mix"])),
        ("requirements", "[]"),
        ("files", texts(files)),
    ]
    return "".join(f"{{{text(name)},{value}}}.\n" for name, value in terms)
