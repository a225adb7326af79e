"""The table says yes only of what was seen."""

import json
import tempfile
import unittest
from dataclasses import asdict
from pathlib import Path

import table
from prove import Seen


class Table(unittest.TestCase):
    def test_cells(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            readme = Path(scratch) / "README.md"
            readme.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
            seen = Seen("go", "linux-x64-gnu", "c" * 40, 2_500_000, installed=True)
            (Path(scratch) / "go.json").write_text(json.dumps(asdict(seen)))
            table.write(Path(scratch), readme)
            text = readme.read_text()
        self.assertTrue(text.startswith("before\n") and text.endswith(f"{table.END}\nafter\n"))
        self.assertEqual(
            [row[:7] for row in table.rows(text)], [["go", "linux-x64-gnu", "yes", "–", "–", "–", "2.5 MB"]]
        )
