"""Movers that are killed at any moment, and servers that go away: nothing is lost, and nothing is there twice."""

import random
import sys
import time

from support import LONG, File, Moves, Server, contents, fill, honker, killed_after, last_ids, until

KILLS = 50 if LONG else 4


class Kill(Moves):
    def setUp(self):
        super().setUp()
        self.seed = random.randrange(1 << 32)
        self.random = random.Random(self.seed)

    def filled(self, of):
        fill(of)
        of.run(
            f"INSERT INTO {of.schema}_honker_live (queue, payload) "
            + (
                "SELECT 'q', 'job ' || n FROM"
                " (WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3000) SELECT n FROM n)"
                if isinstance(of, File)
                else "SELECT 'q', 'job ' || n FROM generate_series(1, 3000) n"
            )
        )
        return of

    def kills(self, make_source, make_target):
        rounds = ended = begun = arrived = kills = jobs = 0
        source, target = self.filled(make_source()), make_target()
        started = time.monotonic()
        honker("move", source.at, target.at)
        takes = time.monotonic() - started
        started = time.monotonic()
        while kills < KILLS:
            rounds += 1
            source, target = self.filled(make_source()), make_target()
            before, ids = contents(source), last_ids(source)
            before_this = kills
            while True:
                began = time.monotonic()
                if killed_after(self.random.uniform(0, takes), "move", source.at, target.at):
                    # A whole move that was faster than the one before: kills are to meet all of it.
                    if kills == before_this:
                        takes = min(takes, time.monotonic() - began)
                    break
                kills += 1
                if self.random.random() < 0.2:
                    break
            marked = source.run(f"SELECT value FROM {source.schema}_honker_settings WHERE name = 'move'")
            begun += bool(marked) and '"moved"' not in marked[0][0]
            if self.random.random() < 0.5 and marked:
                said = honker("move", source.at, target.at, "--cancel", code=None)
                if "already" in said or "over" in said:
                    arrived += 1
                else:
                    self.assertIn("cancelled", said, self.seed)
                    self.assertEqual(contents(source), before, self.seed)
                    self.assertTrue(source.call("honker_enqueue", "q", "after all"), self.seed)
                    if not isinstance(target, File) or target.run(
                        "SELECT 1 FROM sqlite_master WHERE name = '_honker_live'"
                    ):
                        self.assertEqual([name for name, rows in contents(target).items() if rows], [], self.seed)
                    ended += 1
                    continue
            honker("move", source.at, target.at)
            self.assertEqual(contents(target), before, self.seed)
            self.assertEqual(last_ids(target), ids, self.seed)
            jobs += len(before["live"])
            self.assertIn("HONKER_MOVED", honker("enqueue", "--db", source.at, "q", "p", code=1))
        took = time.monotonic() - started
        print(
            f"seed {self.seed}: {rounds} rounds, {kills} kills, {begun} of them left a move that had begun; "
            f"{ended} cancelled, {arrived} could not be; {jobs} jobs moved, none lost, none twice, in {took:.0f} s",
            file=sys.stderr,
        )

    def test_from_a_file(self):
        self.kills(lambda: self.file().make(), Server)

    def test_from_a_server(self):
        self.kills(Server, self.file)

    def test_a_target_that_goes_away(self):
        source, target = self.filled(self.file().make()), Server()
        source.run("""INSERT INTO _honker_live (queue, payload)
            WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
            SELECT 'q', 'job ' || n || hex(zeroblob(300)) FROM n""")
        before = contents(source)
        mover = self.start("move", source.at, target.at)
        # While it copies: its transaction has written.
        busy = """SELECT pid FROM pg_stat_activity
            WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()"""
        until(lambda: mover.poll() is not None or target.run(busy))
        target.psql(f"SELECT pg_terminate_backend(pid) FROM ({busy}) b")
        code, said = self.ended(mover)
        if code != 0:
            self.assertIn("run the same command again", said)
            self.assertEqual([name for name, rows in contents(target).items() if rows], [])
        honker("move", source.at, target.at)
        self.assertEqual(contents(target), before)

    def test_two_movers(self):
        source, target = self.filled(self.file().make()), Server()
        before = contents(source)
        movers = [self.start("move", source.at, target.at) for _ in range(3)]
        codes = [self.ended(mover)[0] for mover in movers]
        self.assertIn(0, codes)
        honker("move", source.at, target.at)
        self.assertEqual(contents(target), before)
