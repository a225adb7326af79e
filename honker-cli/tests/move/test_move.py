"""What is moved, what may still be done meanwhile, and who is told."""

import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import tempfile

from support import (
    HONKER,
    LONG,
    PATIENCE_S,
    File,
    Moves,
    Pooler,
    Server,
    contents,
    fill,
    honker,
    last_ids,
    pooler_program,
    until,
)

MOVED = "HONKER_MOVED"


def claim_all(of, queue):
    return [job["payload"] for job in json.loads(of.call("honker_claim_batch", queue, "w", 100, 300))]


class WhatIsMoved(Moves):
    def test_everything_there_and_back_again(self):
        start = fill(self.file().make())
        before, ids = contents(start), last_ids(start)
        self.assertEqual([name for name, rows in before.items() if not rows], [], "each table has something")
        server = Server(schema=False)
        report = json.loads(honker("move", start.at, server.at, "--json"))
        self.assertEqual(contents(server), before)
        self.assertEqual(last_ids(server), ids)
        self.assertEqual({name: n for name, n in report["tables"]}, {name: len(rows) for name, rows in before.items()})
        self.assertEqual(
            server.run("SELECT is_limited, keep_done_s, rate_limit FROM honker._honker_queues ORDER BY name"),
            [(True, 86400, None), (True, 0, None), (True, 0, 100), (False, 86400, None)],
        )
        # The source is as it was, and closed.
        self.assertEqual(contents(start), before)
        back = self.file()
        honker("move", server.at, back.at)
        self.assertEqual(contents(back), before)
        self.assertEqual(last_ids(back), ids)
        self.assertEqual(
            back.run("SELECT min_version FROM _honker_schema"), start.run("SELECT min_version FROM _honker_schema")
        )
        again = Server()
        honker("move", back.at, again.at)
        self.assertEqual(contents(again), before)

    def works_on(self, of):
        """What was moved goes on as if it had not been."""
        self.assertIn("priority", claim_all(of, "emails")[0])
        self.assertEqual(claim_all(of, "order"), ["high", "middle", "low"])
        self.assertEqual(sorted(claim_all(of, "slow")), ["slow 0", "slow 1", "slow 2"])
        self.assertEqual(claim_all(of, "keyed"), ["lapsed"])
        self.assertEqual(of.call("honker_enqueue", "work", "new"), last_ids(of)["live"])
        taken = json.loads(of.call("honker_enqueue_with", "emails", "twice", '{"unique_key": "only-one"}'))
        self.assertEqual(taken["status"], "exists")
        (again,) = [job for job in json.loads(of.call("honker_claim_batch", "work", "w", 1, 300))]
        self.assertEqual((again["payload"], again["attempts"]), ("again", 2))
        self.assertEqual(of.call("honker_step_get", again["id"], "first"), '{"step": 1}')
        self.assertEqual(of.call("honker_ack", again["id"], "w"), 1)
        # The batch completes, and calls back; keys are freed one after the other.
        for _ in range(20):
            for job in of.run(
                f"SELECT id, worker_id FROM {of.schema}_honker_live WHERE state = 'processing' AND queue = 'emails'"
            ):
                self.assertEqual(of.call("honker_ack", job[0], job[1]), 1)
            if not claim_all(of, "emails"):
                break
        self.assertEqual(sorted(claim_all(of, "after")), ["all well", "finished"])
        (left,) = of.run(f"SELECT state FROM {of.schema}_honker_live WHERE queue = 'emails'")
        self.assertEqual(left, ("pending",), "the one that is delayed")
        event = json.loads(
            of.call("honker_stream_read_since", "orders", of.call("honker_stream_get_offset", "billing", "orders"), 1)
        )
        self.assertEqual(event[0]["payload"], "event 2")
        self.assertEqual(of.call("honker_stream_publish", "orders", None, "next"), 6)
        self.assertEqual(of.call("notify", "news", "next"), 6)
        self.assertEqual(of.call("honker_lock_acquire", "backup", "you", 60), 0)
        (done,) = of.run(f"SELECT id FROM {of.schema}_honker_done WHERE payload = 'done'")
        self.assertEqual(honker("result", "--db", of.at, done[0]).strip(), '{"answer": 42}')
        leader = self.start("schedule-leader", "--db", of.at)
        until(
            lambda: of.run(f"SELECT 1 AS one FROM {of.schema}_honker_live WHERE queue = 'ticks'"), "the schedule fires"
        )
        leader.terminate()
        self.assertEqual(self.ended(leader)[0], 0)
        self.assertEqual(
            of.run(f"SELECT enabled FROM {of.schema}_honker_scheduler_tasks WHERE name = 'nightly'"), [(0,)]
        )

    def test_a_server_goes_on_where_the_file_was(self):
        source, target = fill(self.file().make()), Server()
        honker("move", source.at, target.at)
        self.works_on(target)

    def test_a_file_goes_on_where_the_server_was(self):
        source, target = fill(Server()), self.file()
        before = contents(source)
        honker("move", source.at, target.at)
        self.assertEqual(contents(target), before)
        self.works_on(target)

    def test_many_jobs(self):
        n = 100_000 if LONG else 5_000
        source, target = self.file().make(), Server()
        source.run(
            """WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)
            INSERT INTO _honker_live (queue, payload, priority) SELECT 'q', 'job ' || n, n % 7 FROM n""",
            n,
        )
        source.run("UPDATE _honker_live SET payload = hex(zeroblob(2000000)) WHERE id IN (17, 18)")
        before = contents(source)["live"]
        print(honker("move", source.at, target.at).splitlines()[-1].split(": ")[-1], f"({n} jobs)")
        self.assertEqual(contents(target)["live"], before)

    def test_long_rows_after_short_ones_need_no_more_memory(self):
        source, target = self.file().make(), Server()
        rows = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)"
        source.run(f"INSERT INTO _honker_live (queue, payload) {rows} SELECT 'q', 'short' FROM n", 3000)
        source.run(f"INSERT INTO _honker_live (queue, payload) {rows} SELECT 'q', hex(zeroblob(500000)) FROM n", 100)
        mover = subprocess.Popen([HONKER, "move", source.at, target.at], stdout=subprocess.DEVNULL)
        _, code, used = os.wait4(mover.pid, 0)
        mover.returncode = code
        self.assertEqual(code, 0)
        self.assertEqual(target.run("SELECT count(*), sum(length(payload)) FROM _honker_live"), [(3100, 100015000)])
        # All of it is 100 MB, which were there several times at once.
        self.assertLess(used.ru_maxrss, 150_000)


