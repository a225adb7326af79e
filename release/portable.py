"""What is compiled once for all platforms: the JavaScript of the Node and Bun packages, the JVM's jars, .NET's
assemblies. Into target/natives/portable, beside the natives, with a record like theirs.

A language whose toolchain is not here is left out, with the reason; what does not compile ends it all.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import repository
from archive import Entry, tree
from report import say, skip

NAME = "portable"
OUT = repository.NATIVES / NAME
JVM_MODULES = ["honker", "honker-kotlin", "honker-testing", "honker-opentelemetry", "honker-spring-boot-starter"]
DOTNET_PROJECTS = ["Honker", "Honker.Extensions.Hosting", "Honker.EntityFrameworkCore", "Honker.Testing"]
# What Maven says of files that it would have to download, and of those that it cannot.
NOT_HERE = re.compile(r"offline mode|has not been downloaded")
NOT_TO_BE_HAD = re.compile(r"Could not transfer|Unknown host|Network is unreachable|Connection refused")


class Failed(SystemExit):
    """Something that does not compile, with what its compiler said."""


def make(commit: str) -> None:
    """Compiles each language whose toolchain is here. The record says which."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    there, missing = [], {}
    languages: dict[str, Callable[[Path], str | None]] = {
        "node": _node,
        "bun": _bun,
        "jvm": _jvm,
        "dotnet": _dotnet,
    }
    for language, compile_it in languages.items():
        say(f"{NAME}: compiling {language}")
        if why := compile_it(OUT / language):
            skip(f"{language}, for all platforms", why)
            missing[language] = why
        else:
            there.append(language)
    record(commit, there, missing)


def record(commit: str, there: list[str], missing: dict[str, str]) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    written = {
        "target": NAME,
        "commit": commit,
        "version": repository.version(),
        "languages": there,
        "missing": missing,
    }
    (OUT / "native.json").write_text(json.dumps(written, indent=2) + "\n")


def has(language: str) -> bool:
    return (OUT / language).is_dir()


def entries(language: str) -> list[Entry]:
    """The files of a language, as they are laid out there."""
    folder = OUT / language
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return tree(folder, names)


def _run(*command: str | Path, at: Path, **environment: str) -> None:
    done = subprocess.run(command, cwd=at, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"release: {' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")


def _typescript() -> Path | None:
    modules = repository.ROOT / "target/node/package/node_modules"
    return modules if (modules / ".bin/tsc").exists() else None


def _node(out: Path) -> str | None:
    modules = _typescript()
    if modules is None:
        return "TypeScript is missing: scripts/setup node"
    package = repository.ROOT / "bindings/node"
    shutil.rmtree(package / "dist", ignore_errors=True)
    _run("./build.sh", "js", at=package)
    shutil.copytree(package / "dist", out / "dist")
    return None


def _bun(out: Path) -> str | None:
    modules = _typescript()
    if modules is None:
        return "TypeScript is missing: scripts/setup node"
    package = repository.ROOT / "bindings/bun"
    shutil.rmtree(package / "dist", ignore_errors=True)
    _run(modules / ".bin/tsc", "--project", "tsconfig.json", at=package)
    _run("node", "../node/esm/schema.cjs", "dist/node/src", at=package)
    shutil.copytree(package / "dist", out / "dist")
    return None


def _jvm(out: Path) -> str | None:
    shutil.rmtree(repository.TARGET / "release-jvm", ignore_errors=True)
    return compile_jvm(repository.TARGET / "release-jvm", out, "-Prelease", "-Dgpg.skip", kinds=("", "-sources"))


def compile_jvm(build: Path, out: Path, *flags: str, kinds: tuple[str, ...]) -> str | None:
    """What Maven makes in `build`; of these kinds a jar for each module."""
    if shutil.which("mvn") is None or shutil.which("javac") is None:
        return "Maven or the JDK is missing: scripts/setup jvm"
    command = ["mvn", "-q", "-B", "-Dmaven.test.skip=true", "-pl", ",".join(JVM_MODULES), "-am", *flags]
    # The libraries are put into the jar when it is packed: none is found here.
    command += [f"-Dbuild.root={build}", f"-Dhonker.library.directory={build}/none", "package"]
    home = repository.ROOT / "bindings/jvm"
    try:
        _run(*command, "-o", at=home)
    except Failed as failed:
        if not NOT_HERE.search(str(failed)):
            raise
        try:
            _run(*command, at=home)
        except Failed as again:
            if not NOT_TO_BE_HAD.search(str(again)):
                raise
            return "what Maven needs is not here, and cannot be downloaded"
    _collect_jvm(build, out, kinds)
    return None


def _collect_jvm(build: Path, out: Path, kinds: tuple[str, ...]) -> None:
    """The jars, and the descriptions of the modules."""
    home = repository.ROOT / "bindings/jvm"
    number = repository.version()
    for module in JVM_MODULES:
        folder = out / module
        folder.mkdir(parents=True)
        for kind in ("", "-sources", "-javadoc"):
            jar = build / module / f"{module}-{number}{kind}.jar"
            if jar.is_file():
                shutil.copy(jar, folder)
            # Of Kotlin javadoc makes nothing.
            elif kind in kinds:
                raise Failed(f"release: Maven made no {jar.name}")
        shutil.copy(home / module / "pom.xml", folder / f"{module}-{number}.pom")
    (out / "honker-parent").mkdir()
    parent = (home / "pom.xml").read_text()
    # The modules that are not published are none of its business.
    parent = re.sub(r"\n    <module>(examples|testee|bench)</module>", "", parent)
    (out / "honker-parent" / f"honker-parent-{number}.pom").write_text(parent)


def _dotnet(out: Path) -> str | None:
    return pack_dotnet(repository.TARGET / "release-dotnet", out)


def pack_dotnet(build: Path, out: Path) -> str | None:
    """The packages, without natives, of what is compiled in `build`."""
    home = repository.ROOT / "bindings/dotnet"
    found = subprocess.run([home / "tests/sdk"], capture_output=True, text=True)
    if found.returncode != 0:
        return found.stdout.strip()
    # In a shell whose PATH has the SDK.
    script = f'. "{found.stdout.strip()}" && exec "$@"'
    for project in DOTNET_PROJECTS:
        path = f"src/{project}/{project}.csproj"
        # Not by -o: where the folder is called `dotnet`, the SDK takes it for a second project.
        command = ["dotnet", "pack", path, "-c", "Release", "--nologo", "-v", "quiet", f"-p:PackageOutputPath={out}"]
        command += ["-p:ContinuousIntegrationBuild=true", f"-p:RepositoryCommit={repository.commit()}"]
        environment = {"UseSharedCompilation": "false", "HONKER_ARTIFACTS": str(build)}
        _run("bash", "-c", script, "bash", *command, at=home, **environment)
    return None
