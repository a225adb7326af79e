"""What release.json says of dist/: whether it is all of a release."""

import json
from unittest import mock

import bill
import packages
import report
import repository
import version
from tests.pretend import ReleaseTest


class Packages(ReleaseTest):
    def about(self, names: str = "") -> dict[str, object]:
        with (
            mock.patch.object(packages, "gather", lambda: self.release),
            mock.patch.object(packages, "DOORS", ["elixir", "extension"]),
            mock.patch.object(version, "differing", lambda root, number: []),
            mock.patch.object(bill, "of", lambda release: "{}"),
            mock.patch.object(repository, "DIST", self.folder.parent),
            mock.patch("builtins.print"),
        ):
            # Other tests skip as well.
            report.skipped.clear()
            packages.main(names)
        return json.loads((self.folder.parent / "release.json").read_text())

    def test_all_doors_with_all_parts_are_a_release(self) -> None:
        about = self.about()
        self.assertEqual((about["is_whole"], about["missing"]), (True, []))

    def test_some_doors_are_none(self) -> None:
        self.assertEqual(self.about("extension")["is_whole"], False)

    def test_nor_is_what_lacks_a_part(self) -> None:
        native = self.release.natives[0]
        native.files -= {"honker_nif.so"}
        about = self.about()
        self.assertEqual(about["is_whole"], False)
        self.assertEqual(about["missing"], [f"Elixir's precompiled NIF for {native.target.name}: it was not built"])
