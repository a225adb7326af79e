"""Archives have what they should, and are the same each time."""

import io
import tarfile
import unittest
import zipfile

from archive import Entry, gzipped, tarred, zipped
from tests.pretend import MOMENT

ENTRIES = [Entry("a/program", b"runs", runs=True), Entry("a/text", b"is read")]


class Archives(unittest.TestCase):
    def test_a_zip(self) -> None:
        content = zipped(ENTRIES, MOMENT)
        self.assertEqual(content, zipped(ENTRIES, MOMENT))
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            self.assertEqual(archive.read("a/text"), b"is read")
            modes = [info.external_attr >> 16 & 0o777 for info in archive.infolist()]
        self.assertEqual(modes, [0o755, 0o644])

    def test_a_tar(self) -> None:
        content = gzipped(tarred([*ENTRIES, Entry("a/link", link="text")], MOMENT))
        self.assertEqual(content, gzipped(tarred([*ENTRIES, Entry("a/link", link="text")], MOMENT)))
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            self.assertEqual([member.mode for member in archive], [0o755, 0o644, 0o777])
            self.assertEqual({member.mtime for member in archive}, {MOMENT})
            self.assertEqual(archive.extractfile("a/link").read(), b"is read")

    def test_a_file_is_there_once(self) -> None:
        for pack in (zipped, tarred):
            with self.assertRaisesRegex(ValueError, "twice"):
                pack([ENTRIES[0], ENTRIES[0]], MOMENT)
