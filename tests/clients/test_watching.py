"""Waiting for commits: in SQL, and through the C symbols of the library."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

import clients
import support

LONG_MS = 60_000


def library() -> ctypes.CDLL:
    lib = ctypes.CDLL(str(clients.extension()))
    lib.honker_watcher_open.restype = ctypes.c_void_p
    lib.honker_watcher_open.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    lib.honker_watcher_open_v2.restype = ctypes.c_void_p
    lib.honker_watcher_open_v2.argtypes = [
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_uint64,
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    lib.honker_watcher_wait.restype = ctypes.c_int
    lib.honker_watcher_wait.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
    lib.honker_watcher_close.restype = None
    lib.honker_watcher_close.argtypes = [ctypes.c_void_p]
    return lib


class InSql(support.TestCase):
    def test_a_commit_of_another_process_ends_the_wait(self):
        for mode in support.JOURNAL_MODES:
            path = self.folder / f"{mode}.db"
            self.bootstrap(mode, path)
            for kind in support.present(clients.KINDS):
                for backend in ("auto", "polling", "kernel", *(["shm"] if mode == "wal" else [])):
                    with self.subTest(journal_mode=mode, client=kind, backend=backend):
                        waiter, writer = self.spawn(kind, path), self.spawn("python", path)
                        handle = waiter.value("SELECT honker_update_watcher_open(?, ?)", str(path), backend)
                        for _ in range(3):
                            waiter.send("SELECT honker_update_watcher_wait(?, ?)", handle, LONG_MS)
                            writer.rows("SELECT honker_enqueue('q', 'x')")
                            self.assertEqual(waiter.receive(), [[1]])
                        self.assertEqual(waiter.value("SELECT honker_update_watcher_close(?)", handle), 1)
                        self.assertEqual(waiter.value("SELECT honker_update_watcher_wait(?, 0)", handle), -1)
                        # Let go of the file: nobody keeps it in WAL mode any more.
                        waiter.close(), writer.close()

    def test_the_program_may_end_while_it_watches(self):
        self.bootstrap()
        for kind in support.present(clients.KINDS):
            client = self.spawn(kind, self.path)
            client.value("SELECT honker_update_watcher_open(?, 'auto')", str(self.path))
            self.assertEqual(client.close(), 0)
        self.assert_sound()


class InC(support.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.bootstrap()
        self.library = library()
        self.db = clients.connect("python", self.path)
        self.addCleanup(self.db.close)

    def open(self, backend: bytes | None = b"auto", interval: int = 1) -> int:
        error = ctypes.create_string_buffer(200)
        handle = self.library.honker_watcher_open_v2(bytes(self.path), backend, interval, error, len(error))
        self.assertIsNotNone(handle, error.value)
        self.addCleanup(self.library.honker_watcher_close, handle)
        return handle

    def wait(self, handle: int | None, timeout_ms: int = LONG_MS) -> int:
        return self.library.honker_watcher_wait(handle, timeout_ms)

    def commit(self) -> None:
        self.db.execute("SELECT honker_enqueue('q', 'x')")

    def roll_back_and_wait(self, handle: int) -> int:
        self.db.execute("BEGIN IMMEDIATE")
        self.db.execute("SELECT honker_enqueue('q', 'x')")
        self.db.execute("ROLLBACK")
        return self.wait(handle, 150)

    def test_wakes_for_commits(self):
        names = ("", "auto", "polling", "poll", "kernel", "kernel-watcher", "shm", "shm-fast-path")
        for backend in (None, *map(str.encode, names)):
            with self.subTest(backend=backend):
                handle = self.open(backend)
                self.assertEqual(self.wait(handle, 0), 0)
                self.commit()
                self.assertEqual(self.wait(handle), 1)
                # A wake for an earlier commit may come late on a busy machine; it does not come every time.
                self.assertTrue(any(self.roll_back_and_wait(handle) == 0 for _ in range(20)))
        handle = self.library.honker_watcher_open(bytes(self.path), None, None, 0)
        self.commit()
        self.assertEqual(self.wait(handle, 2**64 - 1), 1)
        self.library.honker_watcher_close(handle)

    def refusal(self, path: bytes | None, backend: bytes | None, interval: int, size: int = 200) -> bytes:
        error = ctypes.create_string_buffer(b"\xff" * (size + 8))
        handle = self.library.honker_watcher_open_v2(path, backend, interval, error, size)
        self.assertIsNone(handle)
        self.assertEqual(error.raw[size : size + 8], b"\xff" * 8, "written beyond the buffer")
        return error.raw[:size].split(b"\0")[0] if size else b""

    def test_refusals_have_a_text(self):
        path = bytes(self.path)
        self.assertEqual(self.refusal(None, None, 1), b"db_path is null")
        self.assertIn(b"UTF-8", self.refusal(b"\xff\xfe", None, 1))
        self.assertIn(b"UTF-8", self.refusal(path, b"\xff", 1))
        for backend in (b"KERNEL", b" polling ", b"inotify"):
            self.assertIn(b"unknown watcher backend", self.refusal(path, backend, 1))
        self.assertIn(b"poll interval must be positive", self.refusal(path, None, 0))
        self.assertIn(b"watcher_backend probe failed: ", self.refusal(b"/no/where.db", b"kernel", 1))
        # Cut to fit, between characters.
        self.assertEqual(self.refusal(None, None, 1, size=8), b"db_path")
        self.assertEqual(self.refusal(None, None, 1, size=1), b"")
        self.assertEqual(self.refusal(None, None, 1, size=0), b"")
        whole = self.refusal(path, "ä".encode(), 1)
        for size in range(1, 60):
            cut = self.refusal(path, "ä".encode(), 1, size=size)
            self.assertTrue(whole.startswith(cut.decode().encode()))
        self.assertIsNone(self.library.honker_watcher_open_v2(None, None, 1, None, 0))

    def test_closing(self):
        self.assertEqual(self.wait(None), -1)
        self.library.honker_watcher_close(None)
        handle = self.open()
        results = []
        thread = threading.Thread(target=lambda: results.append(self.wait(handle)))
        thread.start()
        time.sleep(0.05)
        self.library.honker_watcher_close(handle)
        thread.join(60)
        self.assertEqual(results, [-1])
        self.assertEqual(self.wait(handle), -1)

    @unittest.skipUnless(Path("/proc/self/task").exists(), "only Linux tells about threads")
    def test_no_thread_is_left(self):
        def is_watching(task: Path) -> bool:
            """Whether this is a watcher's thread: one that has been joined is listed a moment longer, as exiting."""
            try:
                name, rest = (task / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
            except FileNotFoundError:
                return False
            exiting = 0x4
            return name == "honker-watcher" and not int(rest.split()[6]) & exiting

        def watchers() -> int:
            return sum(map(is_watching, Path("/proc/self/task").iterdir()))

        before, descriptors = watchers(), len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            handles = [self.open(backend) for backend in (b"auto", b"polling", b"shm")]
            for handle in handles:
                self.library.honker_watcher_close(handle)
            self.assertEqual(watchers(), before)
        # The SQLite of the host keeps descriptors of a file on which the process has locks.
        self.assertLess(len(os.listdir("/proc/self/fd")), descriptors + 10)

    @unittest.skipUnless(hasattr(os, "fork"), "no fork on this system")
    def test_a_forked_child_has_no_handles(self):
        handle = self.open()
        child = os.fork()
        if child == 0:
            os._exit(0 if self.wait(handle, 0) == -1 else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.commit()
        self.assertEqual(self.wait(handle), 1)


class Unloaded(support.TestCase):
    def test_without_a_sqlite_it_says_so(self):
        program = (
            "import ctypes, sys\n"
            "lib = ctypes.CDLL(sys.argv[1])\n"
            "lib.honker_watcher_open.restype = ctypes.c_void_p\n"
            "error = ctypes.create_string_buffer(200)\n"
            "assert lib.honker_watcher_open(b'x.db', None, error, ctypes.c_size_t(200)) is None\n"
            "print(error.value.decode())\n"
        )
        command = [sys.executable, "-c", program, str(clients.extension())]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("load it into a connection", done.stdout)


if __name__ == "__main__":
    unittest.main()
