"""What is proved is what is packed, for the platforms that there are."""

import os
import re
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

import portable
import proofs
import prove
import roots
import sources
import targets
import thirdparty
from archive import Entry
from doors import c, elixir, extension, go, node, python, ruby
from proofs import dotnet, windows
from tests.pretend import ReleaseTest


class Proofs(ReleaseTest):
    def test_each_takes_files_that_are_packed(self) -> None:
        with (
            mock.patch.object(sources, "workspace", lambda release: []),
            mock.patch.object(thirdparty, "go", lambda out, module: None),
            mock.patch.object(portable, "entries", lambda language: [Entry("dist/index.js")]),
            mock.patch.object(portable, "has", lambda language: True),
        ):
            for door in (c, elixir, extension, go, node, python, ruby):
                folder = self.folder.parent / door.__name__.rpartition(".")[2]
                folder.mkdir()
                door.pack(self.release, folder)
        for proof in proofs.every():
            # What these packages are made of is compiled.
            if proof.name not in ("rust", "jvm", "dotnet"):
                for pattern in proof.files:
                    found = list(self.folder.parent.glob(pattern))
                    self.assertEqual(len(found), 1, f"{proof.name} on {proof.platform}: {pattern}")

    def test_each_is_of_a_platform(self) -> None:
        cpus = {target.name: {"x64": "amd64", "arm64": "arm64"}[target.cpu] for target in targets.read()}
        seen = set()
        for proof in proofs.every():
            self.assertEqual(proof.cpu, cpus[proof.platform], proof.name)
            self.assertNotIn((proof.name, proof.platform), seen)
            seen.add((proof.name, proof.platform))

    def test_its_commands_are_a_shells(self) -> None:
        for proof in proofs.every():
            commands = [proof.install, proof.run_example, proof.build_worker]
            commands += [proof.run_worker, proof.beside, proof.asks]
            done = subprocess.run(["sh", "-n"], input="\n".join(commands), capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""), f"{proof.name} on {proof.platform}")
            # It has a worker that waits, or something that asks for a worker's answer.
            self.assertTrue(proof.run_worker or proof.beside or proof.asks, proof.name)

    def test_a_proof_of_another_processor_names_nothing_of_this_one(self) -> None:
        for proof in proofs.every():
            partner = proofs.partner(proof) if proof.run_worker else proofs.waiting(proof) if proof.asks else None
            for one in [proof] + ([partner] if partner else []):
                if one.cpu == "arm64":
                    self.assertNotRegex(f"{one.install} {one.files}", r"x64|x86_64|amd64", one.name)
            if partner:
                self.assertEqual(partner.cpu, proof.cpu)

    @unittest.skipUnless(os.geteuid() == 0, "only root can make roots")
    def test_what_a_command_has_started_ends_with_it(self) -> None:
        root = roots.Root([], self.folder)
        # The root is this machine's system, without what would be laid over it.
        with mock.patch.object(roots, "ENTER", "sleep 60 & wait"), self.assertRaisesRegex(roots.Failed, "not ended"):
            started = time.monotonic()
            root.run("", timeout=1)
        self.assertLess(time.monotonic() - started, 50)

    def test_the_other_side_does_not_ask_a_worker_that_has_ended(self) -> None:
        # In this folder in place of /shared, without wine.
        for worker in ("true", "touch SHARED/waiting"):
            script = windows._beside(worker, "touch SHARED/asked").replace(windows.WINE, "set -e")
            script = script.replace("SHARED", str(self.folder)).replace("/shared", str(self.folder))
            script = script.replace("seq 3000", "seq 3").replace("sleep 2", "sleep 0.2")
            done = subprocess.run(["sh", "-c", script], cwd=self.folder, capture_output=True)
            self.assertNotEqual(done.returncode, 0, worker)
            self.assertFalse((self.folder / "asked").exists(), worker)

    def test_those_that_share_a_root_want_the_same_in_it(self) -> None:
        wanted: dict[tuple[str, str], list[str]] = {}
        for proof in proofs.every():
            for one in [proof] + ([proofs.partner(proof)] if proof.run_worker else []):
                self.assertEqual(wanted.setdefault((one.layer, one.cpu), one.debian), one.debian, one.name)

    def test_proofs_are_chosen_by_package_and_by_platform(self) -> None:
        packages, platforms = prove._chosen([])
        self.assertEqual(packages, {proof.name for proof in proofs.every()})
        self.assertLessEqual({proof.platform for proof in proofs.every()}, platforms)
        self.assertEqual(prove._chosen(["go", "macos-x64"]), ({"go"}, {"macos-x64"}))
        self.assertEqual(prove._chosen(["go"]), ({"go"}, platforms))
        self.assertEqual(prove._chosen(["linux-x64-musl"]), (packages, {"linux-x64-musl"}))
        with self.assertRaisesRegex(SystemExit, "no proof of perl"):
            prove._chosen(["perl"])


class Dotnet(unittest.TestCase):
    def test_the_sdk_is_the_one_on_the_path(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            program = Path(scratch) / "lib/dotnet"
            program.parent.mkdir()
            program.touch(0o755)
            (Path(scratch) / "bin").mkdir()
            (Path(scratch) / "bin/dotnet").symlink_to(program)
            with mock.patch.dict(os.environ, PATH=f"{scratch}/bin", DOTNET_ROOT="/none"):
                self.assertEqual(dotnet._sdk(), program.parent.resolve())


class Emulation(unittest.TestCase):
    def test_the_emulator_has_to_be_opened_by_the_kernel(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            with mock.patch.object(roots, "BINARY_FORMATS", Path(scratch)):
                self.assertFalse(roots._is_emulated("arm64"))
                described = Path(scratch) / "qemu-aarch64"
                described.write_text("enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: OC\noffset 0\n")
                self.assertFalse(roots._is_emulated("arm64"))
                described.write_text(re.sub("OC", "POCF", described.read_text()))
                self.assertTrue(roots._is_emulated("arm64"))
