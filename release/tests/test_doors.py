"""What is in each package."""

import base64
import contextlib
import csv
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

import gomod
import portable
import readme
import repository
import sources
import thirdparty
from archive import Entry
from doors import c, dotnet, elixir, extension, go, jvm, node, python, ruby, symbols
from tests.pretend import ReleaseTest

MUSL = "x86_64-linux-musl"


def _zip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _tar(content: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name: member for member in archive}


class Doors(ReleaseTest):
    def setUp(self) -> None:
        super().setUp()
        # Cargo is asked for the lock of the source packages, and Go for the modules that ours needs.
        for module, name, value in [
            (sources, "workspace", lambda release: [Entry("Cargo.toml", b""), Entry("COMMIT", b"c")]),
            (thirdparty, "go", lambda out, module: None),
        ]:
            patch = mock.patch.object(module, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def test_wheels(self) -> None:
        python.pack(self.release, self.folder)
        wheels = sorted(path.name for path in self.folder.glob("*.whl"))
        self.assertEqual(len(wheels), 7)
        self.assertIn("honker-1.2.3-py3-none-manylinux_2_28_x86_64.whl", wheels)
        for wheel in wheels:
            files = _zip(self.folder / wheel)
            record = files["honker-1.2.3.dist-info/RECORD"].decode()
            listed = {row[0]: row[1] for row in csv.reader(io.StringIO(record))}
            self.assertEqual(set(listed), set(files))
            for name, content in files.items():
                if not name.endswith("/RECORD"):
                    sum = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                    self.assertEqual(listed[name], f"sha256={sum}", name)
            tag = wheel.removeprefix("honker-1.2.3-").removesuffix(".whl")
            self.assertIn(f"Tag: {tag}\n", files["honker-1.2.3.dist-info/WHEEL"].decode())
            metadata = files["honker-1.2.3.dist-info/METADATA"].decode()
            self.assertIn("\nVersion: 1.2.3\n", metadata)
            self.assertNotIn("](../", metadata)
        files = _zip(self.folder / "honker-1.2.3-py3-none-win_amd64.whl")
        self.assertIn("honker/_lib/honker.dll", files)
        self.assertIn("honker-1.2.3.data/scripts/honker.exe", files)
        self.assertIn("honker-1.2.3/rust/Cargo.toml", _tar((self.folder / "honker-1.2.3.tar.gz").read_bytes()))

    def test_go_modules(self) -> None:
        go.pack(self.release, self.folder)
        proxy = self.folder / "proxy/github.com/russellromney/honker-go"
        root = _zip(proxy / "@v/v1.2.3.zip")
        prefix = "github.com/russellromney/honker-go@v1.2.3/"
        self.assertTrue(all(name.startswith(prefix) for name in root))
        linux = root[f"{prefix}bundled_linux_amd64.go"].decode()
        self.assertIn("//go:build linux && amd64 && !honker_musl && !honker_system\n", linux)
        musl = root[f"{prefix}bundled_linux_amd64_musl.go"].decode()
        self.assertIn("//go:build linux && amd64 && honker_musl && !honker_system\n", musl)
        self.assertIn(
            "//go:build windows && amd64 && !honker_system\n", root[f"{prefix}bundled_windows_amd64.go"].decode()
        )
        self.assertFalse([name for name in root if "_test.go" in name or "/testee/" in name])
        self.assertIn("native/linux-amd64 v1.2.3", (proxy / "@v/v1.2.3.mod").read_text())
        native = _zip(proxy / "native/linux-amd64/@v/v1.2.3.zip")
        name = "github.com/russellromney/honker-go/native/linux-amd64@v1.2.3/libhonker.so"
        self.assertEqual(native[name], b"libhonker.so of linux-x64-gnu")
        telemetry = (proxy / "honkerotel/@v/v1.2.3.mod").read_text()
        self.assertNotIn("replace", telemetry)
        self.assertIn("honker-go v1.2.3", telemetry)

    @unittest.skipUnless(shutil.which("go"), "there is no Go")
    def test_gos_sums_are_as_go_computes_them(self) -> None:
        cache = subprocess.run(["go", "env", "GOMODCACHE"], check=True, capture_output=True, text=True).stdout.strip()
        lines = (repository.ROOT / "bindings/go/go.sum").read_text().splitlines()
        module, version, _ = next(line.split() for line in lines if "/go.mod " not in line)
        path = Path(cache) / "cache/download" / gomod.escaped(module) / "@v" / f"{version}.zip"
        if not path.is_file():
            self.skipTest(f"{module} is not in Go's cache")
        prefix = f"{module}@{version}/"
        files = [Entry(name.removeprefix(prefix), content) for name, content in _zip(path).items()]
        self.assertEqual(gomod.sums(module, version, files).splitlines(), [line for line in lines if module in line])

    def test_gems(self) -> None:
        ruby.pack(self.release, self.folder)
        self.assertEqual(len(list(self.folder.glob("*.gem"))), 8)
        gem = self.folder / f"honker-1.2.3-{MUSL}.gem"
        with tarfile.open(gem) as archive:
            parts = {member.name: archive.extractfile(member).read() for member in archive}
        files = _tar(parts["data.tar.gz"])
        self.assertIn("lib/honker/native/libhonker.so", files)
        self.assertIn("lib/honker.rb", files)
        sums = gzip.decompress(parts["checksums.yaml.gz"]).decode()
        self.assertIn(hashlib.sha256(parts["data.tar.gz"]).hexdigest(), sums)
        specification = gzip.decompress(parts["metadata.gz"]).decode()
        self.assertIn(f"\nplatform: {MUSL}\n", specification)
        self.assertIn("'>='\n      - !ruby/object:Gem::Version\n        version: '1.15'", specification)
        if shutil.which("ruby"):
            program = (
                'require "rubygems/package"; spec = Gem::Package.new(ARGV[0]).spec; '
                "puts spec.name, spec.version, spec.platform, spec.dependencies.join(';'), spec.required_ruby_version, "
                "spec.summary, spec.files.length"
            )
            said = subprocess.run(["ruby", "-e", program, gem], check=True, capture_output=True, text=True).stdout
            name, version, platform, needs, wanted, summary, count = said.splitlines()
            self.assertEqual((name, version, platform, wanted), ("honker", "1.2.3", MUSL, ">= 3.0"))
            self.assertEqual(needs, "ffi (>= 1.15, < 2);logger (~> 1.4)")
            self.assertEqual((summary[:21], int(count)), ("A durable job queue, ", len(files)))

    def test_npm(self) -> None:
        there = [Entry("dist/index.js", b""), Entry("x.map", b"")]
        with (
            mock.patch.object(portable, "entries", lambda language: there),
            mock.patch.object(portable, "has", lambda language: True),
        ):
            node.pack(self.release, self.folder)
        index = json.loads((self.folder / "index.json").read_text())
        self.assertEqual(len(index), 9)
        main = index["@russellthehippo/honker-node"]
        self.assertEqual(len(main["optionalDependencies"]), 7)
        files = _tar((self.folder / main["dist"]["tarball"]).read_bytes())
        self.assertEqual(
            set(files), {f"package/{name}" for name in
                         ("package.json", "README.md", "LICENSE-APACHE", "LICENSE-MIT", "dist/index.js")}
        )  # fmt: skip
        musl = index["@russellthehippo/honker-node-linux-x64-musl"]
        self.assertEqual((musl["os"], musl["cpu"], musl["libc"]), (["linux"], ["x64"], ["musl"]))
        files = _tar((self.folder / musl["dist"]["tarball"]).read_bytes())
        self.assertIn("package/libhonker_ext.so", files)
        self.assertIn("package/honker.node", files)

    def test_npm_without_javascript(self) -> None:
        said = io.StringIO()
        with mock.patch.object(portable, "has", lambda language: False), contextlib.redirect_stdout(said):
            node.pack(self.release, self.folder)
        self.assertEqual(said.getvalue().count("SKIPPED"), 2)
        index = json.loads((self.folder / "index.json").read_text())
        self.assertEqual(len(index), 7)

    def test_the_jar(self) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
            archive.writestr("dev/honker/Honker.class", "")
        there = [Entry(f"honker/honker-1.2.3{kind}", buffer.getvalue()) for kind in (".jar", "-sources.jar")]
        with (
            mock.patch.object(portable, "entries", lambda language: there),
            mock.patch.object(portable, "has", lambda language: True),
        ):
            jvm.pack(self.release, self.folder)
        files = _zip(self.folder / "repository/dev/honker/honker/1.2.3/honker-1.2.3.jar")
        self.assertEqual(next(iter(files)), "META-INF/MANIFEST.MF")
        libraries = {name for name in files if name.startswith("META-INF/native/")}
        self.assertEqual(len(libraries), 7)
        self.assertIn("META-INF/native/linux-x86_64-musl/libhonker.so", libraries)
        sum = self.folder / "repository/dev/honker/honker/1.2.3/honker-1.2.3.jar.sha1"
        self.assertEqual(sum.read_text(), hashlib.sha1(sum.with_suffix("").read_bytes()).hexdigest())

    def test_hex(self) -> None:
        elixir.pack(self.release, self.folder)
        with tarfile.open(self.folder / "honker-1.2.3.tar") as archive:
            parts = {member.name: archive.extractfile(member).read() for member in archive}
        whole = parts["VERSION"] + parts["metadata.config"] + parts["contents.tar.gz"]
        self.assertEqual(parts["CHECKSUM"].decode(), hashlib.sha256(whole).hexdigest().upper())
        files = _tar(parts["contents.tar.gz"])
        self.assertIn("c_src/include/honker.h", files)
        with tarfile.open(fileobj=io.BytesIO(parts["contents.tar.gz"])) as archive:
            sums = archive.extractfile("checksums.exs").read().decode()
        tarball = self.folder / f"honker-nif-1.2.3-{MUSL}.tar.gz"
        self.assertIn(f'"{tarball.name}" => "{hashlib.sha256(tarball.read_bytes()).hexdigest()}"', sums)
        self.assertIn("libhonker.so", _tar(tarball.read_bytes()))

    def test_c(self) -> None:
        c.pack(self.release, self.folder)
        files = _tar((self.folder / "honker-1.2.3-linux-x64-gnu.tar.gz").read_bytes())
        prefix = "honker-1.2.3-linux-x64-gnu/"
        self.assertEqual(files[f"{prefix}lib/libhonker.so"].linkname, f"libhonker.so.{repository.abi()}")
        for name in ("include/honker.h", "include/honker.hpp", "lib/libhonker_cpp.a", "lib/pkgconfig/honker_cpp.pc"):
            self.assertIn(prefix + name, files)
        with tarfile.open(self.folder / "honker-1.2.3-linux-x64-gnu.tar.gz") as archive:
            found = archive.extractfile(f"{prefix}lib/pkgconfig/honker.pc").read().decode()
            config = archive.extractfile(f"{prefix}lib/cmake/honker/honker-config.cmake").read().decode()
        self.assertIn("prefix=${pcfiledir}/../..\n", found)
        self.assertIn("Version: 1.2.3\n", found)
        self.assertNotIn("@", config.replace("@rpath", ""))
        self.assertIn("honker-1.2.3-windows-x64/bin/honker.dll",
                      _tar((self.folder / "honker-1.2.3-windows-x64.tar.gz").read_bytes()))  # fmt: skip
        recipe = (self.folder / "conan/conanfile.py").read_text()
        compile(recipe, "conanfile.py", "exec")
        tarball = (self.folder / "honker-1.2.3-macos-arm64.tar.gz").read_bytes()
        self.assertIn(hashlib.sha256(tarball).hexdigest(), recipe)
        self.assertIn(hashlib.sha512(tarball).hexdigest(), (self.folder / "vcpkg/portfile.cmake").read_text())
        self.assertEqual(json.loads((self.folder / "vcpkg/vcpkg.json").read_text())["version"], "1.2.3")

    def test_c_without_a_static_library(self) -> None:
        mac = next(native for native in self.release.natives if native.target.name == "macos-arm64")
        mac.files = mac.files - {"libhonker.a"}
        c.pack(self.release, self.folder)
        with tarfile.open(self.folder / "honker-1.2.3-macos-arm64.tar.gz") as archive:
            names = archive.getnames()
            config = (
                archive.extractfile("honker-1.2.3-macos-arm64/lib/cmake/honker/honker-config.cmake").read().decode()
            )
        self.assertEqual(config.count("add_library("), 1)
        self.assertIn("unset(_honker_prefix)", config)
        self.assertNotIn("static", config)
        self.assertFalse([name for name in names if "_cpp" in name])

    def test_the_extension(self) -> None:
        extension.pack(self.release, self.folder)
        files = _zip(self.folder / "honker-ext-1.2.3-windows-x64.zip")
        self.assertEqual(set(files), {"honker_ext.dll", "README.txt", "LICENSE-APACHE", "LICENSE-MIT"})

    def test_symbols(self) -> None:
        native = self.release.natives[0]
        (native.folder / "symbols").mkdir()
        (native.folder / "symbols/libhonker.so.debug").write_bytes(b"symbols")
        native.files |= {"symbols/libhonker.so.debug"}
        symbols.pack(self.release, self.folder)
        name = "honker-symbols-1.2.3-linux-x64-gnu"
        self.assertEqual([path.name for path in self.folder.iterdir()], [f"{name}.tar.gz"])
        files = _tar((self.folder / f"{name}.tar.gz").read_bytes())
        self.assertEqual(set(files), {f"{name}/libhonker.so.debug"})

    def test_nugets_readme_leads_to_the_repository(self) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("[Content_Types].xml", "<Types></Types>")
            archive.writestr("README.md", "[a](../../docs/sql.md)")
        there = [Entry("Honker.1.2.3.nupkg", buffer.getvalue())]
        with (
            mock.patch.object(portable, "entries", lambda language: there),
            mock.patch.object(portable, "has", lambda language: True),
        ):
            dotnet.pack(self.release, self.folder)
        files = _zip(self.folder / "Honker.1.2.3.nupkg")
        self.assertEqual(files["README.md"].decode(), f"[a]({readme.HOME}/blob/v1.2.3/docs/sql.md)")
