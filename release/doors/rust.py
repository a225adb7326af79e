"""The crates `honker`, `honker-core` and `honker-postgres`, as `cargo package` makes them. The proof compiles a program
with them.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import repository
import thirdparty
from contents import Release

CRATES = ["honker-core", "honker-postgres", "honker"]


def pack(release: Release, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        # Not verified here, where nothing is compiled.
        command = ["cargo", "package", "--locked", "--no-verify", "--allow-dirty", "--quiet", "--target-dir", scratch]
        for crate in CRATES:
            command += ["-p", crate]
        subprocess.run(command, cwd=repository.ROOT, check=True)
        for crate in CRATES:
            shutil.copy(Path(scratch) / "package" / f"{crate}-{release.version}.crate", folder)
    thirdparty.rust(folder.parent / "third-party/rust", [folder / f"{c}-{release.version}.crate" for c in CRATES])
