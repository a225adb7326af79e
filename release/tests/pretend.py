"""A release whose libraries are a few bytes each, to look at what is packed."""

import tempfile
import unittest
from pathlib import Path

import targets
from contents import Native, Release

MOMENT = 1_700_000_000


class ReleaseTest(unittest.TestCase):
    """A test with a release, and a folder that it is packed into."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name) / "dist" / "door"
        self.folder.mkdir(parents=True)
        natives = []
        for target in targets.read():
            folder = Path(scratch.name) / target.name
            folder.mkdir()
            names = [target.shared, target.extension, target.program, "honker.node", "honker_nif.so", "libhonker.a"]
            for name in names:
                (folder / name).write_bytes(f"{name} of {target.name}".encode())
            natives.append(Native(target, folder, frozenset(names)))
        self.release = Release("1.2.3", "c" * 40, MOMENT, natives)
