"""Apple's frameworks as a linker wants them: their names, and those of their functions. There is no SDK here, and the
crates that call them say which functions there are.
"""

import json
import re
import subprocess
from pathlib import Path

# Each with the crate that declares it.
FRAMEWORKS = {
    "CoreFoundation": "objc2-core-foundation",
    "SystemConfiguration": "objc2-system-configuration",
}
PLACE = "/System/Library/Frameworks/{0}.framework/Versions/A/{0}"


def make(source: Path, out: Path) -> Path:
    """Text stubs of those that a checkout's crates call; the folder that a linker searches."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    said = subprocess.run(command, cwd=source, check=True, capture_output=True, text=True).stdout
    crates = {one["name"]: Path(one["manifest_path"]).parent for one in json.loads(said)["packages"]}
    for name, crate in FRAMEWORKS.items():
        if crate in crates:
            file = out / f"{name}.framework" / f"{name}.tbd"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(stub(name, _declared(crates[crate])))
    return out


def stub(name: str, symbols: list[str]) -> str:
    targets = "[ x86_64-macos, arm64-macos ]"
    listed = ", ".join(f"_{symbol}" for symbol in symbols)
    return f"""--- !tapi-tbd
tbd-version: 4
targets: {targets}
install-name: '{PLACE.format(name)}'
exports:
  - targets: {targets}
    symbols: [ {listed} ]
...
"""


def _declared(crate: Path) -> list[str]:
    """The functions and the constants of C in a crate's sources."""
    text = "\n".join(path.read_text() for path in sorted((crate / "src").rglob("*.rs")))
    return sorted(set(re.findall(r"\b(?:fn|static) ((?:CF|SC|kCF|kSC|__CF)\w+)\s*[(:]", text)))
