"""Puts libhonker and the loadable extension into the wheel: those that HONKER_LIBRARY and HONKER_EXTENSION_PATH name,
else those of target/release. The wheel is for one platform and any Python: HONKER_WHEEL_PLATFORM, or this machine's.
"""

import os
import sys
import sysconfig
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

RELEASE = Path(__file__).resolve().parents[2] / "target" / "release"
NAMES = {
    "win32": ("honker.dll", "honker_ext.dll"),
    "darwin": ("libhonker.dylib", "libhonker_ext.dylib"),
}.get(sys.platform, ("libhonker.so", "libhonker_ext.so"))


class Hook(BuildHookInterface):
    def initialize(self, version, build_data):
        if self.target_name != "wheel" or version == "editable":
            return
        for variable, name in zip(("HONKER_LIBRARY", "HONKER_EXTENSION_PATH"), NAMES):
            path = Path(os.environ.get(variable) or RELEASE / name)
            if not path.is_file():
                raise FileNotFoundError(f"{path} is not there: run `make library extension`, or set {variable}")
            build_data["force_include"][str(path.resolve())] = f"honker/_lib/{name}"
        platform = os.environ.get("HONKER_WHEEL_PLATFORM") or sysconfig.get_platform().replace("-", "_").replace(
            ".", "_"
        )
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
