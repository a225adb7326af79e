"""The table of release/README.md: what was proved, of which package, where. A cell says yes only if it was seen."""

import json
import re
from pathlib import Path
from typing import Any

import repository

README = repository.ROOT / "release/README.md"
RECORDS = repository.TARGET / "release-proofs"
BEGIN, END = "<!-- proofs: written by `make prove` -->", "<!-- end of proofs -->"


def write(records: Path = RECORDS, readme: Path = README) -> None:
    seen = [json.loads(path.read_text()) for path in sorted(records.glob("*.json"))]
    text = readme.read_text()
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    readme.write_text(f"{before}{BEGIN}\n{_table(seen)}\n{END}{after}")


def _table(seen: list[dict[str, Any]]) -> str:
    lines = [
        "| package | platform | installed offline | example ran | waits | pair ran | size | root | of commit |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in sorted(seen, key=lambda one: (one["package"], one["platform"])):
        cells = [
            one["package"],
            one["platform"],
            _yes(one["installed"]),
            _yes(one["example"]),
            _yes(one["waits"]),
            f"yes, with {one['pair']}" if one["pair"] else "–",
            f"{one['size'] / 1e6:.1f} MB",
            one["root"],
            one["commit"][:12],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _yes(seen: bool) -> str:
    return "yes" if seen else "–"


def rows(text: str) -> list[list[str]]:
    """The table's rows, for tests."""
    inside = re.search(re.escape(BEGIN) + "(.*?)" + re.escape(END), text, re.S)[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in inside.strip().splitlines()[2:]]
