"""The tables of what was proved, of which package, where: each proof in release/README.md, an overview in README.md. A
cell says so only if it was seen.
"""

import json
import re
from pathlib import Path
from typing import Any

import repository
import targets

RECORDS = repository.TARGET / ("sample/proofs" if repository.IS_SAMPLE else "release-proofs")
README = repository.ROOT / "release/README.md"
OVERVIEW = repository.ROOT / "README.md"
BEGIN, END = "<!-- proofs: written by `make prove` -->", "<!-- end of proofs -->"
# Each package, and what targets.json calls its language where that names it.
PACKAGES = {
    "python": ("Python", "python"),
    "node": ("Node", "node"),
    "bun": ("Bun", "node"),
    "go": ("Go", "go"),
    "ruby": ("Ruby", "ruby"),
    "elixir": ("Elixir", "elixir"),
    "jvm": ("Java, Kotlin", "jvm"),
    "dotnet": (".NET", "dotnet"),
    "rust": ("Rust", None),
    "c": ("C, C++", "c"),
    "extension": ("the extension", "extension"),
}


def write() -> None:
    seen = [json.loads(path.read_text()) for path in sorted(RECORDS.glob("*.json"))]
    packed = json.loads((repository.DIST / "release.json").read_text())["natives"]
    replace(README, _table(seen))
    replace(OVERVIEW, _overview(seen, packed))


def replace(readme: Path, table: str) -> None:
    """What is between the two marks."""
    text = readme.read_text()
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    readme.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


def _table(seen: list[dict[str, Any]]) -> str:
    lines = [
        "| package | platform | installed offline | example ran | waits | pair ran | size | root | of commit |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    platforms = [target.name for target in targets.read()]
    order = list(PACKAGES)
    for one in sorted(seen, key=lambda one: (platforms.index(one["platform"]), order.index(one["package"]))):
        cells = [
            PACKAGES[one["package"]][0],
            one["platform"],
            _yes(one["installed"]),
            _yes(one["example"]),
            _yes(one["waits"]),
            f"yes, with {PACKAGES[one['pair']][0]}" if one["pair"] else "–",
            f"{one['size'] / 1e6:.1f} MB",
            one["root"],
            one["commit"][:12],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _overview(seen: list[dict[str, Any]], packed: dict[str, str]) -> str:
    """One row for each package, one column for each platform: proved, built, or neither."""
    # All that a proof is made of; SQL by itself cannot wait, but has its pair.
    proved = {(one["package"], one["platform"]) for one in seen if one["installed"] and one["example"] and one["pair"]}
    platforms = targets.read()
    lines = [
        f"| package | {' | '.join(target.name for target in platforms)} |",
        f"| --- |{' --- |' * len(platforms)}",
    ]
    for package, (name, language) in PACKAGES.items():
        cells = [
            "proved" if (package, target.name) in proved else _built(language, target, packed) for target in platforms
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _built(language: str | None, target: targets.Target, packed: dict[str, str]) -> str:
    if language is None:
        return "source"
    # The tarball and the zip need no name.
    has = language in ("c", "extension") or language in target.called
    if language == "elixir" and target.os == "windows":
        has = False
    return "built" if has and target.name in packed else "–"


def _yes(seen: bool) -> str:
    return "yes" if seen else "–"


def rows(text: str) -> list[list[str]]:
    """The table's rows, for tests."""
    inside = re.search(re.escape(BEGIN) + "(.*?)" + re.escape(END), text, re.S)[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in inside.strip().splitlines()[2:]]
