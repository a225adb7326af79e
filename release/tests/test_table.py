"""The tables say yes only of what was seen."""

import json
import tempfile
import unittest
from dataclasses import asdict
from pathlib import Path
from unittest import mock

import table
from prove import Seen

COMMIT = "c" * 40


class Table(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        for module, name, value in [
            (table, "RECORDS", self.folder / "records"),
            (table, "CHECKED", self.folder / "checked"),
            (table, "README", self.folder / "detail.md"),
            (table, "OVERVIEW", self.folder / "overview.md"),
        ]:
            patch = mock.patch.object(module, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        for readme in (table.README, table.OVERVIEW):
            readme.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
        for folder in (table.RECORDS, table.CHECKED):
            folder.mkdir()
        for package in ("go", "extension"):
            for platform in ("linux-x64-gnu", "windows-x64"):
                seen = {"package": package, "platform": platform, "commit": COMMIT}
                (table.CHECKED / f"{package}-{platform}.json").write_text(json.dumps(seen))

    def written(self, *seen: Seen) -> tuple[list[list[str]], dict[str, list[str]]]:
        for one in seen:
            (table.RECORDS / f"{one.package}-{one.platform}.json").write_text(json.dumps(asdict(one)))
        table.write(COMMIT)
        for readme in (table.README, table.OVERVIEW):
            text = readme.read_text()
            self.assertTrue(text.startswith("before\n") and text.endswith(f"{table.END}\nafter\n"))
        overview = {row[0]: row[1:] for row in table.rows(table.OVERVIEW.read_text())}
        return table.rows(table.README.read_text()), overview

    def test_what_was_only_installed_is_not_proved(self) -> None:
        detail, overview = self.written(Seen("go", "linux-x64-gnu", COMMIT, COMMIT, 2_500_000, "here", installed=True))
        row = ["Go", "linux-x64-gnu", "yes", "–", "–", "–", "2.5 MB", "here", "c" * 12]
        self.assertEqual(detail, [row])
        self.assertEqual(overview["Go"], ["checked", "–", "–", "–", "–", "–", "checked"])

    def test_what_was_proved(self) -> None:
        whole = {"installed": True, "example": True}
        detail, overview = self.written(
            Seen("go", "linux-x64-gnu", COMMIT, COMMIT, 1, "here", waits=True, pair="python", **whole),
            Seen("extension", "linux-x64-gnu", COMMIT, COMMIT, 1, "here", pair="python", **whole),
        )
        self.assertEqual(detail[0][2:6], ["yes", "yes", "yes", "yes, with Python"])
        # SQL does not wait.
        self.assertEqual(detail[1][2:6], ["yes", "yes", "–", "yes, with Python"])
        self.assertEqual(overview["Go"][0], "proved")
        self.assertEqual(overview["the extension"], ["proved", "–", "–", "–", "–", "–", "checked"])

    def test_what_was_not_looked_into_is_neither(self) -> None:
        _, overview = self.written()
        self.assertEqual(set(overview["Elixir"]), {"–"})
        self.assertEqual(set(overview["Rust"]), {"source"})

    def test_what_was_seen_of_another_commit_is_not_in_it(self) -> None:
        whole = {"installed": True, "example": True, "waits": True, "pair": "python"}
        detail, overview = self.written(
            Seen("go", "linux-x64-gnu", "d" * 40, COMMIT, 1, "here", **whole),
            Seen("extension", "linux-x64-gnu", COMMIT, "d" * 40, 1, "here", **whole),
        )
        self.assertEqual([row[0] for row in detail], ["the extension"])
        self.assertEqual(detail[0][-1], f"{'c' * 12}, natives of {'d' * 12}")
        self.assertEqual(overview["Go"][0], "checked")
        for path in table.CHECKED.glob("go-*"):
            path.write_text(path.read_text().replace(COMMIT, "d" * 40))
        self.assertEqual(self.written()[1]["Go"][0], "–")
