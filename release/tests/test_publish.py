"""A run that failed can be run again: what publishes skips what is there. The registries' clients are stand-ins."""

import os
import shutil
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent

# Says what RubyGems' client says, and much else after it, and fails where that fails.
GEM = """#!/bin/sh
echo "$2" >>pushed
if [ -e refuse ]; then echo 'Access Denied.'; exit 1; fi
if [ ! -e "$2.there" ]; then touch "$2.there"; echo "Successfully registered gem: $2"; exit 0; fi
echo 'Repushing of gem versions is not allowed.'
seq 20000
exit 1
"""

# A release without files but those that the folder `assets` has.
GH = """#!/bin/sh
mkdir -p assets
case "$2 $*" in
  "view "*--json*) ls assets ;;
  view*) ;;
  upload*) shift 4; cp "$@" assets; echo "$@" >>uploaded ;;
  *) exit 1 ;;
esac
"""


class PublishTest(unittest.TestCase):
    """A folder with release/publish, release/publish_go, and a version."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)
        (self.root / "release").mkdir()
        (self.root / "release/__main__.py").write_text("print('1.2.3')\n")
        for name in ("publish", "publish_go"):
            shutil.copy(HERE / name, self.root / "release")
        for name, text in (("gem", GEM), ("gh", GH)):
            path = self.root / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)

    def run_it(self, name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PATH": f"{self.root / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        command = [self.root / "release" / name, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    def write(self, *names: str) -> None:
        for name in names:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)

    def lines(self, name: str) -> list[str]:
        return (self.root / name).read_text().splitlines()


class Publish(PublishTest):
    def test_gems_that_are_there_are_no_failure(self) -> None:
        self.write("dist/ruby/a.gem", "dist/ruby/b.gem")
        for _ in range(2):
            done = self.run_it("publish", "gems")
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.lines("pushed"), ["dist/ruby/a.gem", "dist/ruby/b.gem"] * 2)

    def test_a_gem_that_is_refused_is_one(self) -> None:
        self.write("dist/ruby/a.gem", "refuse")
        done = self.run_it("publish", "gems")
        self.assertEqual(done.returncode, 1)
        self.assertIn("a.gem was not pushed", done.stdout)

    def test_files_of_a_release_are_not_replaced(self) -> None:
        files = ["dist/SHA256SUMS", "dist/honker.cdx.json", "dist/c/c.tar.gz", "dist/extension/e.zip"]
        files += ["dist/elixir/n.tar.gz", "dist/python/p.whl", "dist/python/p.tar.gz"]
        self.write(*files, "assets/c.tar.gz")
        for _ in range(2):
            done = self.run_it("publish", "github")
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.lines("uploaded"), [name for name in files if name != "dist/c/c.tar.gz"])


class PublishGo(PublishTest):
    def setUp(self) -> None:
        super().setUp()
        self.write("tree/go.mod", "tree/native/linux-amd64/go.mod", "tree/honkerotel/go.mod")
        (self.root / "dist/go").mkdir(parents=True)
        with tarfile.open(self.root / "dist/go/honker-go-1.2.3.tar.gz", "w:gz") as archive:
            archive.add(self.root / "tree", ".")
        self.git("init", "--quiet", "--bare", "origin")

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", "-c", "init.defaultBranch=main", *arguments],
            cwd=self.root,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def clone(self, name: str) -> Path:
        self.git("clone", "--quiet", "origin", name)
        for key in ("name", "email"):
            self.git("-C", name, "config", f"user.{key}", "honker")
        return self.root / name

    def publish(self, clone: Path, *steps: str) -> None:
        for step in steps:
            done = self.run_it("publish_go", clone, *([step] if step else []))
            self.assertEqual(done.returncode, 0, done.stderr)

    def tags(self) -> list[str]:
        return self.git("-C", "origin", "tag").split()

    def test_the_modules_of_platforms_come_first(self) -> None:
        clone = self.clone("first")
        self.publish(clone, "", "platforms")
        self.assertEqual(self.tags(), ["native/linux-amd64/v1.2.3"])
        self.publish(clone, "root")
        self.assertEqual(self.tags(), ["honkerotel/v1.2.3", "native/linux-amd64/v1.2.3", "v1.2.3"])

    def test_again_after_the_branch_was_pushed_without_its_tag(self) -> None:
        clone = self.clone("first")
        self.publish(clone, "", "platforms")
        self.git("-C", "first", "push", "--quiet", "origin", "HEAD")
        self.publish(self.clone("second"), "", "platforms", "root", "")
        self.assertEqual(self.tags(), ["honkerotel/v1.2.3", "native/linux-amd64/v1.2.3", "v1.2.3"])
