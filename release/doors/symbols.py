"""The symbols that were taken out of what was compiled, for debuggers: a tarball for each platform."""

from pathlib import Path

from archive import gzipped, tarred
from contents import Release


def pack(release: Release, folder: Path) -> None:
    for native in release.natives:
        name = f"honker-symbols-{release.version}-{native.target.name}"
        files = sorted(file for file in native.files if file.startswith("symbols/"))
        entries = [native.entry(file, f"{name}/{Path(file).name}") for file in files]
        if entries:
            (folder / f"{name}.tar.gz").write_bytes(gzipped(tarred(entries, release.moment)))
