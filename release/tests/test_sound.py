"""What must not be in a file that is released."""

import re
import unittest
from pathlib import Path

import sound
import toolchain


class Sound(unittest.TestCase):
    def test_a_folder_of_the_machine_is_found(self) -> None:
        places = [Path("/build/here")]
        self.assertEqual(sound.folder_named(b"\0/build/here/src/lib.rs\0", places), "/build/here/src/lib.rs")
        self.assertIsNone(sound.folder_named(b"/rustc/1234/library/core/src/lib.rs /honker/src", places))

    def test_the_folder_of_the_tools_goes(self) -> None:
        for place in (toolchain.VENV, toolchain._cache()):
            content = b"\0" + str(place).encode() + b"/lib/libc/glibc/pthread_atfork.c\0rest"
            changed = toolchain.without_place(content)
            self.assertEqual(len(changed), len(content))
            self.assertIsNone(sound.folder_named(changed, [place]))
            self.assertEqual(re.sub(b"/+", b"/", changed), b"\0/zig/lib/libc/glibc/pthread_atfork.c\0rest")

    def test_the_interface_is_that_of_the_header(self) -> None:
        declared = sound.declared()
        self.assertIn("honker_abi_version", declared)
        self.assertTrue(all(name.startswith("honker_") for name in declared))

    def test_what_a_system_may_lack_is_no_system_library(self) -> None:
        for name in ("libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libpthread.so.0"):
            self.assertTrue(sound.GLIBC.fullmatch(name), name)
        for name in ("libgcc_s.so.1", "libssl.so.3", "libc.so"):
            self.assertFalse(sound.GLIBC.fullmatch(name), name)
        self.assertTrue(sound.MUSL.fullmatch("libc.so"))
        self.assertFalse(sound.WINDOWS.fullmatch("libgcc_s_seh-1.dll"))
        self.assertTrue(sound.WINDOWS.fullmatch("KERNEL32.dll"))
