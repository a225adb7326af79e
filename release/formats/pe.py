"""Reads 64-bit PE files: Windows's libraries and programs."""

import struct
from pathlib import Path

MACHINES = {0x8664: "x64", 0xAA64: "arm64"}


class Pe:
    """What a loader would learn of a file."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        if self.data[:2] != b"MZ":
            raise ValueError(f"{path} is no PE file")
        header = struct.unpack_from("<I", self.data, 60)[0]
        if self.data[header : header + 4] != b"PE\0\0":
            raise ValueError(f"{path} is no PE file")
        machine, sections, self.time, _, _, size, characteristics = struct.unpack_from(
            "<HHIIIHH", self.data, header + 4
        )
        self.cpu = MACHINES.get(machine, hex(machine))
        self.is_library = bool(characteristics & 0x2000)
        optional = header + 24
        if struct.unpack_from("<H", self.data, optional)[0] != 0x20B:
            raise ValueError(f"{path} is no 64-bit PE file")
        flags = struct.unpack_from("<H", self.data, optional + 70)[0]
        self.has_aslr, self.has_nx = bool(flags & 0x40), bool(flags & 0x100)
        table = optional + size
        self.sections = [struct.unpack_from("<8s4I", self.data, table + 40 * i) for i in range(sections)]
        exports, _, imports, _ = struct.unpack_from("<4I", self.data, optional + 112)
        self.needed = self._imports(imports) if imports else []
        self.symbols = self._exports(exports) if exports else set()

    def _imports(self, at: int) -> list[str]:
        names = []
        offset = self._offset(at)
        while any(entry := struct.unpack_from("<5I", self.data, offset)):
            names.append(self._text(entry[3]))
            offset += 20
        return names

    def _exports(self, at: int) -> set[str]:
        offset = self._offset(at)
        count, _, names = struct.unpack_from("<III", self.data, offset + 24)
        if not count:
            return set()
        return {self._text(struct.unpack_from("<I", self.data, self._offset(names) + 4 * i)[0]) for i in range(count)}

    def _text(self, address: int) -> str:
        start = self._offset(address)
        return self.data[start : self.data.index(b"\0", start)].decode()

    def _offset(self, address: int) -> int:
        for _, size, start, in_file, offset in self.sections:
            if start <= address < start + max(size, in_file):
                return offset + address - start
        raise ValueError(f"no section has the address {address:#x}")
