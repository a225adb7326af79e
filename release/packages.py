"""Packs what was compiled into dist/, one folder for each door, with the sums of all files and a bill of materials.
Compiles nothing.
"""

import hashlib
import importlib
import json
import os
import shutil

import bill
import repository
import version
from contents import gather
from report import close, say, skipped

# One module of doors/ each.
DOORS = ["c", "dotnet", "elixir", "extension", "go", "jvm", "node", "python", "ruby", "rust", "symbols"]


def main(names: str) -> None:
    number = repository.version()
    if wrong := version.differing(repository.ROOT, number):
        raise SystemExit("\n".join(wrong))
    release = gather()
    wanted = names.split() or DOORS
    made = 0
    for name in wanted:
        door = importlib.import_module(f"doors.{name}")
        folder = repository.DIST / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        door.pack(release, folder)
        files = [path for path in folder.rglob("*") if path.is_file()]
        made += len(files)
        say(f"{name}: {len(files)} files")
    (repository.DIST / "honker.cdx.json").write_text(bill.of(release))
    about = {
        "version": release.version,
        "commit": release.commit,
        # All doors, of this commit, with all that there is for each platform: else it is not published.
        "is_whole": release.is_whole and not skipped and set(wanted) == set(DOORS),
        "missing": [f"{what}: {why}" for what, why in skipped],
        "natives": release.commits,
    }
    (repository.DIST / "release.json").write_text(json.dumps(about) + "\n")
    _sum()
    close(made, "packages")


def _sum() -> None:
    """SHA256SUMS, of everything else."""
    lines = []
    for path in sorted(repository.DIST.rglob("*")):
        name = path.relative_to(repository.DIST).as_posix()
        if path.is_file() and name != "SHA256SUMS":
            lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n")
    (repository.DIST / "SHA256SUMS").write_text("".join(lines))
    os.utime(repository.DIST / "SHA256SUMS", (repository.commit_time(),) * 2)
