"""For C and C++: a tarball for each platform, which may be unpacked anywhere, with headers, both libraries, the
loadable extension, and what pkg-config and CMake need to find them; recipes for vcpkg and Conan, which take those.
"""

import hashlib
import json
import re
from pathlib import Path

import readme
import repository
from archive import Entry, gzipped, tarred, tree
from contents import Native, Release

TEMPLATES = repository.ROOT / "honker-ffi/package"
RECIPES = repository.ROOT / "release/recipes"
DOWNLOADS = f"{readme.HOME}/releases/download"


def pack(release: Release, folder: Path) -> None:
    sums = {}
    for native in release.natives:
        name = f"honker-{release.version}-{native.target.name}"
        files = _headers(release) + _libraries(native) + _descriptions(release, native) + release.licenses
        entries = [Entry(f"{name}/{file.name}", file.content, file.runs, file.link) for file in files]
        content = gzipped(tarred(sorted(entries, key=lambda entry: entry.name), release.moment))
        (folder / f"{name}.tar.gz").write_bytes(content)
        sums[native.target.name] = {hash: hashlib.new(hash, content).hexdigest() for hash in ("sha256", "sha512")}
    _recipes(release, folder, sums)


def _headers(release: Release) -> list[Entry]:
    cpp = [entry for entry in release.files("bindings/cpp/include", below="include/") if entry.name.endswith(".hpp")]
    return [*tree(repository.ROOT, ["include/honker.h"]), *cpp]


def _libraries(native: Native) -> list[Entry]:
    target = native.target
    if target.os == "windows":
        files = [native.entry(target.shared, f"bin/{target.shared}", runs=True)]
        files.append(native.entry(target.extension, f"bin/{target.extension}", runs=True))
        if native.has("honker.lib"):
            files.append(native.entry("honker.lib", "lib/honker.lib"))
        return files
    files = [
        native.entry(target.shared, f"lib/{_versioned(native)}", runs=True),
        Entry(f"lib/{target.shared}", link=_versioned(native)),
        native.entry(target.extension, f"lib/{target.extension}", runs=True),
    ]
    if native.has("libhonker.a"):
        # The same under the name that C++ links: -lhonker would take the shared library.
        files += [native.entry("libhonker.a", "lib/libhonker.a"), Entry("lib/libhonker_cpp.a", link="libhonker.a")]
    return files


def _versioned(native: Native) -> str:
    """The file that programs which were linked with the library ask for."""
    if native.target.os == "macos":
        return f"libhonker.{repository.abi()}.dylib"
    return f"libhonker.so.{repository.abi()}"


def _descriptions(release: Release, native: Native) -> list[Entry]:
    if native.target.os == "windows":
        config = (TEMPLATES / "honker-config-windows.cmake.in").read_bytes()
        version = _filled(TEMPLATES / "honker-config-version.cmake.in", release, native)
        return [
            Entry("lib/cmake/honker/honker-config.cmake", config),
            Entry("lib/cmake/honker/honker-config-version.cmake", version),
        ]
    names = ["lib/pkgconfig/honker.pc", "lib/cmake/honker/honker-config.cmake"]
    names.append("lib/cmake/honker/honker-config-version.cmake")
    if native.has("libhonker.a"):
        names.append("lib/pkgconfig/honker_cpp.pc")
    files = [Entry(name, _filled(TEMPLATES / f"{Path(name).name}.in", release, native)) for name in names]
    return files if native.has("libhonker.a") else [_without_static(file) for file in files]


def _without_static(file: Entry) -> Entry:
    """CMake's targets for the static library go where there is none."""
    text = re.sub(r"add_library\(honker::(?:static|cpp) (?:.|\n)*?\n\n", "", file.content.decode())
    text = re.sub(r"^#   honker::(?:static|cpp) .*\n", "", text, flags=re.M)
    return Entry(file.name, text.replace("gives three targets", "gives one target").encode())


def _filled(template: Path, release: Release, native: Native) -> bytes:
    """As scripts/install fills it, but for a folder that may be moved."""
    system = re.search(r"^system_libraries='(.*)'$", (repository.ROOT / "scripts/install").read_text(), re.M)[1]
    shared = _versioned(native)
    values = {
        "PREFIX": "${pcfiledir}/../..",
        "VERSION": release.version,
        "SHARED": shared,
        "SONAME": f"@rpath/{shared}" if native.target.os == "macos" else shared,
        "SYSTEM_LIBRARIES": system,
        "SYSTEM_LIBRARIES_LIST": system.replace(" ", ";"),
    }
    return re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], template.read_text()).encode()


def _recipes(release: Release, folder: Path, sums: dict[str, dict[str, str]]) -> None:
    """Filled with the version, and the sums of the tarballs."""
    by_conan = {
        native.target.called["conan"]: {
            "url": f"{DOWNLOADS}/v{release.version}/honker-{release.version}-{native.target.name}.tar.gz",
            "sha256": sums[native.target.name]["sha256"],
        }
        for native in release.natives
        if "conan" in native.target.called
    }
    by_vcpkg = "".join(
        f"set(sha512_{native.target.name} {sums[native.target.name]['sha512']})\n"
        for native in release.natives
        if native.target.libc != "musl"
    )
    values = {
        "VERSION": release.version,
        "HOME": readme.HOME,
        "DOWNLOADS": DOWNLOADS,
        "SUMS": by_vcpkg.rstrip(),
        "TARBALLS": json.dumps(by_conan, indent=4),
    }
    for path in sorted(RECIPES.rglob("*")):
        if path.is_file():
            text = re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], path.read_text())
            out = folder / path.relative_to(RECIPES).with_suffix("")
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(text)
