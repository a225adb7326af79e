"""Writes the low-level declarations of the packages that cannot read include/honker.h.

    python3 scripts/declarations            writes them (`make header` does)
    python3 scripts/declarations --check    fails if a file is not what would be written (`make check` does)

Everything comes from honker-ffi/abi.json. What that cannot know, because it concerns how a language calls (may a call
block?), stands in hints.json. A language is a module beside this one with `files(abi, hints)`, which gives the text of
each file by its path in the repository.
"""

import json
import sys
from pathlib import Path

import dotnet
import elixir
import go
import jvm
import node
import python
import ruby
from abi import Abi

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
LANGUAGES = [dotnet, elixir, go, jvm, node, python, ruby]


def main(arguments):
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    abi = Abi(REPOSITORY / "honker-ffi/abi.json")
    hints = json.loads((HERE / "hints.json").read_text())
    unknown = {name for names in hints.values() for name in names} - {function.name for function in abi.functions}
    if unknown:
        sys.exit(f"scripts/declarations/hints.json: there is no {', '.join(sorted(unknown))}")
    stale = []
    for language in LANGUAGES:
        for name, text in language.files(abi, hints).items():
            path = REPOSITORY / name
            if path.exists() and path.read_text() == text:
                continue
            stale.append(name)
            if not arguments:
                path.write_text(text)
    if arguments and stale:
        sys.exit(f"not what honker-ffi/abi.json says: {', '.join(stale)}; run `make header`")


main(sys.argv[1:])
