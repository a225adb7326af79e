"""The readers of compiled files: ELF by files of this system, the others by small ones that are made up."""

import hashlib
import struct
import sys
import tempfile
import unittest
from pathlib import Path

from formats.elf import Elf
from formats.macho import MachO
from formats.pe import Pe


def _written(content: bytes) -> Path:
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(content)
    return Path(file.name)


class Formats(unittest.TestCase):
    @unittest.skipUnless(sys.platform == "linux", "Linux has ELF files")
    def test_elf(self) -> None:
        found = [Path(line.split()[-1]) for line in Path("/proc/self/maps").read_text().splitlines() if "libc" in line]
        libc = Elf(next(path for path in found if path.name.startswith(("libc.so", "libc.musl"))))
        self.assertIn(libc.cpu, ("x64", "arm64"))
        self.assertTrue(libc.soname.startswith("libc."))
        self.assertTrue(libc.symbols["malloc"])
        self.assertFalse(libc.has_executable_stack)
        self.assertIn(".dynsym", libc.sections)
        program = Elf(Path(sys.executable).resolve())
        self.assertTrue(any(name.startswith("libc.") for name in program.needed), program.needed)
        if libc.soname == "libc.so.6":
            self.assertGreaterEqual(program.newest("GLIBC_"), (2, 2))
            self.assertFalse(program.symbols.get("malloc", False))

    def test_elf_refuses_what_is_none(self) -> None:
        with self.assertRaisesRegex(ValueError, "is no 64-bit"):
            Elf(_written(b"#!/bin/sh\n" + bytes(100)))

    def test_macho(self) -> None:
        def command(kind: int, body: bytes) -> bytes:
            body += bytes(-len(body) % 8)
            return struct.pack("<II", kind, len(body) + 8) + body

        def library(kind: int, name: bytes) -> bytes:
            return command(kind, struct.pack("<4I", 24, 0, 0, 0) + name + b"\0")

        commands = [
            library(0xD, b"@rpath/libhonker.2.dylib"),
            library(0xC, b"/usr/lib/libSystem.B.dylib"),
            command(0x32, struct.pack("<4I", 1, 11 << 16, 14 << 16, 0)),
        ]
        size = sum(map(len, commands)) + 24 + 16
        names = b"\0_honker_open\0_malloc\0"
        start = 32 + size
        commands.append(command(0x2, struct.pack("<4I", start, 2, start + 32, len(names))))
        symbols = struct.pack("<IBBHQ", 1, 0x0F, 1, 0, 64) + struct.pack("<IBBHQ", 14, 0x01, 0, 0, 0)
        end = start + 32 + len(names)
        commands.append(command(0x1D, struct.pack("<II", end, 20 + 44 + 32)))
        header = struct.pack("<8I", 0xFEEDFACF, 0x0100000C, 0, 6, len(commands), size, 0, 0)
        whole = header + b"".join(commands) + symbols + names
        # A signature with one directory, of one page.
        directory = struct.pack(">9I4BI", 0xFADE0C02, 76, 0x20400, 2, 44, 0, 0, 1, end, 32, 2, 0, 12, 0)
        directory += hashlib.sha256(whole).digest()
        signature = struct.pack(">5I", 0xFADE0CC0, 20 + len(directory), 1, 0, 20) + directory
        macho = MachO(_written(whole + signature))
        self.assertEqual((macho.cpu, macho.name), ("arm64", "@rpath/libhonker.2.dylib"))
        self.assertEqual(macho.needed, ["/usr/lib/libSystem.B.dylib"])
        self.assertEqual((macho.oldest, macho.is_signed), ((11, 0), True))
        self.assertEqual(macho.symbols, {"honker_open": True, "malloc": False})
        damaged = whole.replace(b"_malloc", b"_calloc")
        self.assertFalse(MachO(_written(damaged + signature)).is_signed)

    def test_pe(self) -> None:
        optional = bytearray(240)
        struct.pack_into("<H", optional, 0, 0x20B)
        struct.pack_into("<H", optional, 70, 0x140)
        struct.pack_into("<4I", optional, 112, 0x1000, 40, 0x1100, 40)
        section = bytearray(0x200)
        # One export, whose name is at 0x1050; one import, whose name is at 0x1060.
        struct.pack_into("<4I", section, 24, 1, 0, 0x1040, 0)
        struct.pack_into("<I", section, 0x40, 0x1050)
        section[0x50:0x5C] = b"honker_open\0"
        section[0x60:0x6D] = b"KERNEL32.dll\0"
        struct.pack_into("<5I", section, 0x100, 1, 0, 0, 0x1060, 1)
        header = b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0"
        header += struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 240, 0x2022)
        table = struct.pack("<8s4I", b".rdata", 0x200, 0x1000, 0x200, 0x400) + bytes(16)
        whole = header + bytes(optional) + table
        pe = Pe(_written(whole + bytes(0x400 - len(whole)) + bytes(section)))
        self.assertEqual((pe.cpu, pe.is_library, pe.has_aslr, pe.has_nx), ("x64", True, True, True))
        self.assertEqual((pe.symbols, pe.needed), ({"honker_open"}, ["KERNEL32.dll"]))
