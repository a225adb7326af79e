"""Gems: one for each platform, with libhonker and the loadable extension, and one that compiles them with cargo."""

import hashlib
import re
from pathlib import Path

import readme
import repository
import sources
from archive import Entry, gzipped, tarred
from contents import Native, Release

HOME = "bindings/ruby"
# Before, a platform's libc was not looked at: Alpine would have got glibc's.
RUBYGEMS = "3.3.22"


def pack(release: Release, folder: Path) -> None:
    described = Description((repository.ROOT / HOME / "honker.gemspec").read_text())
    code = [
        entry for entry in release.files(HOME) if re.fullmatch(r"lib/.*\.rb|exe/.*|sig/.*\.rbs", entry.name)
    ]  # fmt: skip
    text = readme.absolute((repository.ROOT / HOME / "README.md").read_text(), HOME, release.version)
    code += [Entry("README.md", text.encode()), *release.licenses]
    for platform, native in release.of("ruby"):
        gem = _gem(release, described, [*code, *_libraries(native)], platform, [])
        (folder / f"honker-{release.version}-{platform}.gem").write_bytes(gem)
    gem = _gem(release, described, [*code, *_extension(release)], "ruby", ["ext/honker/extconf.rb"])
    (folder / f"honker-{release.version}.gem").write_bytes(gem)


def _libraries(native: Native) -> list[Entry]:
    names = (native.target.shared, native.target.extension)
    return [native.entry(name, f"lib/honker/native/{name}", runs=True) for name in names]


def _extension(release: Release) -> list[Entry]:
    script = (repository.ROOT / "release/ruby_extconf.rb").read_bytes()
    rust = [Entry(f"ext/honker/rust/{file.name}", file.content, file.runs) for file in sources.workspace(release)]
    return [Entry("ext/honker/extconf.rb", script), *rust]


class Description:
    """What honker.gemspec says, which is read and not written twice."""

    def __init__(self, text: str) -> None:
        def value(name: str) -> str:
            found = re.search(rf'spec\.{name} = ((?:"[^"]*"(?: \\\n\s*)?)+)', text)
            return "".join(re.findall(r'"([^"]*)"', found[1]))

        self.summary, self.description = value("summary"), value("description")
        self.homepage, self.ruby = value("homepage"), value("required_ruby_version")
        self.authors = re.findall(r'"([^"]+)"', re.search(r"spec\.authors = \[(.*)\]", text)[1])
        self.licenses = re.findall(r'"([^"]+)"', re.search(r"spec\.licenses = \[(.*)\]", text)[1])
        self.executables = re.findall(r'"([^"]+)"', re.search(r"spec\.executables = \[(.*)\]", text)[1])
        self.needs = [
            (names[0], names[1:])
            for line in re.findall(r"add_runtime_dependency (.*?)(?: #.*)?$", text, re.M)
            if (names := re.findall(r'"([^"]+)"', line))
        ]


def _gem(release: Release, described: Description, files: list[Entry], platform: str, extensions: list[str]) -> bytes:
    files = sorted(files, key=lambda file: file.name)
    data = gzipped(tarred(files, release.moment))
    metadata = gzipped(_specification(release, described, files, platform, extensions).encode())
    parts = [Entry("metadata.gz", metadata), Entry("data.tar.gz", data)]
    sums = "---\n"
    for name in ("SHA256", "SHA512"):
        sums += f"{name}:\n"
        sums += "".join(f"  {part.name}: {hashlib.new(name.lower(), part.content).hexdigest()}\n" for part in parts)
    return tarred([*parts, Entry("checksums.yaml.gz", gzipped(sums.encode()))], release.moment)


def _specification(
    release: Release, described: Description, files: list[Entry], platform: str, extensions: list[str]
) -> str:
    """The gem's own description, as RubyGems writes it."""
    needs = "".join(_dependency(name, wanted) for name, wanted in described.needs)
    rubygems = [f">= {RUBYGEMS}"] if "-linux-" in platform else [">= 0"]
    return f"""--- !ruby/object:Gem::Specification
name: honker
version: !ruby/object:Gem::Version
  version: {release.version}
platform: {platform}
authors:
{_list(described.authors)}
bindir: exe
cert_chain: []
date: 1980-01-02 00:00:00.000000000 Z
dependencies:
{needs.rstrip()}
description: {_text(described.description)}
email:
executables:
{_list(described.executables)}
extensions:{_list_or_none(extensions)}
extra_rdoc_files: []
files:
{_list([file.name for file in files])}
homepage: {described.homepage}
licenses:
{_list(described.licenses)}
metadata:
  rubygems_mfa_required: 'true'
  source_code_uri: {readme.HOME}
post_install_message:
rdoc_options: []
require_paths:
- lib
required_ruby_version: {_requirement([described.ruby], "  ")}
required_rubygems_version: {_requirement(rubygems, "  ")}
requirements: []
rubygems_version: 3.5.0
signing_key:
specification_version: 4
summary: {_text(described.summary)}
test_files: []
"""


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _list(items: list[str]) -> str:
    return "\n".join(f"- {_text(item)}" for item in items)


def _list_or_none(items: list[str]) -> str:
    return f"\n{_list(items)}" if items else " []"


def _requirement(wanted: list[str], indent: str) -> str:
    lines = ["!ruby/object:Gem::Requirement", f"{indent}requirements:"]
    for one in wanted:
        operator, number = one.split(" ")
        lines += [f"{indent}- - {_text(operator)}", f"{indent}  - !ruby/object:Gem::Version"]
        lines += [f"{indent}    version: '{number}'"]
    return "\n".join(lines)


def _dependency(name: str, wanted: list[str]) -> str:
    requirement = _requirement(wanted, "    ")
    return f"""- !ruby/object:Gem::Dependency
  name: {name}
  requirement: {requirement}
  type: :runtime
  prerelease: false
  version_requirements: {requirement}
"""
