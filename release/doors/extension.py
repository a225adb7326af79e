"""The loadable extension by itself: a zip for each platform."""

from pathlib import Path

import readme
from archive import Entry, zipped
from contents import Release


def pack(release: Release, folder: Path) -> None:
    for native in release.natives:
        target = native.target
        about = f"""libhonker_ext {release.version} for {target.name}

A SQLite loadable extension: honker's functions for every client of SQLite 3.38 or newer that can load extensions.

    .load ./{target.extension.rsplit(".", 1)[0]}
    SELECT honker_bootstrap();

Its functions: {readme.HOME}/blob/v{release.version}/docs/sql.md
"""
        files = [
            native.entry(target.extension, target.extension, runs=True),
            Entry("README.txt", about.encode()),
            *release.licenses,
        ]
        content = zipped(sorted(files, key=lambda file: file.name), release.moment)
        (folder / f"honker-ext-{release.version}-{target.name}.zip").write_bytes(content)
