"""Whether dist/ is what may be published: all of a release, of HEAD, with HEAD's number. Says the number."""

import json
from typing import Any

import repository


def main(_: str) -> None:
    about = json.loads((repository.DIST / "release.json").read_text())
    if problems := wrong(about, repository.version(), repository.commit()):
        raise SystemExit("\n  ".join(["release: dist/ must not be published:", *problems]))
    print(about["version"])


def wrong(about: dict[str, Any], version: str, commit: str) -> list[str]:
    """Why what release.json is about must not be published, or nothing."""
    problems = [f"it lacks {one}" for one in about["missing"]]
    if not about["is_whole"] and not problems:
        problems.append("it is not whole: some of it was not packed, or is of an earlier commit")
    if about["version"] != version:
        problems.append(f"it is {about['version']}, and Cargo.toml says {version}")
    if about["commit"] != commit:
        problems.append(f"it is of {about['commit'][:12]}, and HEAD is {commit[:12]}")
    return problems
