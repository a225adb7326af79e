"""Programs that proofs need, and Debian does not have, from npm and PyPI: in target/release-tools, once."""

import shutil
import subprocess
import sys
from pathlib import Path

import repository
import toolchain

PLACE = repository.TARGET / "release-tools"


def npm(package: str, version: str) -> Path | None:
    """The folder of a package, whatever platform it is for."""
    folder = PLACE / f"{package.removeprefix('@').replace('/', '-')}-{version}"
    if not folder.is_dir():
        if toolchain.find("npm") is None:
            return None
        part = _empty(folder)
        packed = subprocess.run(["npm", "pack", "--silent", f"{package}@{version}"], cwd=part, capture_output=True)
        if packed.returncode != 0:
            return None
        for tarball in part.glob("*.tgz"):
            shutil.unpack_archive(tarball, part, filter="tar")
            tarball.unlink()
        part.rename(folder)
    return folder / "package"


def wheel(name: str, version: str, platform: str, python: str = "3.12") -> Path | None:
    """What is in a wheel for a platform."""
    folder = PLACE / f"{name}-{version}-{platform}"
    if not folder.is_dir():
        part = _empty(folder)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += ["--platform", platform, "--python-version", python, f"{name}=={version}"]
        if subprocess.run(command, cwd=part, capture_output=True).returncode != 0:
            return None
        for packed in part.glob("*.whl"):
            shutil.unpack_archive(packed, part, "zip")
            packed.unlink()
        part.rename(folder)
    return folder


def _empty(folder: Path) -> Path:
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part
