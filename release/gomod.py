"""Go's modules: their archives, sums, and the folders that a module proxy serves as files."""

import base64
import hashlib
import json
import time
from pathlib import Path

from archive import Entry, zipped


def publish(proxy: Path, module: str, version: str, files: list[Entry], moment: int) -> str:
    """Puts one version of a module into a proxy; the lines that go.sum has for it."""
    folder = proxy / escaped(module) / "@v"
    folder.mkdir(parents=True, exist_ok=True)
    named = [Entry(f"{module}@{version}/{file.name}", file.content) for file in sorted(files, key=lambda f: f.name)]
    manifest = next(file.content for file in files if file.name == "go.mod")
    (folder / f"{version}.mod").write_bytes(manifest)
    (folder / f"{version}.zip").write_bytes(zipped(named, moment))
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
    (folder / f"{version}.info").write_text(json.dumps({"Version": version, "Time": when}))
    (folder / "list").write_text(f"{version}\n")
    return sums(module, version, files)


def sums(module: str, version: str, files: list[Entry]) -> str:
    manifest = [file for file in files if file.name == "go.mod"]
    whole = [Entry(f"{module}@{version}/{file.name}", file.content) for file in files]
    return f"{module} {version} {_sum(whole)}\n{module} {version}/go.mod {_sum(manifest)}\n"


def _sum(files: list[Entry]) -> str:
    files = sorted(files, key=lambda file: file.name)
    lines = [f"{hashlib.sha256(file.content).hexdigest()}  {file.name}\n" for file in files]
    return "h1:" + base64.b64encode(hashlib.sha256("".join(lines).encode()).digest()).decode()


def escaped(module: str) -> str:
    """As file systems that ignore case need it."""
    return "".join(f"!{letter.lower()}" if letter.isupper() else letter for letter in module)
