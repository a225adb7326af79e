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
CHECKED = RECORDS / "checked"
README = repository.ROOT / "release/README.md"
OVERVIEW = repository.ROOT / "README.md"
BEGIN, END = "<!-- proofs: written by `make prove` -->", "<!-- end of proofs -->"
PACKAGES = {
    "python": "Python",
    "node": "Node",
    "bun": "Bun",
    "go": "Go",
    "ruby": "Ruby",
    "elixir": "Elixir",
    "jvm": "Java, Kotlin",
    "dotnet": ".NET",
    "rust": "Rust",
    "c": "C, C++",
    "extension": "the extension",
}


def write(commit: str) -> None:
    """Of what was seen of this commit's packages, in this run or in one before it."""
    seen, checked = _records(RECORDS, commit), _records(CHECKED, commit)
    replace(README, _table(seen))
    replace(OVERVIEW, _overview(seen, checked))


def _records(folder: Path, commit: str) -> list[dict[str, Any]]:
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [one for one in records if one["commit"] == commit]


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
            PACKAGES[one["package"]],
            one["platform"],
            _yes(one["installed"]),
            _yes(one["example"]),
            _yes(one["waits"]),
            f"yes, with {PACKAGES[one['pair']]}" if one["pair"] else "–",
            f"{one['size'] / 1e6:.1f} MB",
            one["root"],
            one["commit"][:12] + (f", natives of {one['natives'][:12]}" if one["natives"] != one["commit"] else ""),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _overview(seen: list[dict[str, Any]], checked: list[dict[str, Any]]) -> str:
    """One row for each package, one column for each platform: proved, checked, or neither."""
    # All that a proof is made of; SQL by itself cannot wait, but has its pair.
    proved = {(one["package"], one["platform"]) for one in seen if one["installed"] and one["example"] and one["pair"]}
    sound = {(one["package"], one["platform"]) for one in checked}
    platforms = targets.read()
    lines = [
        f"| package | {' | '.join(target.name for target in platforms)} |",
        f"| --- |{' --- |' * len(platforms)}",
    ]
    for package, name in PACKAGES.items():
        cells = []
        for target in platforms:
            if (package, target.name) in proved:
                cells.append("proved")
            elif (package, target.name) in sound:
                cells.append("checked")
            else:
                cells.append("source" if package == "rust" else "–")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _yes(seen: bool) -> str:
    return "yes" if seen else "–"


def rows(text: str) -> list[list[str]]:
    """The table's rows, for tests."""
    inside = re.search(re.escape(BEGIN) + "(.*?)" + re.escape(END), text, re.S)[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in inside.strip().splitlines()[2:]]
