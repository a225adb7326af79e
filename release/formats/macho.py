"""Reads 64-bit Mach-O files: macOS's libraries and programs."""

import hashlib
import struct
from pathlib import Path

MACHINES = {0x01000007: "x64", 0x0100000C: "arm64"}
LOAD_DYLIB, ID_DYLIB, LOAD_WEAK, REEXPORT, RPATH, SYMTAB = 0xC, 0xD, 0x80000018, 0x8000001F, 0x8000001C, 0x2
BUILD_VERSION, VERSION_MIN, SIGNATURE = 0x32, 0x24, 0x1D


class MachO:
    """What a loader would learn of a file."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        magic, cpu, _, self.type, count, _, _, _ = struct.unpack_from("<8I", self.data)
        if magic != 0xFEEDFACF:
            raise ValueError(f"{path} is no 64-bit Mach-O file")
        self.cpu = MACHINES.get(cpu, hex(cpu))
        self.needed: list[str] = []
        self.search_path: list[str] = []
        self.name: str | None = None
        self.oldest: tuple[int, ...] = ()
        # None without a signature, or the first page that is not what was signed; -1 if all are.
        self.unsigned_page: int | None = None
        self.symbols: dict[str, bool] = {}
        at = 32
        for _ in range(count):
            command, size = struct.unpack_from("<II", self.data, at)
            self._read(command, at, size)
            at += size

    def _read(self, command: int, at: int, size: int) -> None:
        if command in (LOAD_DYLIB, LOAD_WEAK, REEXPORT):
            self.needed.append(self._text(at, size))
        elif command == ID_DYLIB:
            self.name = self._text(at, size)
        elif command == RPATH:
            self.search_path.append(self._text(at, size))
        elif command == BUILD_VERSION:
            self.oldest = _version(struct.unpack_from("<I", self.data, at + 12)[0])
        elif command == VERSION_MIN:
            self.oldest = _version(struct.unpack_from("<I", self.data, at + 8)[0])
        elif command == SIGNATURE:
            self.unsigned_page = self._first_unsigned(*struct.unpack_from("<II", self.data, at + 8))
        elif command == SYMTAB:
            self._read_symbols(*struct.unpack_from("<4I", self.data, at + 8))

    @property
    def is_signed(self) -> bool:
        """Whether it has a signature that fits, if only that of its linker: without one ARM64 does not run it."""
        return self.unsigned_page == -1

    def _first_unsigned(self, offset: int, size: int) -> int | None:
        """Compares each page with its sum in the code directory."""
        blob = self.data[offset : offset + size]
        if len(blob) < 12 or struct.unpack_from(">I", blob)[0] != 0xFADE0CC0:
            return None
        for i in range(struct.unpack_from(">I", blob, 8)[0]):
            _, start = struct.unpack_from(">II", blob, 12 + 8 * i)
            if struct.unpack_from(">I", blob, start)[0] == 0xFADE0C02:
                return self._compare(blob[start:])
        return None

    def _compare(self, directory: bytes) -> int:
        sums, _, _, pages, limit = struct.unpack_from(">5I", directory, 16)
        length, kind, _, power = struct.unpack_from("4B", directory, 36)
        for page in range(pages):
            content = self.data[page << power : min((page + 1) << power, limit)]
            found = (hashlib.sha256(content) if kind == 2 else hashlib.sha1(content)).digest()[:length]
            if found != directory[sums + page * length : sums + (page + 1) * length]:
                return page
        return -1

    def _read_symbols(self, offset: int, count: int, strings: int, _: int) -> None:
        for i in range(count):
            name, kind, _, _, _ = struct.unpack_from("<IBBHQ", self.data, offset + 16 * i)
            # External, and no debugging entry. The underscore in front is C's.
            if kind & 0xE0 == 0 and kind & 1 and not kind & 0x10:
                start = strings + name
                text = self.data[start : self.data.index(b"\0", start)].decode()
                self.symbols[text.removeprefix("_")] = kind & 0xE != 0

    def _text(self, at: int, size: int) -> str:
        start = at + struct.unpack_from("<I", self.data, at + 8)[0]
        return self.data[start : at + size].split(b"\0")[0].decode()


def _version(number: int) -> tuple[int, ...]:
    return number >> 16, number >> 8 & 0xFF
