"""Archives that are the same whenever they are made: sorted, with one time for all, without an owner."""

import gzip
import io
import tarfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A file of an archive: its name, what is in it, and whether it is run; or where it points to."""

    name: str
    content: bytes = b""
    runs: bool = False
    link: str | None = None


def tree(folder: Path, names: list[str], below: str = "") -> list[Entry]:
    """Files of a folder, with the modes they have there."""
    return [
        Entry(f"{below}{name}", (folder / name).read_bytes(), bool((folder / name).stat().st_mode & 0o100))
        for name in names
    ]


def zipped(entries: list[Entry], moment: int) -> bytes:
    if len({entry.name for entry in entries}) != len(entries):
        raise ValueError("an archive would have a file twice")
    buffer = io.BytesIO()
    # Those that stand in front have to: the first file of an archive may say what it is.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for entry in entries:
            info = zipfile.ZipInfo(entry.name, time.gmtime(max(moment, 315532800))[:6])
            info.create_system = 3
            info.external_attr = (0o100755 if entry.runs else 0o100644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, entry.content)
    return buffer.getvalue()


def tarred(entries: list[Entry], moment: int, form: int = tarfile.PAX_FORMAT) -> bytes:
    if len({entry.name for entry in entries}) != len(entries):
        raise ValueError("an archive would have a file twice")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.mtime = moment
            info.mode = 0o755 if entry.runs else 0o644
            if entry.link is not None:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
            else:
                info.size = len(entry.content)
            archive.addfile(info, io.BytesIO(entry.content))
    return buffer.getvalue()


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=9, mtime=0)
