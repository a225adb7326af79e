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
  upload*) shift 4; cp "$@" assets; echo "${1##*/}" >>uploaded ;;
  download*) mkdir "$7"; cp "assets/$5" "$7" ;;
  edit*) echo "$4" >>edited ;;
  *) exit 1 ;;
esac
"""

# Hex and Maven Central. A deployment is looked into once before its state is what the file `state` says.
CURL = """#!/bin/sh
for last; do :; done
case $last in
  */releases/1.2.3) [ -e hex.there ] ;;
  https://hex.pm/api/publish) echo "$*" >>sent; touch hex.there ;;
  */upload?*) printf the-id; echo "$*" >>sent ;;
  */status?id=the-id)
    if [ ! -e looked ]; then touch looked; echo '{"deploymentState":"VALIDATING"}'; exit; fi
    echo "{\\"deploymentState\\":\\"$(cat state)\\",\\"errors\\":[]}" ;;
  *) exit 1 ;;
esac
"""

# A new crate is not there, and is packed as the folder `packs` says.
CARGO = """#!/bin/sh
case $1 in
  info) exit 1 ;;
  package) cp -R packs "$6/package" ;;
  publish) echo "$*" >>published ;;
esac
"""
STAND_INS = {"gem": GEM, "gh": GH, "curl": CURL, "cargo": CARGO, "mvn": "#!/bin/sh\nexit 1\n"}
STAND_INS |= {name: "#!/bin/sh\n" for name in ("gpg", "zip", "sleep")}


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
        for name, text in STAND_INS.items():
            path = self.root / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)

    def run_it(self, name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        secrets = dict.fromkeys(["GPG_PASSPHRASE", "CENTRAL_USERNAME", "CENTRAL_PASSWORD", "HEX_API_KEY"], "secret")
        environment = os.environ | secrets | {"PATH": f"{self.root / 'bin'}{os.pathsep}{os.environ['PATH']}"}
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
        files += ["dist/elixir/n.tar.gz", "dist/symbols/s.tar.gz", "dist/python/p.whl", "dist/python/p.tar.gz"]
        self.write(*files, "assets/c.tar.gz")
        for _ in range(2):
            done = self.run_it("publish", "github")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        names = [Path(name).name for name in files]
        self.assertEqual(self.lines("uploaded"), [name for name in names if name != "c.tar.gz"])
        self.assertEqual(self.lines("edited"), ["--draft=false"] * 2)

    def test_the_sums_of_a_release_have_bare_names(self) -> None:
        self.write("dist/honker.cdx.json", "dist/c/c.tar.gz", "dist/extension/e.zip", "dist/elixir/n.tar.gz")
        self.write("dist/symbols/s.tar.gz", "dist/python/p.whl", "dist/python/p.tar.gz")
        sums = ["1  c/c.tar.gz", "2  honker.cdx.json", "3  third-party/x", "4  go/proxy/a/list", "5  go/go.tar.gz"]
        (self.root / "dist/SHA256SUMS").write_text("\n".join(sums) + "\n")
        self.assertEqual(self.run_it("publish", "github").returncode, 0)
        self.assertEqual(self.lines("assets/SHA256SUMS"), ["1  c.tar.gz", "2  honker.cdx.json", "5  go.tar.gz"])
        # A run that has built it anew is none that goes on with this release.
        (self.root / "dist/SHA256SUMS").write_text("9  c/c.tar.gz\n")
        done = self.run_it("publish", "github")
        self.assertEqual(done.returncode, 1)
        self.assertIn("was begun with other files", done.stdout)
        self.assertEqual(self.lines("edited"), ["--draft=false"])

    def test_hex_gets_the_package_that_was_proved(self) -> None:
        self.write("dist/elixir/honker-1.2.3.tar")
        for _ in range(2):
            self.assertEqual(self.run_it("publish", "hex").returncode, 0)
        sent = self.lines("sent")
        self.assertEqual(len(sent), 1)
        self.assertIn("--data-binary @dist/elixir/honker-1.2.3.tar", sent[0])

    def test_central_says_what_came_of_it(self) -> None:
        self.write("dist/jvm/repository/dev/honker/honker.jar")
        (self.root / "state").write_text("PUBLISHED")
        done = self.run_it("publish", "central")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        (self.root / "state").write_text("FAILED")
        done = self.run_it("publish", "central")
        self.assertEqual(done.returncode, 1)
        self.assertIn("Maven Central refuses it", done.stdout)

    def test_crates_are_those_that_were_proved(self) -> None:
        for crate in ("honker-core", "honker-postgres", "honker"):
            self.write(f"dist/rust/{crate}-1.2.3.crate")
            (self.root / "packs").mkdir(exist_ok=True)
            shutil.copy(self.root / f"dist/rust/{crate}-1.2.3.crate", self.root / "packs")
        self.assertEqual(self.run_it("publish", "crates").returncode, 0)
        self.assertEqual(self.lines("published"), ["publish --locked --no-verify -p honker"])
        self.write("packs/honker-core-1.2.3.crate")
        done = self.run_it("publish", "crates")
        self.assertEqual(done.returncode, 1)
        self.assertIn("another honker-core than the one that was proved", done.stdout)
        self.assertEqual(len(self.lines("published")), 1)


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
