"""The packages' READMEs, as a registry shows them, and their samples."""

import re
from pathlib import Path

HOME = "https://github.com/russellromney/honker"


def absolute(text: str, folder: str, version: str) -> str:
    """With links to the repository, at this version, in place of relative ones, and without what is said before the
    first release. `folder` is that of the README.
    """
    text = re.sub(r"^honker is not released yet:.*?\n\n", "", text, flags=re.M | re.S)

    def link(match: re.Match[str]) -> str:
        target, _, anchor = match[2].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = Path(*_normal((Path(folder) / target).parts))
        return f"{match[1]}{HOME}/blob/v{version}/{path}{'#' if anchor else ''}{anchor})"

    return re.sub(r"(\]\()([^)\s]+)\)", link, text)


def _normal(parts: tuple[str, ...]) -> list[str]:
    normal: list[str] = []
    for part in parts:
        if part == "..":
            normal.pop()
        else:
            normal.append(part)
    return normal


def samples(text: str, language: str) -> list[str]:
    """The code of each block in this language."""
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", text, re.M | re.S)
