"""The platforms are the same wherever they are named."""

import json
import re
import unittest

import targets
from repository import ROOT

LANGUAGES = ["python", "node", "ruby", "go", "jvm", "dotnet", "elixir"]


class Targets(unittest.TestCase):
    def test_each_has_a_name_of_its_own_in_every_language(self) -> None:
        for language in LANGUAGES:
            names = [target.called[language] for target in targets.read()]
            self.assertEqual(len(names), len(set(names)), language)

    def test_nodes_packages_are_those(self) -> None:
        names = {target.called["node"] for target in targets.read()}
        maker = (ROOT / "bindings/node/npm/make.cjs").read_text()
        self.assertEqual(names, set(re.findall(r'^  "([a-z0-9-]+)": \{ os', maker, re.M)))
        for language in ("node", "bun"):
            manifest = json.loads((ROOT / f"bindings/{language}/package.json").read_text())
            self.assertEqual(
                {f"@russellthehippo/honker-node-{name}" for name in names}, set(manifest["optionalDependencies"])
            )

    def test_the_floors_are_those_of_the_wheels(self) -> None:
        for target in targets.read():
            if target.floor:
                self.assertIn(f"_{target.floor.replace('.', '_')}_", target.called["python"])

    def test_a_target_that_is_not_there_is_named(self) -> None:
        with self.assertRaisesRegex(SystemExit, "there is no target vax: there are linux-x64-gnu"):
            targets.chosen("linux-x64-gnu vax")
        self.assertEqual([target.name for target in targets.chosen("macos-x64,linux-x64-gnu")],
                         ["macos-x64", "linux-x64-gnu"])  # fmt: skip
        self.assertEqual(targets.chosen(""), targets.read())
