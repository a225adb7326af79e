"""What is compiled is what is committed."""

import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import repository


class Dirty(unittest.TestCase):
    def test_a_file_that_git_does_not_know_is_no_part_of_a_release(self) -> None:
        with tempfile.TemporaryDirectory() as scratch, mock.patch.object(repository, "ROOT", Path(scratch)):
            subprocess.run(["git", "init", "--quiet", scratch], check=True)
            (Path(scratch) / "notes").touch()
            self.assertFalse(repository.is_dirty())
            folder = Path(scratch) / "bindings/node/native"
            folder.mkdir(parents=True)
            (folder / "stray.c").touch()
            self.assertTrue(repository.is_dirty())
