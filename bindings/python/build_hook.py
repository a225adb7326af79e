"""Puts libhonker, the loadable extension and the program `honker` into the wheel: those that HONKER_LIBRARY,
HONKER_EXTENSION_PATH and HONKER_PROGRAM name, else those of target/release. A source distribution brings their
source, in rust/, which is compiled with cargo. The wheel is for one platform and any Python: HONKER_WHEEL_PLATFORM,
or this machine's.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "rust"
NAMES = {
    "win32": ("honker.dll", "honker_ext.dll", "honker.exe"),
    "darwin": ("libhonker.dylib", "libhonker_ext.dylib", "honker"),
}.get(sys.platform, ("libhonker.so", "libhonker_ext.so", "honker"))
LIBRARY, EXTENSION, PROGRAM = NAMES


class Hook(BuildHookInterface):
    def initialize(self, version, build_data):
        if self.target_name != "wheel" or version == "editable":
            return
        release = compiled() if SOURCE.is_dir() else HERE.parents[1] / "target" / "release"
        for variable, name in (("HONKER_LIBRARY", LIBRARY), ("HONKER_EXTENSION_PATH", EXTENSION)):
            path = Path(os.environ.get(variable) or release / name)
            if not path.is_file():
                raise FileNotFoundError(f"{path} is not there: run `make library extension`, or set {variable}")
            build_data["force_include"][str(path.resolve())] = f"honker/_lib/{name}"
        program = Path(os.environ.get("HONKER_PROGRAM") or release / PROGRAM)
        if program.is_file():
            build_data["shared_scripts"][str(program.resolve())] = PROGRAM
        platform = os.environ.get("HONKER_WHEEL_PLATFORM") or sysconfig.get_platform().replace("-", "_").replace(
            ".", "_"
        )
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"


def compiled() -> Path:
    """Where the libraries are, once cargo has built them."""
    environment = os.environ | {"HONKER_COMMIT": (SOURCE / "COMMIT").read_text().strip()}
    target = HERE / "target"
    # The extension alone, for it takes SQLite from its host.
    for packages in (["honker-ffi", "honker-cli"], ["honker-extension"]):
        command = ["cargo", "build", "--release", "--locked", "--target-dir", str(target)]
        for package in packages:
            command += ["-p", package]
        subprocess.run(command, cwd=SOURCE, env=environment, check=True)
    return target / "release"
