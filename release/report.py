"""What is said while the work goes on, and what was skipped."""

import os
import sys
from collections.abc import Sequence

skipped: list[tuple[str, str]] = []


def say(text: str) -> None:
    print(f"release: {text}", file=sys.stderr, flush=True)


def skip(what: str, why: str) -> None:
    """Something that cannot be had here: reported, counted at the end, never a failure by itself."""
    skipped.append((what, why))
    print(f"SKIPPED {what}: {why}", flush=True)


def close(done: int, noun: str, failed: Sequence[str] = ()) -> None:
    """The last line. With WHOLE=1, as for a release, what was skipped is a failure after all."""
    print(f"{noun}: {done} done, {len(skipped)} skipped", flush=True)
    if failed:
        raise SystemExit(f"release: {', '.join(failed)} failed")
    if skipped and os.environ.get("WHOLE"):
        raise SystemExit(f"release: with WHOLE=1 nothing may be skipped: {', '.join(what for what, _ in skipped)}")
