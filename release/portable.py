"""What is compiled once for all platforms: the JavaScript of the Node and Bun packages, the JVM's jars, .NET's
assemblies. Into target/natives/portable, beside the natives, with a record like theirs.
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


def make(commit: str) -> None:
    """Compiles each language that can be compiled here. The record says which."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    there, missing = [], {}
    languages: dict[str, Callable[[Path], str | None]] = {
        "node": _node,
        "bun": _bun,
        "jvm": _jvm,
        "dotnet": pack_dotnet,
    }
    for language, compile_it in languages.items():
        say(f"{NAME}: compiling {language}")
        if why := compile_it(OUT / language):
            skip(f"{language}, for all platforms", why)
            missing[language] = why
            shutil.rmtree(OUT / language, ignore_errors=True)
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


def _run(*command: str | Path, at: Path, **environment: str) -> str | None:
    """Why it failed, or None."""
    done = subprocess.run(command, cwd=at, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    return f"{' '.join(map(str, command[:3]))} failed: {' '.join((done.stdout + done.stderr).split())[:300]}"


def _typescript() -> Path | None:
    modules = repository.ROOT / "target/node/package/node_modules"
    return modules if (modules / ".bin/tsc").exists() else None


def _node(out: Path) -> str | None:
    modules = _typescript()
    if modules is None:
        return "TypeScript is missing: scripts/setup node"
    package = repository.ROOT / "bindings/node"
    shutil.rmtree(package / "dist", ignore_errors=True)
    if why := _run("./build.sh", "js", at=package):
        return why
    shutil.copytree(package / "dist", out / "dist")
    return None


def _bun(out: Path) -> str | None:
    modules = _typescript()
    if modules is None:
        return "TypeScript is missing: scripts/setup node"
    package = repository.ROOT / "bindings/bun"
    shutil.rmtree(package / "dist", ignore_errors=True)
    if why := _run(modules / ".bin/tsc", "--project", "tsconfig.json", at=package):
        return why
    if why := _run("node", "../node/esm/schema.cjs", "dist/node/src", at=package):
        return why
    shutil.copytree(package / "dist", out / "dist")
    return None


def _jvm(out: Path) -> str | None:
    if shutil.which("mvn") is None or shutil.which("javac") is None:
        return "Maven or the JDK is missing: scripts/setup jvm"
    home = repository.ROOT / "bindings/jvm"
    build = repository.TARGET / "release-jvm"
    shutil.rmtree(build, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-Prelease", "-Dmaven.test.skip=true", "-Dgpg.skip"]
    command += ["-pl", ",".join(JVM_MODULES), "-am"]
    # The libraries are put into the jar when it is packed: none is found here.
    command += [f"-Dbuild.root={build}", f"-Dhonker.library.directory={build}/none", "package"]
    if why := _run(*command, at=home):
        return why
    return collect_jvm(build, out, needed=["", "-sources"])


def collect_jvm(build: Path, out: Path, needed: list[str]) -> str | None:
    """What Maven made there, with the descriptions. Of these kinds there has to be a jar for each module."""
    home = repository.ROOT / "bindings/jvm"
    number = repository.version()
    for module in JVM_MODULES:
        folder = out / module
        folder.mkdir(parents=True)
        for kind in ("", "-sources", "-javadoc"):
            jar = build / module / f"{module}-{number}{kind}.jar"
            # Of Kotlin javadoc makes nothing.
            if not jar.is_file() and kind in needed:
                return f"Maven made no {jar.name}"
            if jar.is_file():
                shutil.copy(jar, folder)
        shutil.copy(home / module / "pom.xml", folder / f"{module}-{number}.pom")
    (out / "honker-parent").mkdir()
    parent = (home / "pom.xml").read_text()
    # The modules that are not published are none of its business.
    parent = re.sub(r"\n    <module>(examples|testee|bench)</module>", "", parent)
    (out / "honker-parent" / f"honker-parent-{number}.pom").write_text(parent)
    return None


def pack_dotnet(out: Path, *flags: str) -> str | None:
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
        command += [*flags, "-p:ContinuousIntegrationBuild=true", f"-p:RepositoryCommit={repository.commit()}"]
        if why := _run("bash", "-c", script, "bash", *command, at=home, UseSharedCompilation="false"):
            return why
    return None
