"""What is looked for in packages is what the doors pack, and what is not for a platform is found."""

import sys
import unittest
from pathlib import Path
from unittest import mock

import inside
import portable
import repository
import sound
import targets
import thirdparty
from archive import Entry, zipped
from doors import c, elixir, extension, go, node, python, ruby
from formats.elf import Elf
from tests.pretend import ReleaseTest

DOORS = {"c": c, "elixir": elixir, "extension": extension, "go": go, "node": node, "python": python, "ruby": ruby}


class Inside(ReleaseTest):
    def setUp(self) -> None:
        super().setUp()
        dist = self.folder.parent
        for module, name, value in [
            (repository, "DIST", dist),
            (repository, "version", lambda: self.release.version),
            (thirdparty, "go", lambda out, module: None),
            (portable, "entries", lambda language: [Entry("dist/index.js")]),
            (portable, "has", lambda language: True),
            (python.sources, "workspace", lambda release: []),
        ]:
            patch = mock.patch.object(module, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        for name, door in DOORS.items():
            (dist / name).mkdir()
            door.pack(self.release, dist / name)

    def test_the_parts_are_where_the_doors_put_them(self) -> None:
        with mock.patch.object(sound, "problems_of", lambda target, path: []):
            for target in targets.read():
                for package in DOORS:
                    there = not inside.parts(package, target) & target.never
                    wrong = inside.problems(package, target)
                    self.assertEqual(wrong, [] if there else None, f"{package} for {target.name}")

    def test_what_is_no_library_is_found(self) -> None:
        for target in targets.read():
            wrong = inside.problems("python", target)
            self.assertEqual(len(wrong), 3, wrong)
            self.assertRegex(wrong[0], rf"is no file of {target.os}")

    def test_a_part_that_is_missing_is_found(self) -> None:
        target = targets.chosen("macos-arm64")[0]
        packed = next((repository.DIST / "extension").glob("*macos-arm64.zip"))
        packed.write_bytes(zipped([Entry("README.txt")], 0))
        self.assertEqual(inside.problems("extension", target), [f"{packed.name} has no libhonker_ext.dylib"])
        packed.unlink()
        self.assertIsNone(inside.problems("extension", target))

    def test_there_is_no_package_without_the_one_that_people_name(self) -> None:
        target = targets.chosen("linux-x64-gnu")[0]
        next((repository.DIST / "node").glob("*-honker-bun-[0-9]*.tgz")).unlink()
        self.assertIsNone(inside.problems("bun", target))
        self.assertIsNotNone(inside.problems("node", target))

    def test_a_file_that_names_a_folder_of_this_machine_is_found(self) -> None:
        target = targets.chosen("windows-x64")[0]
        packed = next((repository.DIST / "extension").glob(f"*{target.name}.zip"))
        entries = [Entry(target.extension, b""), Entry("README.txt", f"see {repository.ROOT}/x".encode())]
        packed.write_bytes(zipped(entries, 0))
        self.assertIn(
            f"README.txt in {packed.name} names a folder of this machine: {repository.ROOT}/x",
            inside.problems("extension", target),
        )

    @unittest.skipUnless(sys.platform == "linux", "Linux has ELF files")
    def test_a_file_of_another_processor_is_found(self) -> None:
        program = Path(sys.executable).resolve()
        ours = Elf(program).cpu
        other = next(one for one in targets.read() if one.os == "linux" and one.cpu != ours)
        packed = next((repository.DIST / "extension").glob(f"*{other.name}.zip"))
        packed.write_bytes(zipped([Entry(other.extension, program.read_bytes())], 0))
        self.assertIn(f"{other.extension} in {packed.name} is for {ours}", inside.problems("extension", other))
