"""The stubs of Apple's frameworks name what our crates call."""

import tempfile
import unittest
from pathlib import Path

import frameworks
import repository
import sound


class Frameworks(unittest.TestCase):
    def test_the_stubs_have_the_functions_that_crates_declare(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            made = frameworks.make(repository.ROOT, Path(scratch))
            stubs = {path.stem: path.read_text() for path in made.glob("*.framework/*.tbd")}
        self.assertEqual(set(stubs), set(frameworks.FRAMEWORKS))
        # What it takes to learn the name of this user, and of this machine.
        self.assertIn(" _SCDynamicStoreCopyComputerName,", stubs["SystemConfiguration"])
        self.assertIn(" _CFRelease,", stubs["CoreFoundation"])
        self.assertNotIn("_CFRelease", stubs["SystemConfiguration"])

    def test_what_is_linked_so_is_every_macs(self) -> None:
        for name in frameworks.FRAMEWORKS:
            self.assertTrue(sound.MACOS.fullmatch(frameworks.PLACE.format(name)), name)
        self.assertFalse(sound.MACOS.fullmatch(frameworks.PLACE.format("Tk")))
