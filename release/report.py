"""What is said while the work goes on, and what was skipped."""

import sys

skipped: list[tuple[str, str]] = []


def say(text: str) -> None:
    print(f"release: {text}", file=sys.stderr, flush=True)


def skip(what: str, why: str) -> None:
    """Something that cannot be had here: reported, counted at the end, never a failure by itself."""
    skipped.append((what, why))
    print(f"SKIPPED {what}: {why}", flush=True)


def close(done: int, noun: str) -> None:
    """The last line."""
    print(f"{noun}: {done} done, {len(skipped)} skipped", flush=True)
