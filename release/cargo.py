"""Builds our crates for one platform, so that no path of this machine is in what comes out."""

import os
import subprocess
from pathlib import Path

import frameworks
import toolchain
from report import say
from targets import Target


class Build:
    """Builds of the checkout in `source`, with all that is left over below `work`."""

    def __init__(self, source: Path, work: Path, commit: str) -> None:
        self.source = source
        self.work = work
        self.commit = commit

    def crates(self, target: Target) -> dict[str, Path]:
        """The files for this platform by what they are: `shared`, `static`, `extension`, `program`."""
        # Without this nothing that is loaded can be built for musl. The static library is the same either way: libc is
        # for the program that links it.
        dynamic = ["-C", "target-feature=-crt-static"] if target.libc == "musl" else []
        # One at a time: what is built together has the features of all, and the extension takes SQLite from its host.
        built = self._cargo(target, "honker-ffi", dynamic)
        files = {"shared": built / target.shared, "static": built / "libhonker.a"}
        files["program"] = self._cargo(target, "honker-cli", []) / target.program
        built = self._cargo(target, "honker-extension", dynamic)
        return files | {"extension": built / target.extension}

    def _cargo(self, target: Target, package: str, flags: list[str]) -> Path:
        folder = self.work / ("cargo-dynamic" if flags else "cargo")
        say(f"{target.name}: building {package}")
        command = ["cargo", "zigbuild", "--quiet", "--release", "--locked", "--target", target.cargo]
        command += ["--target-dir", str(folder), "-p", package]
        if jobs := os.environ.get("JOBS"):
            command += ["--jobs", jobs]
        subprocess.run(command, cwd=self.source, env=self._environment(target, flags), check=True)
        return folder / target.rust / "release"

    def _environment(self, target: Target, flags: list[str]) -> dict[str, str]:
        if target.os == "macos":
            flags = [*flags, "-C", f"link-arg=-F{frameworks.make(self.source, self.work / 'frameworks')}"]
        remapped = [f"--remap-path-prefix={path}={name}" for path, name in self._places()]
        environment = toolchain.environment()
        # Whoever builds may have flags of their own, which would be in the files.
        for name in ("RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_TARGET_DIR"):
            environment.pop(name, None)
        environment |= {
            "HONKER_COMMIT": self.commit,
            "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(remapped + flags),
            "CARGO_PROFILE_RELEASE_DEBUG": "line-tables-only",
            "CARGO_PROFILE_RELEASE_STRIP": "none",
            "CARGO_INCREMENTAL": "0",
            # The extension takes SQLite from its host. Where this machine has SQLite's library and pkg-config, it
            # would be found, and linked.
            "SQLITE3_NO_PKG_CONFIG": "1",
            # SQLite's C.
            "CFLAGS": " ".join(f"-ffile-prefix-map={path}={name}" for path, name in self._places()),
            "ZERO_AR_DATE": "1",
        }
        if target.os == "macos":
            environment["MACOSX_DEPLOYMENT_TARGET"] = target.floor
        return environment

    def _places(self) -> list[tuple[Path, str]]:
        """The folders that may be named in what a compiler writes. The last one that fits counts."""
        cargo = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
        return [(self.source, "/honker"), (self.work, "/build"), (cargo, "/cargo")]