class BehindAPooler(Moves):
    def setUp(self):
        super().setUp()
        if not pooler_program():
            self.skipTest("no pgbouncer")
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(folder.cleanup)
        self.pooler = Pooler(folder.name)
        self.addCleanup(self.pooler.end)

    def test_there_and_back_again(self):
        source, server, back = fill(self.file().make()), Server(schema=False), self.file()
        before, ids = contents(source), last_ids(source)
        url = self.pooler.url(server)
        honker("move", source.at, url)
        self.assertEqual((contents(server), last_ids(server)), (before, ids))
        self.assertIn("are one database", honker("move", server.at, url, code=1))
        worker = self.start("run", "--db", url, "--queue", "none", "--", "true")
        until(lambda: server.run("SELECT 1 AS one FROM _honker_listeners"), "the worker waits")
        job = server.call("honker_enqueue", "held", "in flight")
        server.call("honker_claim_batch", "held", "w", 1, 3600)
        mover = self.start("move", url, back.at)
        until(lambda: server.run("SELECT 1 AS one FROM _honker_settings WHERE name = 'move'"))
        code, said = self.ended(worker)
        self.assertEqual(code, 1, said)
        self.assertIn(MOVED, said)
        mover.kill()
        mover.wait()
        honker("move", url, back.at, "--cancel")
        mover = self.start("move", url, back.at)
        until(lambda: server.run("SELECT 1 AS one FROM _honker_settings WHERE name = 'move'"))
        self.assertEqual(server.call("honker_ack", job, "w"), 1)
        self.assertEqual(self.ended(mover)[0], 0)
        self.assertEqual(contents(back), before)


