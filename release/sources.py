"""The Rust that source packages bring: a workspace of libhonker, the extension and the program alone, with a lock."""

import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import repository
from archive import Entry, tree
from contents import Release

CRATES = ["honker-core", "honker-postgres", "honker-ffi", "honker-extension", "honker-cli"]
# Tests, and what they compare.
LEFT_OUT = re.compile(r"honker-\w+/(tests|testee|package|benches)/|honker-ffi/(abi\.json|cbindgen\.toml)")


@cache
def _workspace() -> tuple[Entry, ...]:
    names = repository.git("ls-files", "--", *CRATES, "include", "Cargo.toml", "Cargo.lock").splitlines()
    kept = [name for name in names if not LEFT_OUT.match(name)]
    entries = {entry.name: entry for entry in tree(repository.ROOT, kept)}
    members = ", ".join(f'"{name}"' for name in CRATES)
    defaults = ", ".join(f'"{name}"' for name in CRATES if name != "honker-extension")
    root = entries["Cargo.toml"].content.decode()
    root = re.sub(r"^members = .*$", f"members = [{members}]", root, flags=re.M)
    root = re.sub(r"^default-members = .*$", f"default-members = [{defaults}]", root, flags=re.M)
    # Crates of the tests, which are not here.
    root = re.sub(r"^(honker|honker-model|honker-library) = \{ path .*\n", "", root, flags=re.M)
    with tempfile.TemporaryDirectory() as scratch:
        for name, entry in (entries | {"Cargo.toml": Entry("Cargo.toml", root.encode())}).items():
            path = Path(scratch) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(entry.content)
        for crate in CRATES:
            manifest = Path(scratch) / crate / "Cargo.toml"
            manifest.write_text(_without_tests(manifest.read_text()))
            entries[f"{crate}/Cargo.toml"] = Entry(f"{crate}/Cargo.toml", manifest.read_bytes())
        # Leaves the versions as they are, and drops what nothing needs any more.
        subprocess.run(["cargo", "metadata", "--format-version", "1"], cwd=scratch, check=True, capture_output=True)
        lock = (Path(scratch) / "Cargo.lock").read_bytes()
    entries["Cargo.toml"] = Entry("Cargo.toml", root.encode())
    entries["Cargo.lock"] = Entry("Cargo.lock", lock)
    return tuple(entries[name] for name in sorted(entries))


def _without_tests(manifest: str) -> str:
    """A crate's manifest without the crates of its tests."""
    manifest = re.sub(r"^\[dev-dependencies\]\n(?:(?!\[).*\n)*", "", manifest, flags=re.M)
    return re.sub(r"^\[\[(?:test|bench|example)\]\]\n(?:(?!\[).*\n)*", "", manifest, flags=re.M)


def workspace(release: Release) -> list[Entry]:
    """Its files, with the commit that build.rs would ask git for."""
    return [*_workspace(), Entry("COMMIT", f"{release.commit}\n".encode())]
