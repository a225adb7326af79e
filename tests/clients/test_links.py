"""The documentation: each link of a page leads to a file that is there, and to a heading of it, and the README has an
example of each package."""

from __future__ import annotations

import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LISTED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
PAGES = [ROOT / name for name in LISTED.splitlines()]


def text_of(page: Path) -> str:
    """Without what is no text: blocks of code, and code within a line."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "code", text)


def anchors_of(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def rows_after(page: Path, head: str) -> list[list[str]]:
    """The rows of the table whose first cell is this one."""
    table = page.read_text(encoding="utf-8").partition(f"| {head} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table.splitlines()[2:]]


class Links(unittest.TestCase):
    def test_lead_somewhere(self) -> None:
        self.assertGreater(len(PAGES), 20)
        links = 0
        for page in PAGES:
            for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
                if re.match(r"[a-z]+:", link):
                    continue
                links += 1
                path, _, anchor = link.partition("#")
                target = (page.parent / path).resolve() if path else page
                with self.subTest(page=str(page.relative_to(ROOT)), link=link):
                    self.assertTrue(target.exists(), "there is no such file")
                    if anchor:
                        self.assertIn(anchor, anchors_of(target), "it has no such heading")
        self.assertGreater(links, 100)


class Features(unittest.TestCase):
    """The README's table of what a queue can do, and that of where each package has it."""

    def test_each_is_documented(self) -> None:
        rows = rows_after(ROOT / "README.md", "feature")
        self.assertGreaterEqual(len(rows), 11)
        for feature, what, where in rows:
            with self.subTest(feature=feature):
                self.assertGreater(len(what), 20)
                self.assertRegex(where, r"\]\(docs/")

    def test_each_package_has_them(self) -> None:
        rows = rows_after(ROOT / "README.md", "the same in")
        programs = {}
        for name, readme, example in rows:
            with self.subTest(package=name):
                (linked,) = re.findall(r"\]\((bindings/\w+)/README\.md#[\w-]+\)", readme)
                (program,) = re.findall(r"\]\(([^)]+)\)", example)
                self.assertTrue(program.startswith(f"{linked}/"), f"{program} is no example of {linked}")
                self.assertTrue((ROOT / program).is_file(), f"there is no {program}")
                programs.setdefault(linked, []).append(program)
                self.assert_complete(ROOT / linked / "README.md")
        # Java and Kotlin are two languages of one package.
        packages = {f"bindings/{folder.name}" for folder in (ROOT / "bindings").iterdir() if folder.is_dir()}
        self.assertEqual(set(programs), packages)
        self.assertEqual(len(programs["bindings/jvm"]), 2)
        for package, (program, *_rest) in programs.items():
            with self.subTest(package=package):
                text = (ROOT / program).read_text(encoding="utf-8").lower()
                for word in ("unique", "batch", "step"):
                    self.assertIn(word, text)

    def assert_complete(self, readme: Path) -> None:
        """The table of a package, or that of another package to which it leads instead, has a row for each feature."""
        features = readme.read_text(encoding="utf-8").partition("\n## Queue features\n")[2].partition("\n## ")[0]
        elsewhere = re.search(r"\]\((\.\./\w+/README\.md)#queue-features\)", features)
        if elsewhere:
            self.assert_complete(readme.parent / elsewhere[1])
            return
        table = "\n".join(re.findall(r"^\|.*$", features, re.MULTILINE)).lower()
        words = "unique metadata snooze release cancel dies batch step overlap pause concurrency rate metrics dead"
        for word in words.split():
            self.assertIn(word, table, "the table of features lacks it")


if __name__ == "__main__":
    unittest.main()
