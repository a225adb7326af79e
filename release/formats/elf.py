"""Reads 64-bit little-endian ELF files: Linux's libraries and programs."""

import struct
from pathlib import Path

MACHINES = {62: "x64", 183: "arm64"}
LOAD, DYNAMIC, STACK, RELRO = 1, 2, 0x6474E551, 0x6474E552
NEEDED, STRTAB, SONAME, RPATH, RUNPATH, FLAGS, FLAGS_1 = 1, 5, 14, 15, 29, 30, 0x6FFFFFFB
VERNEED, VERNEEDNUM, SYMTAB, HASH, GNU_HASH, TEXTREL = 0x6FFFFFFE, 0x6FFFFFFF, 6, 4, 0x6FFFFEF5, 22


class Elf:
    """What a loader would learn of a file."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path} is no 64-bit little-endian ELF file")
        self.type, machine = struct.unpack_from("<HH", self.data, 16)
        self.cpu = MACHINES.get(machine, str(machine))
        self._read_segments()
        self._read_dynamic()
        self.sections = self._section_names()

    def _read_segments(self) -> None:
        offset, size, count = *struct.unpack_from("<Q", self.data, 32), *struct.unpack_from("<HH", self.data, 54)
        # type, flags, offset, virtual address, physical address, size in the file, size in memory, alignment
        self.segments = [struct.unpack_from("<IIQQQQQQ", self.data, offset + i * size) for i in range(count)]
        self.has_relro = any(segment[0] == RELRO for segment in self.segments)
        self.has_executable_stack = any(segment[0] == STACK and segment[1] & 1 for segment in self.segments)

    def _read_dynamic(self) -> None:
        self.dynamic: list[tuple[int, int]] = []
        for segment in self.segments:
            if segment[0] == DYNAMIC:
                for at in range(segment[2], segment[2] + segment[5], 16):
                    tag, value = struct.unpack_from("<qQ", self.data, at)
                    if tag == 0:
                        break
                    self.dynamic.append((tag, value))
        values = dict(self.dynamic)
        self._strings = self._offset(values[STRTAB]) if STRTAB in values else 0
        self.needed = [self._text(value) for tag, value in self.dynamic if tag == NEEDED]
        self.soname = self._text(values[SONAME]) if SONAME in values else None
        self.search_path = [self._text(value) for tag, value in self.dynamic if tag in (RPATH, RUNPATH)]
        self.binds_now = bool(values.get(FLAGS, 0) & 8 or values.get(FLAGS_1, 0) & 1)
        self.stays_loaded = bool(values.get(FLAGS_1, 0) & 8)
        self.has_text_relocations = TEXTREL in values
        self.versions = self._read_versions(values)
        self.symbols = self._read_symbols(values)

    def _read_versions(self, values: dict[int, int]) -> dict[str, set[str]]:
        """The versions of symbols that it wants of each library."""
        wanted: dict[str, set[str]] = {}
        at = self._offset(values[VERNEED]) if VERNEED in values else 0
        for _ in range(values.get(VERNEEDNUM, 0)):
            _, count, file, first, following = struct.unpack_from("<HHIII", self.data, at)
            names = wanted.setdefault(self._text(file), set())
            entry = at + first
            for _ in range(count):
                _, _, _, name, step = struct.unpack_from("<IHHII", self.data, entry)
                names.add(self._text(name))
                entry += step
            at += following
        return wanted

    def _read_symbols(self, values: dict[int, int]) -> dict[str, bool]:
        """The dynamic symbols, and whether each is defined here."""
        if SYMTAB not in values:
            return {}
        start = self._offset(values[SYMTAB])
        # The string table follows the symbols in every file that our linkers write; the hash table knows it better.
        end = self._strings
        if HASH in values:
            end = start + 24 * struct.unpack_from("<I", self.data, self._offset(values[HASH]) + 4)[0]
        symbols = {}
        for at in range(start + 24, end, 24):
            if at + 24 > end:
                break
            name, info, _, section = struct.unpack_from("<IBBH", self.data, at)
            if name and info >> 4 in (1, 2):
                symbols[self._text(name)] = section != 0
        return symbols

    def _section_names(self) -> set[str]:
        offset = struct.unpack_from("<Q", self.data, 40)[0]
        size, count, names = struct.unpack_from("<HHH", self.data, 58)
        if count == 0:
            return set()
        headers = [struct.unpack_from("<II4Q", self.data, offset + i * size) for i in range(count)]
        base = headers[names][4]
        return {self._text(header[0], base) for header in headers}

    def _offset(self, address: int) -> int:
        """Where in the file what is loaded to an address is."""
        for kind, _, offset, start, _, size, _, _ in self.segments:
            if kind == LOAD and start <= address < start + size:
                return offset + address - start
        raise ValueError(f"no segment has the address {address:#x}")

    def _text(self, at: int, base: int | None = None) -> str:
        start = (self._strings if base is None else base) + at
        return self.data[start : self.data.index(b"\0", start)].decode()

    def newest(self, prefix: str) -> tuple[int, ...]:
        """The newest version that it wants of those with this prefix, `GLIBC_`."""
        found = [name[len(prefix) :] for names in self.versions.values() for name in names if name.startswith(prefix)]
        numbers = [tuple(int(part) for part in name.split(".")) for name in found if name[0].isdigit()]
        return max(numbers, default=())
