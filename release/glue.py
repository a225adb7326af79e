"""The native parts of packages beside libhonker: Node's addon and Elixir's NIF. Both load libhonker at run time."""

import subprocess
from pathlib import Path

import toolchain
from repository import ROOT
from targets import Target

NODE_HEADERS = ROOT / "target/node/package/node_modules/node-api-headers"


def addon(source: Path, target: Target, out: Path) -> str | None:
    """Compiles Node's addon; why not, if it cannot be."""
    if not NODE_HEADERS.is_dir():
        return "the headers of Node-API are missing: scripts/setup node"
    flags = ["-I", str(NODE_HEADERS / "include"), "-I", str(source / "include")]
    if target.os == "windows":
        library = out.parent / "node.lib"
        import_library(target, "node.exe", _node_functions(), library)
        flags.append(str(library))
    _compile(source, target, sorted((source / "bindings/node/native").glob("*.c")), out, flags)
    (out.parent / "node.lib").unlink(missing_ok=True)
    return None


def _node_functions() -> list[str]:
    texts = [(NODE_HEADERS / "def" / name).read_text() for name in ("js_native_api.def", "node_api.def")]
    return [line.strip() for text in texts for line in text.splitlines() if line.startswith(" ")]


def import_library(target: Target, of: str, functions: list[str], out: Path) -> None:
    """What a linker for Windows wants in place of a DLL, or of the program that it is loaded by."""
    definition = out.with_suffix(".def")
    definition.write_text(f"NAME {of}\nEXPORTS\n" + "".join(f"  {name}\n" for name in sorted(functions)))
    machine = {"x64": "i386:x86-64", "arm64": "arm64"}[target.cpu]
    subprocess.run(toolchain.zig("dlltool", "-d", definition, "-l", out, "-m", machine), check=True)
    definition.unlink()


def nif(source: Path, target: Target, out: Path) -> str | None:
    """Compiles Elixir's NIF; why not, if it cannot be."""
    headers = _erlang_headers()
    if headers is None:
        return "Erlang's headers are missing: scripts/setup elixir"
    sources = sorted((source / "bindings/elixir/c_src").glob("*.c"))
    _compile(source, target, sources, out, ["-I", str(headers), "-I", str(source / "include")])
    return None


def _erlang_headers() -> Path | None:
    if toolchain.find("erl") is None:
        return None
    said = subprocess.run(
        ["erl", "-noshell", "-eval", "io:put_chars(code:root_dir()), halt()."],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    headers = Path(said) / "usr/include"
    return headers if (headers / "erl_nif.h").is_file() else None


def _compile(source: Path, target: Target, sources: list[Path], out: Path, flags: list[str]) -> None:
    command = ["-target", target.zig, "-std=gnu11", "-O2", "-g1", "-fPIC", "-shared", "-fvisibility=hidden"]
    command += ["-D_GNU_SOURCE", "-fno-sanitize=all"]
    if target.os == "macos":
        command += ["-Wl,-undefined,dynamic_lookup"]
    elif target.os == "linux":
        command += ["-Wl,-z,relro,-z,now", "-ldl", "-pthread"]
    # Relative to the source: that is what the symbols say.
    names = [str(path.relative_to(source)) for path in sources]
    command += [f"-ffile-prefix-map={source}=/honker", *names, *flags, "-o", str(out)]
    subprocess.run(toolchain.zig("cc", *command), cwd=source, check=True)