class Durability(Moves):
    """What one side has said is on its disk before the other one relies on it, whatever is set for others."""

    def test_of_files(self):
        if not shutil.which("strace"):
            self.skipTest("no strace")
        source, target = self.file().make(), self.file().make()
        source.call("honker_enqueue", "q", "p")
        trace = os.path.join(self.folder, "trace")
        command = [
            "strace",
            "-f",
            "-y",
            "-o",
            trace,
            "-e",
            "trace=fsync,fdatasync",
            HONKER,
            "move",
            source.at,
            target.at,
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
        # Beside the log's one at the end: the source began, was closed and has moved; the target was filled.
        synced = re.findall(r"sync\(\d+<([^>]*)>", pathlib.Path(trace).read_text())
        self.assertGreaterEqual(synced.count(f"{source.at}-wal"), 3, synced)
        self.assertGreaterEqual(synced.count(f"{target.at}-wal"), 2, synced)

    def test_of_servers(self):
        source, target = Server(), Server()
        source.call("honker_enqueue", "q", "p")
        for of in (source, target):
            of.psql(f"""ALTER DATABASE {of.name} SET synchronous_commit = off;
                CREATE TABLE public.said (setting text);
                CREATE FUNCTION public.says() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                  INSERT INTO public.said VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
                CREATE CONSTRAINT TRIGGER says AFTER INSERT OR UPDATE ON _honker_settings DEFERRABLE INITIALLY DEFERRED
                  FOR EACH ROW EXECUTE FUNCTION public.says()""")
        honker("move", source.at, target.at)
        self.assertEqual(source.run("SELECT setting FROM public.said"), [("on",)] * 3)
        self.assertEqual(set(target.run("SELECT setting FROM public.said")), {("on",)})


class Meanwhile(Moves):
    """What runs may end; nothing else is begun."""

    def begun(self, source, target, *options):
        """A move that waits for a job that is claimed."""
        source.call("honker_enqueue", "held", "in flight")
        (job,) = json.loads(source.call("honker_claim_batch", "held", "w", 1, 3600))
        mover = self.start("move", source.at, target.at, *options)
        until(lambda: source.run(f"SELECT 1 AS one FROM {source.schema}_honker_settings WHERE name = 'move'"))
        return mover, job["id"]

    def refused(self, of, sql):
        if isinstance(of, File):
            with self.assertRaises(sqlite3.Error) as refused:
                of.run(sql)
            text = str(refused.exception)
        else:
            text = of.psql(sql, code=3)
        self.assertIn(MOVED, text, sql)
        return text

    def stops_whoever_writes(self, source, target):
        source.call("honker_stream_publish", "orders", None, "an event")
        source.call("honker_enqueue", "waiting", "claim me not")
        batch = source.call("honker_batch_create", '{"on_success": {"queue": "after", "payload": "called back"}}')
        member = json.loads(source.call("honker_enqueue_with", "held", "member", json.dumps({"batch_id": batch})))["id"]
        source.call("honker_batch_seal", batch)
        source.call("honker_claim_batch", "held", "w", 1, 3600)
        mover, held = self.begun(source, target)
        name = "HONKER_MOVED: this database is being moved to"
        for sql in (
            "SELECT honker_enqueue('q', 'p')",
            "SELECT honker_stream_publish('t', NULL, 'p')",
            "SELECT notify('c', 'p')",
            "SELECT honker_claim_batch('waiting', 'w', 1, 60)",
            "SELECT honker_claim_batch('empty', 'w', 1, 60)",
            "SELECT honker_lock_acquire('l', 'me', 60)",
            "SELECT honker_rate_limit_try('r', 1, 60)",
            "SELECT honker_batch_create('{}')",
            """SELECT honker_queue_configure('q', '{"concurrency": 1}')""",
            "SELECT honker_scheduler_unregister('s')"
            if source.run(f"SELECT 1 AS one FROM {source.schema}_honker_scheduler_tasks")
            else "SELECT honker_enqueue('q', 'p')",
            f"INSERT INTO {source.schema}_honker_live (queue, payload) VALUES ('q', 'p')",
            f"UPDATE {source.schema}_honker_live SET state = 'processing', worker_id = 'me' WHERE state = 'pending'",
        ):
            self.assertIn(name, self.refused(source, sql))
        self.assertIn(MOVED, honker("enqueue", "--db", source.at, "q", "p", code=1))
        # What runs may end, and say what it has to say.
        self.assertEqual(source.call("honker_heartbeat", held, "w", 3600), 1)
        source.call("honker_step_save", held, "w", "step", "1")
        source.call("honker_result_save", held, "a result", 0)
        source.call("honker_stream_save_offset", "reader", "orders", 1)
        self.assertEqual(source.call("honker_ack", member, "w"), 1)
        self.assertIsNone(mover.poll())
        self.assertEqual(source.call("honker_retry", held, "w", 0, "later"), 1)
        code, said = self.ended(mover)
        self.assertEqual(code, 0, said)
        self.assertIn("waiting for", said)
        self.assertEqual(contents(target), contents(source))
        self.assertEqual(
            target.run(f"SELECT payload FROM {target.schema}_honker_live ORDER BY payload"),
            [("called back",), ("claim me not",), ("in flight",)],
        )
        self.assertEqual(honker("result", "--db", target.at, held).strip(), "a result")
        # And now nothing at all.
        for table in contents(source):
            at = f"{source.schema}_honker_{table}"
            if table != "settings" and source.run(f"SELECT 1 AS one FROM {at} LIMIT 1"):
                self.assertIn("has moved to", self.refused(source, f"DELETE FROM {at}"))
        self.assertIn("has moved to", self.refused(source, "SELECT honker_enqueue('q', 'p')"))
        honker("move", source.at, target.at)
        honker("move", source.at, target.at, "--cancel", code=1)

    def test_a_file_stops_whoever_writes(self):
        self.stops_whoever_writes(self.file().make(), Server())

    def test_a_server_stops_whoever_writes(self):
        self.stops_whoever_writes(Server(), self.file())

    def test_plain_sql_without_honker_is_stopped(self):
        source, target = self.file().make(), Server()
        source.call("honker_enqueue", "q", "p")
        honker("move", source.at, target.at)
        for sql in (
            "INSERT INTO _honker_live (queue, payload) VALUES ('q', 'p')",
            "DELETE FROM _honker_live",
            "INSERT INTO _honker_notifications (channel, payload) VALUES ('c', 'p')",
        ):
            with self.assertRaises(sqlite3.IntegrityError) as refused:
                source.connect(plain=True).execute(sql)
            self.assertIn(f"{MOVED}: this database has moved to", str(refused.exception))

    def test_claims_are_given_back_at_once(self):
        for source, target in ((self.file().make(), Server()), (Server(), self.file())):
            mover, held = self.begun(source, target)
            mover.kill()
            mover.wait()
            honker("move", source.at, target.at, "--now")
            self.assertEqual(source.call("honker_ack", held, "w"), 0)
            (job,) = json.loads(target.call("honker_claim_batch", "held", "other", 1, 60))
            self.assertEqual((job["id"], job["attempts"]), (held, 1))

    def test_a_claim_lapses(self):
        source, target = self.file().make(), Server()
        source.call("honker_enqueue", "held", "in flight")
        source.call("honker_claim_batch", "held", "w", 1, 2)
        honker("move", source.at, target.at)
        self.assertEqual(claim_all(target, "held"), ["in flight"])

    def tells_programs(self, source, target):
        worker = self.start("run", "--db", source.at, "--queue", "q", "--", "true")
        leader = self.start("schedule-leader", "--db", source.at)
        reader = self.start("tail", "--db", source.at, "orders")
        listener = self.start("listen", "--db", source.at, "news")
        waiter = self.start("result", "--db", source.at, "--wait", source.call("honker_enqueue", "nobody", "p"))
        job = source.call("honker_enqueue", "q", "first")
        until(
            lambda: not source.run(f"SELECT 1 AS one FROM {source.schema}_honker_live WHERE id = {job}"),
            "the worker works",
        )
        honker("move", source.at, target.at)
        for program in (worker, leader, reader, listener, waiter):
            code, said = self.ended(program)
            self.assertEqual(code, 1, said)
            self.assertIn(f"{MOVED}: this database", said)
            self.assertIn(f"/{target.name} " if isinstance(target, Server) else target.at, said)

    def test_programs_on_a_file_are_told(self):
        self.tells_programs(self.file().make(), Server())

    def test_programs_on_a_server_are_told(self):
        self.tells_programs(Server(), self.file())

    def ends_its_job(self, source, target):
        gate = os.path.join(self.folder, f"gate{isinstance(source, Server)}")
        done = source.call("honker_enqueue", "q", "runs")
        source.call("honker_enqueue", "q", "waits")
        worker = self.start(
            "run",
            "--db",
            source.at,
            "--queue",
            "q",
            "--",
            "sh",
            "-c",
            f"while [ ! -e {gate} ]; do sleep 0.05; done",
        )
        until(lambda: source.run(f"SELECT 1 AS one FROM {source.schema}_honker_live WHERE state = 'processing'"))
        mover = self.start("move", source.at, target.at)
        until(lambda: source.run(f"SELECT 1 AS one FROM {source.schema}_honker_settings WHERE name = 'move'"))
        self.assertIsNone(worker.poll())
        open(gate, "w").close()
        self.assertEqual(self.ended(mover)[0], 0)
        code, said = self.ended(worker)
        self.assertEqual(code, 1, said)
        self.assertIn(MOVED, said)
        self.assertEqual(target.run(f"SELECT payload FROM {target.schema}_honker_live"), [("waits",)], done)

    def test_a_worker_on_a_file_ends_its_job_first(self):
        self.ends_its_job(self.file().make(), Server())

    def test_a_worker_on_a_server_ends_its_job_first(self):
        self.ends_its_job(Server(), self.file())


class Refusals(Moves):
    def test_a_target_that_holds_anything(self):
        for make in (
            "SELECT honker_enqueue('q', 'p')",
            "SELECT notify('c', 'p')",
            "SELECT honker_lock_acquire('l', 'm', 1)",
        ):
            for source, target in ((self.file().make(), Server()), (Server(), self.file().make())):
                target.run(make)
                said = honker("move", source.at, target.at, code=1)
                self.assertIn("is not empty", said)
                # Nothing has happened to the source.
                self.assertTrue(source.call("honker_enqueue", "q", "p"))

    def test_a_row_that_a_server_does_not_take(self):
        source, target = self.file().make(), Server()
        source.run("INSERT INTO _honker_live (queue, payload) VALUES ('q', x'00ff')")
        source.run("INSERT INTO _honker_dead (id, queue, payload) VALUES (9, 'q', 'a' || char(0))")
        self.assertIn("_honker_live with id 1 cannot be moved", honker("move", source.at, target.at, code=1))
        source.run("DELETE FROM _honker_live")
        self.assertIn("_honker_dead with id 9 cannot be moved", honker("move", source.at, target.at, code=1))
        source.run("DELETE FROM _honker_dead")
        name = "".join(f"{n:04}" for n in range(1000))
        source.run("INSERT INTO _honker_stream_consumers (name, topic) VALUES (?, ?)", name[:1500], name[1500:])
        self.assertIn("its names have 4000 bytes", honker("move", source.at, target.at, code=1))
        source.run("DELETE FROM _honker_stream_consumers")
        for settings in ("{", "[]", '{"concurrency": "many"}', '{"rate": {"limit": 0.5}}', '{"new": "\\u0000"}'):
            source.run("INSERT INTO _honker_queues (name, settings) VALUES ('q', ?)", settings)
            said = honker("move", source.at, target.at, code=1)
            self.assertIn("_honker_queues with name 'q' cannot be moved", said)
            source.run("DELETE FROM _honker_queues")
        # Nothing has begun yet.
        source.call("honker_enqueue", "q" * 2650, "p")
        honker("move", source.at, target.at)

    def test_a_text_that_is_no_utf8_is_not_changed_silently(self):
        for target in (self.file(), Server()):
            source = self.file().make()
            source.run("INSERT INTO _honker_live (queue, payload) VALUES ('q', CAST(x'61ff62' AS TEXT))")
            said = honker("move", source.at, target.at, code=1)
            self.assertIn("_honker_live with id 1 cannot be moved: a text of it is no UTF-8", said)
            source.run("UPDATE _honker_live SET payload = ?", "a replacement \ufffd of its own")
            source.run("INSERT INTO _honker_dead (id, queue, payload) VALUES (9, CAST(x'ff' AS TEXT), 'p')")
            self.assertIn("_honker_dead with id 9", honker("move", source.at, target.at, code=1))
            source.run("DELETE FROM _honker_dead")
            source.run("INSERT INTO _honker_locks (name, owner, expires_at) VALUES (CAST(x'ff' AS TEXT), 'p', 1)")
            self.assertIn("is no UTF-8", honker("move", source.at, target.at, code=1))
            source.run("DELETE FROM _honker_locks")
            honker("move", source.at, target.at)
            self.assertEqual(contents(target), contents(source))

    def test_one_database_by_two_names(self):
        source = self.file().make()
        os.link(source.at, os.path.join(self.folder, "hard.db"))
        os.symlink(source.at, os.path.join(self.folder, "soft.db"))
        for name in ("hard.db", "soft.db", source.at):
            self.assertIn("are one file", honker("move", source.at, os.path.join(self.folder, name), code=2))
        source.call("honker_enqueue", "q", "p")
        server = Server()
        other = f"other_{server.name}"
        server.psql(f"CREATE ROLE {other} SUPERUSER LOGIN")
        for url in (server.at, server.at.replace("user=app", f"user={other}"), server.at + "&port=5432"):
            self.assertIn("are one database", honker("move", server.at, url, code=1))
        # By names that do not say so.
        host = server.at.split("host=")[1].split("&")[0]
        url = server.at.replace(f"host={host}", f"host={host}/.")
        self.assertIn("are one database", honker("move", server.at, url, code=1))
        server.call("honker_enqueue", "q", "p")
        honker("move", source.at, server.at, code=1)
        honker("move", server.at, Server().at)

    def test_a_trigger_of_the_target_keeps_a_job_out(self):
        file, server = self.file().make(), Server()
        file.run(
            "CREATE TRIGGER keep BEFORE INSERT ON _honker_live BEGIN SELECT RAISE(IGNORE) WHERE NEW.payload = 'p2'; END"
        )
        server.psql("""CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
              RETURN CASE WHEN NEW.payload <> 'p2' THEN NEW END; END $$;
            CREATE TRIGGER keep BEFORE INSERT ON _honker_live FOR EACH ROW EXECUTE FUNCTION public.keep()""")
        for target, drop in ((file, "DROP TRIGGER keep"), (server, "DROP TRIGGER keep ON _honker_live")):
            source = self.file().make()
            for n in range(5):
                source.call("honker_enqueue", "q", f"p{n}")
            said = honker("move", source.at, target.at, code=1)
            self.assertIn("4 of 5 rows are in _honker_live", said)
            self.assertEqual([name for name, rows in contents(target).items() if rows], [])
            target.run(drop)
            honker("move", source.at, target.at)
            self.assertEqual(contents(target), contents(source))

    def test_whoever_may_not_fill_the_target_begins_nothing_and_another_user_goes_on(self):
        source, target = self.file().make(), Server()
        worker, admin = (f"{level}_{target.name}" for level in ("work", "admin"))
        target.psql(f"CREATE ROLE {worker} LOGIN; CREATE ROLE {admin} LOGIN")
        honker("migrate", target.at, "--grant", f"{worker}=work", "--grant", f"{admin}=admin")
        as_worker, as_admin = (target.at.replace("user=app", f"user={name}") for name in (worker, admin))
        said = honker("move", source.at, as_worker, code=1)
        self.assertIn("permission denied", said)
        self.assertNotIn("has begun", said)
        source.call("honker_enqueue", "held", "in flight")
        source.call("honker_claim_batch", "held", "w", 1, 3600)
        mover = self.start("move", source.at, target.at)
        until(lambda: source.run("SELECT 1 FROM _honker_settings WHERE name = 'move'"))
        mover.kill()
        mover.wait()
        honker("move", source.at, as_admin, "--now")
        self.assertEqual(contents(target), contents(source))
        # And back.
        back = self.file()
        honker("move", as_admin, back.at)
        self.assertEqual(contents(back), contents(source))
        target.psql(f"DROP OWNED BY {worker}, {admin}")

    def test_programs_that_are_at_the_target_already(self):
        source, target = self.file().make(), Server()
        target.call("honker_lock_acquire", "honker-scheduler", "somebody", 60)
        said = honker("move", source.at, target.at, code=1)
        self.assertIn("_honker_locks has a row (programs work there only once the move is done)", said)

    def test_another_target_than_before(self):
        source, target, other = self.file().make(), Server(), Server()
        source.call("honker_enqueue", "held", "in flight")
        source.call("honker_claim_batch", "held", "w", 1, 3600)
        mover = self.start("move", source.at, target.at)
        until(lambda: source.run("SELECT 1 FROM _honker_settings WHERE name = 'move'"))
        mover.kill()
        mover.wait()
        for option in ((), ("--cancel",)):
            self.assertIn("is being moved to", honker("move", source.at, other.at, *option, code=1))
        honker("move", source.at, target.at, "--cancel")
        self.assertTrue(source.call("honker_enqueue", "q", "p"))
        self.assertEqual(source.run("SELECT name FROM sqlite_master WHERE type = 'trigger'"), [])
        honker("move", source.at, other.at, "--now")

    def test_nothing_to_cancel(self):
        self.assertIn("not being moved", honker("move", self.file().make().at, Server().at, "--cancel", code=1))

    def test_a_target_that_is_not_there_is_not_made_to_be_asked(self):
        source, target = self.file().make(), self.file()
        self.assertIn("is not there to be asked", honker("move", source.at, target.at, "--cancel", code=3))
        self.assertFalse(os.path.exists(target.at))

    def test_a_target_that_cannot_be_asked(self):
        source, target = self.file().make(), Server()
        source.call("honker_enqueue", "held", "in flight")
        source.call("honker_claim_batch", "held", "w", 1, 3600)
        mover = self.start("move", source.at, target.at)
        until(lambda: source.run("SELECT 1 FROM _honker_settings WHERE name = 'move'"))
        mover.kill()
        mover.wait()
        away = target.at.replace(target.name, target.name + "_away")
        subprocess.run(
            [
                "psql",
                "-qAt",
                target.at.replace(target.name, "postgres"),
                "-c",
                f"ALTER DATABASE {target.name} RENAME TO {target.name}_away",
            ],
            check=True,
        )
        honker("move", source.at, target.at, "--cancel", code=1)
        self.assertIn(MOVED, honker("enqueue", "--db", source.at, "q", "p", code=1))
        subprocess.run(
            [
                "psql",
                "-qAt",
                away.replace(f"{target.name}_away", "postgres"),
                "-c",
                f"ALTER DATABASE {target.name}_away RENAME TO {target.name}",
            ],
            check=True,
        )
        honker("move", source.at, target.at, "--cancel")
        honker("enqueue", "--db", source.at, "q", "p")


class Secrets(Moves):
    def test_a_password_is_nowhere(self):
        source = self.file().make()
        url = "postgres://me:geheim@127.0.0.1:1/app?password=geheim&connect_timeout=1"
        for command in (
            ["move", source.at, url],
            ["move", url, source.at],
            ["stats", url],
            ["stats", f"--db={url}"],
            ["migrate", url],
            ["doctor", url],
            ["stats", "--nope", url],
            ["enqueue", "--db", url, "q", "p"],
            ["stats", url + "&nope=geheim"],
            ["stats", url, "--db", url],
        ):
            done = subprocess.run([HONKER, *command], capture_output=True, text=True, timeout=PATIENCE_S)
            self.assertNotEqual(done.returncode, 0, command)
            self.assertNotIn("geheim", done.stdout + done.stderr, command)

    def test_a_password_is_not_among_the_arguments_of_a_process(self):
        server = Server()
        url = server.at + "&password=geheim"
        listener = self.start("listen", "--db", url, "news")
        shown = pathlib.Path(f"/proc/{listener.pid}/cmdline")
        until(lambda: f"/{server.name}" in shown.read_text() and "geheim" not in shown.read_text())
        server.call("notify", "news", "nobody may be there yet")
        shown = self.start(
            "run", "--db", url, "--queue", "q", "--until-empty", "--", "sh", "-c", "env | grep -c CONCEALED; exit 0"
        )
        self.assertEqual(self.ended(shown)[0], 0)
