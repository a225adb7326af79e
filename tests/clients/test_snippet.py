"""The SQL that users have been shown (snippet.sql), as printed, and the same through every client."""

from __future__ import annotations

import datetime
import itertools
import json
import re
import shutil
import subprocess
import time
import unittest
from pathlib import Path

import clients
import support

SNIPPET = Path(__file__).with_name("snippet.sql").read_text(encoding="utf-8")
# Everything after `.load`, one statement a line.
STATEMENTS = [line for line in SNIPPET.splitlines() if line and not line.startswith(".")]


def at_three_oclock(unix: int) -> bool:
    """Schedules are in local time."""
    return datetime.datetime.fromtimestamp(unix).strftime("%H:%M:%S") == "03:00:00"


def check_answers(test: unittest.TestCase, answers: list, started: int) -> None:
    """Compares the answers of the snippet's SELECTs with what each of them must be."""
    answers = list(answers)
    ended = int(time.time())

    def expect(*values: object) -> None:
        for expected in values:
            test.assertEqual(answers.pop(0), expected)

    def expect_time(within: range) -> int:
        moment = answers.pop(0)
        test.assertIn(moment, within)
        return moment

    expect(1, 1)  # bootstrap; enqueue: job 1
    [job] = json.loads(answers.pop(0))
    test.assertIn(job.pop("claim_expires_at"), range(started + 300, ended + 301))
    payload = '{"name":"world"}'
    test.assertEqual(job, {"id": 1, "queue": "greetings", "payload": payload, "worker_id": "worker-1", "attempts": 1})
    expect(1, 0)  # acked; there is no job 42 to retry
    expect(0, 0)  # job 1 is acked, job 2 is nobody's; nothing expired
    expect(1, 1, 1, 0)  # the lock, and back; the rate limit, and no old window

    day = range(started + 1, ended + 25 * 3600 + 1)
    test.assertTrue(at_three_oclock(expect_time(day)))
    test.assertEqual(expect_time(range(started + 1, ended + 3)) % 2, 0)
    expect_time(range(started + 5, ended + 6))

    expect(1, "[]")  # registered; not due yet
    test.assertTrue(at_three_oclock(expect_time(day)))
    expect(1, 0)  # unregistered; job 2 is due already

    expect(1)  # published: offset 1
    [event] = json.loads(answers.pop(0))
    test.assertIn(event.pop("created_at"), range(started, ended + 1))
    test.assertEqual(event, {"offset": 1, "topic": "orders", "key": "k", "payload": '{"id":42}'})
    expect(1, 42, 1, '{"ok":true}', 0, 1)  # offsets; results; the notification's id
    test.assertEqual(answers, [])


class Snippet(support.TestCase):
    @unittest.skipUnless(clients.available("sqlite3"), "no sqlite3 on this machine")
    def test_as_printed(self):
        """The command line runs it as it stands, says nothing but the answers, and closes the file."""
        library = clients.extension()
        shutil.copy(library, self.folder / library.name)
        started = int(time.time())
        done = subprocess.run(
            [clients.command_line(), self.path.name],
            input=SNIPPET.replace("libhonker_ext", library.stem),  # Windows libraries have no lib in front
            cwd=self.folder,
            capture_output=True,
            encoding="utf-8",
            timeout=30,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        answers = [int(line) if re.fullmatch(r"-?\d+", line) else line for line in done.stdout.splitlines()]
        check_answers(self, answers, started)
        self.assert_sound()

    @support.for_each_client
    def test_through_every_client(self, kind):
        """The same answers, whoever asks."""
        started = int(time.time())
        client = self.spawn(kind, self.path)
        answers = [row[0] for statement in STATEMENTS for row in client.rows(statement.rstrip(";"))]
        self.assertEqual(client.close(), 0)
        check_answers(self, answers, started)
        self.assert_sound()


class OneFile(support.TestCase):
    """Written with one client, read with another, both at once on one file."""

    def test_every_pair(self):
        kinds = [kind for kind in clients.KINDS if clients.available(kind)]
        if len(kinds) < len(clients.KINDS):
            print(f"only these clients: {', '.join(kinds)}")
        pairs = [("wal", *pair) for pair in itertools.product(kinds, repeat=2)]
        pairs += [("delete", *pair) for pair in itertools.permutations(kinds, 2)]
        for mode, writer, reader in pairs:
            with self.subTest(journal_mode=mode, writer=writer, reader=reader):
                path = self.folder / f"{mode}-{writer}-{reader}.db"
                self.bootstrap(mode, path)
                self.exchange(self.spawn(writer, path), self.spawn(reader, path))
                self.assert_sound(path)

    def exchange(self, writer: clients.Client, reader: clients.Client) -> None:
        payload = '{"to":"Zoë \'the\' \\"Ü\\" 🚀","tab":"\\t"}'
        ids = [writer.value("SELECT honker_enqueue(?, ?, NULL, NULL, ?, 3, NULL)", "q", payload, n) for n in range(3)]
        claimed = json.loads(reader.value("SELECT honker_claim_batch('q', 'r', 2, 60)"))
        self.assertEqual([job["id"] for job in claimed], ids[:0:-1], "highest priority first")
        self.assertEqual({job["payload"] for job in claimed}, {payload})
        self.assertEqual(writer.value("SELECT honker_ack(?, 'w')", ids[2]), 0, "not the writer's")
        self.assertEqual(reader.value("SELECT honker_ack(?, 'r')", ids[2]), 1)
        self.assertEqual(reader.value("SELECT honker_fail(?, 'r', ?)", ids[1], "no such street"), 1)
        [dead] = json.loads(writer.value("SELECT honker_dead_list('q', 10)"))
        self.assertEqual((dead["id"], dead["last_error"]), (ids[1], "no such street"))
        looked_up = [json.loads(client.value("SELECT honker_get_job(?)", ids[0])) for client in (writer, reader)]
        self.assertEqual(looked_up[0], looked_up[1])

        self.assertEqual(writer.value("SELECT honker_stream_publish('t', NULL, ?)", payload), 1)
        [event] = json.loads(reader.value("SELECT honker_stream_read_since('t', 0, -1)"))
        self.assertEqual((event["key"], event["payload"]), (None, payload))
        self.assertEqual(writer.value("SELECT notify('c', ?)", payload), 1)
        self.assertEqual(reader.rows("SELECT channel, payload FROM _honker_notifications"), [["c", payload]])
        self.assertEqual(writer.value("SELECT honker_result_save(?, ?, 60)", ids[2], payload), 1)
        self.assertEqual(reader.value("SELECT honker_result_get(?)", ids[2]), payload)
        self.assertEqual(writer.value("SELECT honker_lock_acquire('l', 'w', 60)"), 1)
        self.assertEqual(reader.value("SELECT honker_lock_acquire('l', 'r', 60)"), 0)
        registered = "SELECT honker_scheduler_register('s', 'q', '@every 1s', ?, 0, NULL)"
        self.assertEqual(writer.value(registered, payload), 1)
        soonest = reader.value("SELECT honker_scheduler_soonest()")
        [fire] = json.loads(reader.value("SELECT honker_scheduler_tick(?)", soonest))
        self.assertEqual(fire["fire_at"], soonest)

        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB '_honker_*' ORDER BY name"
        self.assertIn(["_honker_live"], writer.rows(tables))
        for [table] in writer.rows(tables):
            everything = f"SELECT * FROM {table} ORDER BY 1"
            self.assertEqual(writer.rows(everything), reader.rows(everything), table)
        self.assertEqual((writer.close(), reader.close()), (0, 0))


if __name__ == "__main__":
    unittest.main()
