"""The version number, which Cargo.toml has. The packages' own files need it in their places: those are listed here,
and a test compares them.
"""

import re
from pathlib import Path

import repository

# A file, and what stands around each number in it. `{}` is the number.
PLACES = {
    "Cargo.toml": ['version = "{}" }}', 'version = "={}" }}'],
    "bindings/python/honker/_version.py": ['__version__ = "{}"'],
    "bindings/ruby/lib/honker/version.rb": ['VERSION = "{}"'],
    "bindings/node/package.json": ['  "version": "{}"', 'honker-node-[a-z0-9-]+": "{}"'],
    "bindings/node/src/native.ts": ['packageVersion = "{}"'],
    "bindings/bun/package.json": ['  "version": "{}"', 'honker-node-[a-z0-9-]+": "{}"'],
    "bindings/elixir/mix.exs": ['@version "{}"'],
    "bindings/dotnet/Directory.Build.props": ["<Version>{}</Version>"],
    "README.md": ['"~> {}"', r"dev\.honker:honker(?:-kotlin)?:{}"],
    "bindings/elixir/README.md": ['"~> {}"'],
    "bindings/rust/README.md": ['honker = "{}"'],
    "bindings/jvm/README.md": ["<version>{}</version>"],
    "bindings/jvm/tests/consumer/pom.xml": [r"<artifactId>honker(?:-kotlin)?</artifactId>\s*<version>{}</version>"],
}
MODULES = ["honker", "honker-kotlin", "honker-testing", "honker-opentelemetry", "honker-spring-boot-starter"]
for module in ["", *(f"{name}/" for name in [*MODULES, "examples", "testee", "bench"])]:
    PLACES[f"bindings/jvm/{module}pom.xml"] = [r"<artifactId>honker-parent</artifactId>\s*<version>{}</version>"]
# Each registry has a spelling of its own for more than that.
RELEASED = re.compile(r"\d+\.\d+\.\d+")
NUMBER = r"(\d+\.\d+\.\d+[-+.0-9A-Za-z]*)"


def main(argument: str) -> None:
    number = repository.version()
    if not RELEASED.fullmatch(number):
        raise SystemExit(f"release: {number} is no number that all registries take: it has to be like 1.2.3")
    if argument == "--write":
        write(repository.ROOT, number)
    elif wrong := differing(repository.ROOT, number):
        raise SystemExit("\n".join([*wrong, "python3 release version --write writes Cargo.toml's number there"]))
    print(number)


def _patterns(places: list[str]) -> list[re.Pattern[str]]:
    patterns = []
    for place in places:
        before, after = (part.replace("}}", "}") for part in place.split("{}", 1))
        patterns.append(re.compile(f"(?P<before>{before}){NUMBER}(?P<after>{after})"))
    return patterns


def differing(root: Path, number: str) -> list[str]:
    """The places where another number stands, or none."""
    wrong = []
    for name, places in PLACES.items():
        text = (root / name).read_text()
        for place, pattern in zip(places, _patterns(places)):
            found = [match[2] for match in pattern.finditer(text)]
            if not found:
                wrong.append(f"{name}: there is no {place}")
            wrong += [f"{name}: {other} where Cargo.toml has {number}" for other in found if other != number]
    return wrong


def write(root: Path, number: str) -> None:
    for name in PLACES:
        path = root / name
        text = path.read_text()
        for pattern in _patterns(PLACES[name]):
            text = pattern.sub(lambda match: match["before"] + number + match["after"], text)
        path.write_text(text)
