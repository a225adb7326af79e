"""The version number stands in one place, and is written to the others."""

import shutil
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import repository
import version


class Version(unittest.TestCase):
    def test_all_places_have_cargos_number(self) -> None:
        self.assertEqual(version.differing(repository.ROOT, repository.version()), [])

    def test_no_number_but_three_is_released(self) -> None:
        with mock.patch.object(repository, "version", lambda: "1.2.3-rc.1"):
            with self.assertRaisesRegex(SystemExit, "1.2.3-rc.1 is no number"):
                version.main("")

    def test_another_number_is_found_and_written(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            for name in version.PLACES:
                (Path(scratch) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(repository.ROOT / name, Path(scratch) / name)
            wrong = version.differing(Path(scratch), "7.8.9-rc.1")
            self.assertEqual({line.partition(":")[0] for line in wrong}, set(version.PLACES))
            version.write(Path(scratch), "7.8.9-rc.1")
            self.assertEqual(version.differing(Path(scratch), "7.8.9-rc.1"), [])
            # Nothing but that changed.
            version.write(Path(scratch), repository.version())
            for name in version.PLACES:
                self.assertEqual((Path(scratch) / name).read_text(), (repository.ROOT / name).read_text(), name)
