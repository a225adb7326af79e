"""The platforms of targets.json, and what the files of each are called."""

import json
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Target:
    """One platform."""

    name: str
    os: str
    cpu: str
    rust: str
    zig: str
    libc: str = ""
    floor: str = ""
    # What each language's registry calls it; a language that is not there has no package for it.
    called: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def shared(self) -> str:
        return {"linux": "libhonker.so", "macos": "libhonker.dylib", "windows": "honker.dll"}[self.os]

    @property
    def extension(self) -> str:
        return {"linux": "libhonker_ext.so", "macos": "libhonker_ext.dylib", "windows": "honker_ext.dll"}[self.os]

    @property
    def program(self) -> str:
        return "honker.exe" if self.os == "windows" else "honker"

    @property
    def never(self) -> set[str]:
        """The parts that there are not for it, whatever is here: Windows has neither a static library nor the NIF, and
        to make the static library for macOS takes Apple's linker.
        """
        return {"linux": set(), "macos": {"libhonker.a"}, "windows": {"libhonker.a", "honker_nif.so"}}[self.os]

    @property
    def cargo(self) -> str:
        """The target as cargo-zigbuild takes it: Rust's name, and the oldest glibc."""
        return f"{self.rust}.{self.floor}" if self.libc == "gnu" else self.rust


def read(path: Path = HERE / "targets.json") -> list[Target]:
    own = {name for name in Target.__dataclass_fields__ if name != "called"}
    return [
        Target(
            **{key: value for key, value in entry.items() if key in own},
            called={key: value for key, value in entry.items() if key not in own},
        )
        for entry in json.loads(path.read_text())["targets"]
    ]


def chosen(names: str) -> list[Target]:
    """Those with these names, between spaces or commas; all for none."""
    all_of_them = {target.name: target for target in read()}
    wanted = names.replace(",", " ").split()
    for name in wanted:
        if name not in all_of_them:
            raise SystemExit(f"there is no target {name}: there are {', '.join(all_of_them)}")
    return [all_of_them[name] for name in wanted] or list(all_of_them.values())
