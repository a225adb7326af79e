"""The bill of materials, in CycloneDX's form: every crate that is in what was compiled, and the SQLite in it."""

import json
import re
import subprocess
import uuid
from pathlib import Path
from typing import Any

import repository
from contents import Release

# What is compiled, and so holds its dependencies.
OURS = ["honker-ffi", "honker-extension", "honker-cli"]


def of(release: Release) -> str:
    metadata = _metadata()
    packages = {package["id"]: package for package in metadata["packages"]}
    edges = {node["id"]: _linked(node) for node in metadata["resolve"]["nodes"]}
    roots = [package["id"] for package in packages.values() if package["name"] in OURS]
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        if (one := waiting.pop()) not in reached:
            reached.add(one)
            waiting += edges[one]
    components = [_component(packages[one]) for one in reached]
    components += [_sqlite(packages[one]) for one in reached if packages[one]["name"] == "libsqlite3-sys"]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, release.commit)}",
        "version": 1,
        "metadata": {
            "component": {"type": "library", "bom-ref": "honker", "name": "honker", "version": release.version},
            "properties": [{"name": "commit", "value": release.commit}],
        },
        "components": sorted(components, key=lambda component: component["bom-ref"]),
        "dependencies": sorted(
            (
                {"ref": _ref(packages[one]), "dependsOn": sorted({_ref(packages[other]) for other in edges[one]})}
                for one in reached
            ),
            key=lambda dependency: dependency["ref"],
        ),
    }
    return json.dumps(document, indent=1) + "\n"


def _metadata() -> Any:
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    return json.loads(subprocess.run(command, cwd=repository.ROOT, check=True, capture_output=True).stdout)


def _linked(node: Any) -> list[str]:
    """What a crate links: neither its tests' nor its build script's crates."""
    return [one["pkg"] for one in node["deps"] if any(kind["kind"] is None for kind in one["dep_kinds"])]


def _ref(package: Any) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


def _component(package: Any) -> dict[str, Any]:
    component = {
        "type": "library",
        "bom-ref": _ref(package),
        "name": package["name"],
        "version": package["version"],
        "purl": _ref(package),
    }
    if package["license"]:
        component["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    return component


def _sqlite(package: Any) -> dict[str, Any]:
    """The copy that libsqlite3-sys compiles."""
    header = Path(package["manifest_path"]).parent / "sqlite3/sqlite3.h"
    number = re.search(r'#define SQLITE_VERSION +"(.+)"', header.read_text())[1]
    ref = f"pkg:generic/sqlite@{number}"
    return {
        "type": "library", "bom-ref": ref, "name": "sqlite", "version": number, "purl": ref,
        "licenses": [{"license": {"id": "blessing"}}],
    }  # fmt: skip
