"""Builds, packs and proves releases. README.md says how it goes together.

python3 release natives [TARGET...]     compiles for each platform (make natives)
python3 release packages                packs what was compiled into dist/ (make packages)
python3 release prove [PACKAGE...]      installs from dist/ and runs it (make prove)
python3 release sample [PACKAGE...]     the same three for this machine alone, of what the test suites have built
python3 release publishable             whether dist/ may be published (release/publish)
python3 release version [--write]       compares the packages' version numbers with Cargo.toml's, or writes them
"""

import importlib
import sys

COMMANDS = ["natives", "packages", "prove", "sample", "publishable", "version"]


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] not in COMMANDS:
        raise SystemExit(__doc__)
    importlib.import_module(arguments[0]).main(" ".join(arguments[1:]))


main(sys.argv[1:])
