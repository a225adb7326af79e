"""What has no toolchain is left out; what does not compile ends it all."""

import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import portable
import report

# A module of Maven's that does not compile; files that are not here, and cannot be downloaded.
BROKEN = 'echo "[ERROR] COMPILATION ERROR: Main.java: not a statement"; exit 1'
UNREACHABLE = """case "$*" in
  *' -o') echo 'Cannot access central in offline mode' ;;
  *) echo 'Could not transfer artifact' ;;
esac
exit 1"""
NO_JARS = "exit 0"


class Portable(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.out = self.folder / "out"
        (self.folder / "bin").mkdir()
        for patch in (
            mock.patch.object(portable, "OUT", self.out),
            mock.patch.dict(os.environ, PATH=f"{self.folder / 'bin'}:/usr/bin:/bin"),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def have(self, **programs: str) -> None:
        for name, script in programs.items():
            path = self.folder / "bin" / name
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)

    def jvm(self) -> str | None:
        return portable.compile_jvm(self.folder / "build", self.out / "jvm", kinds=("",))

    def test_a_compile_that_fails_ends_it(self) -> None:
        self.have(mvn=BROKEN, javac="")
        with self.assertRaisesRegex(portable.Failed, "not a statement"):
            self.jvm()
        none = {name: lambda out: None for name in ("_node", "_bun", "_dotnet")}
        with mock.patch.multiple(portable, **none), mock.patch.object(report, "skipped", []) as skipped:
            with self.assertRaises(portable.Failed):
                portable.make("c" * 40)
            self.assertEqual(skipped, [])
        # Without it this is compiled again.
        self.assertFalse((self.out / "native.json").exists())

    def test_a_jar_that_is_not_made_ends_it(self) -> None:
        self.have(mvn=NO_JARS, javac="")
        with self.assertRaisesRegex(portable.Failed, "Maven made no honker-.*jar"):
            self.jvm()

    def test_a_toolchain_that_is_missing_is_a_reason(self) -> None:
        with mock.patch.dict(os.environ, PATH=str(self.folder / "bin")):
            self.assertIn("scripts/setup jvm", self.jvm())
        self.have(mvn=UNREACHABLE, javac="")
        self.assertIn("cannot be downloaded", self.jvm())
