"""The wheel: what is in it, and that it works where nothing else is."""

import csv
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1]
WHERE = """
import honker
honker.open("a.db").close()
print(honker._library.lib.loaded, honker.extension_info().path)
"""
LIBRARIES = {"honker/_lib/libhonker.so", "honker/_lib/libhonker_ext.so"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, PACKAGE]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(out.glob("*.whl"))


def test_content(wheel):
    assert re.fullmatch(r"honker-[0-9.]+-py3-none-\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = next(name for name in names if name.endswith("/WHEEL")).rpartition("/")[0]
        modules = {f"honker/{path.name}" for path in (PACKAGE / "honker").iterdir() if path.is_file()}
        subpackages = {name for name in names if name.count("/") > 1 and name.startswith("honker/")} - LIBRARIES
        assert all(name.endswith((".py", ".html", ".css")) for name in subpackages)
        described = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
        licences = {f"{info}/licenses/LICENSE-MIT", f"{info}/licenses/LICENSE-APACHE"}
        assert names - subpackages == modules | LIBRARIES | described | licences
        assert {"honker/py.typed", "honker/schema.sql"} <= names
        about = archive.read(f"{info}/WHEEL").decode()
        assert "Root-Is-Purelib: false" in about and "Tag: py3-none-" in about
        metadata = archive.read(f"{info}/METADATA").decode()
        assert "Requires-Python: >=3.11\n" in metadata and "License-Expression: MIT OR Apache-2.0" in metadata
        assert "Requires-Dist" not in metadata
        for licence in licences:
            assert len(archive.read(licence)) > 1000
        for name in LIBRARIES:
            assert 1_000_000 < archive.getinfo(name).file_size < 20_000_000, name
        recorded = {row[0] for row in csv.reader(archive.read(f"{info}/RECORD").decode().splitlines())}
        assert recorded == names
        # Where it was built is nobody's business. In the libraries Rust leaves the names of the sources of crates, of
        # which some are generated in the folder of the build.
        places = [os.fsencode(path) + b"/" for path in (PACKAGE.parents[1], Path.home())]
        for name in names - LIBRARIES:
            assert not any(place in archive.read(name) for place in places), name


def test_installed_offline(wheel, tmp_path):
    """In a clean venv, with nothing of this one: the example of the README, types, the fixtures' entry point."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }

    def run(*arguments):
        done = subprocess.run([python, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-m", "pip", "install", "--no-deps", wheel)
    readme = (PACKAGE / "README.md").read_text()
    example = re.search(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)[1]
    assert run("-c", example) == "hello, world!\n"
    where = run("-c", WHERE)
    assert all(path.startswith(str(tmp_path / "venv")) for path in where.split())
    run("-c", "from importlib.metadata import entry_points as e; assert e(group='pytest11', name='honker')")
    run("-m", "pip", "uninstall", "--yes", "honker")
    assert not list((tmp_path / "venv").glob("lib/*/site-packages/honker*"))
