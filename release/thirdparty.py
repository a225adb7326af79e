"""The packages of others that ours need, put beside ours in dist/third-party, so that they can be proved without a
network. They are not published.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import repository


def go(out: Path, module: Path) -> None:
    """The modules that a Go module needs, as a proxy has them."""
    said = subprocess.run(["go", "mod", "download", "-json"], cwd=module, check=True, capture_output=True, text=True)
    decoder, text = json.JSONDecoder(), said.stdout.strip()
    while text:
        one, end = decoder.raw_decode(text)
        text = text[end:].strip()
        # .../cache/download/<module>/@v/<version>.info
        info = Path(one["Info"])
        name = Path(os.path.relpath(info.parents[1], info.parents[1].anchor))
        name = Path(*name.parts[name.parts.index("download") + 1 :])
        folder = out / name / "@v"
        folder.mkdir(parents=True, exist_ok=True)
        for key in ("Info", "GoMod", "Zip"):
            shutil.copy(one[key], folder)
        (folder / "list").write_text(f"{one['Version']}\n")


def rust(out: Path, crates: list[Path]) -> None:
    """The crates that a program which uses ours compiles, as `cargo vendor` lays them out, and ours among them: a
    source that takes the place of the registry.
    """
    shutil.rmtree(out, ignore_errors=True)
    command = ["cargo", "vendor", "--locked", "--quiet", "--versioned-dirs", str(out)]
    subprocess.run(command, cwd=repository.ROOT, check=True, stdout=subprocess.DEVNULL)
    for crate in crates:
        with tarfile.open(crate) as archive:
            archive.extractall(out, filter="data")
        # The registry knows the sum of the whole; of a folder of ours nothing is compared.
        checksum = {"files": {}, "package": hashlib.sha256(crate.read_bytes()).hexdigest()}
        (out / crate.stem / ".cargo-checksum.json").write_text(json.dumps(checksum))
