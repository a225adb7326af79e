"""What may be published is all of a release, and of HEAD; with WHOLE=1 nothing may be skipped."""

import os
import unittest
from unittest import mock

import publishable
import report

WHOLE = {"version": "1.2.3", "commit": "c" * 40, "is_whole": True, "missing": []}


class Publishable(unittest.TestCase):
    def wrong(self, **other: object) -> str:
        return "; ".join(publishable.wrong(WHOLE | other, "1.2.3", "c" * 40))

    def test_a_whole_release_of_head_may_be(self) -> None:
        self.assertEqual(self.wrong(), "")

    def test_what_lacks_something_or_is_of_another_commit_may_not(self) -> None:
        self.assertIn("not whole", self.wrong(is_whole=False))
        self.assertIn("it lacks packages for macos-x64: why", self.wrong(missing=["packages for macos-x64: why"]))
        self.assertIn("it is 1.2.2", self.wrong(version="1.2.2"))
        self.assertIn("it is of dddddddddddd", self.wrong(commit="d" * 40))

    def test_with_whole_what_is_skipped_fails(self) -> None:
        with mock.patch.object(report, "skipped", [("the proof of go", "why")]), mock.patch("builtins.print"):
            with mock.patch.dict(os.environ, WHOLE=""):
                report.close(1, "proofs")
            with mock.patch.dict(os.environ, WHOLE="1"), self.assertRaisesRegex(SystemExit, "the proof of go"):
                report.close(1, "proofs")
