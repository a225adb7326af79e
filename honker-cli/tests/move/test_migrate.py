"""`honker migrate`, and the other commands on a server."""

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import urllib.request

from support import PATIENCE_S, SERVER, Moves, Server, honker, until


def role(name):
    subprocess.run(["psql", "-qAt", SERVER, "-c", f"CREATE ROLE {name} LOGIN"], check=True)
    return name


class Migrate(Moves):
    def test_a_schema_is_installed_and_brought_up_to_date(self):
        server = Server(schema=False)
        self.assertIn("no schema honker", honker("stats", server.at, code=1))
        self.assertIn("installed, version", honker("migrate", server.at))
        server.psql("DROP FUNCTION honker_enqueue")
        self.assertIn("up to date", honker("migrate", server.at))
        honker("enqueue", "--db", server.at, "q", "p")

    def test_create_installs_it(self):
        server = Server(schema=False)
        honker("enqueue", "--db", server.at, "--create", "q", "p")
        self.assertEqual(server.run("SELECT payload FROM honker._honker_live"), [("p",)])

    def test_the_search_path_of_a_database_and_of_a_role(self):
        # The server's own user finds its schema, which has the same name, by "$user".
        server = Server()
        web, other = role(f"web_{server.name}"), role(f"other_{server.name}")
        as_web, as_other = (server.at.replace("user=app", f"user={name}") for name in (web, other))

        def plain(url):
            command = ["psql", "-qAt", url, "-c", "SELECT honker_enqueue('q', 'p')"]
            return subprocess.run(command, capture_output=True, text=True)

        honker("migrate", server.at, "--grant", f"{web}=enqueue", "--grant", f"{other}=enqueue")
        self.assertIn("does not exist", plain(as_web).stderr)
        honker("migrate", server.at, "--search-path", "--role", web)
        self.assertEqual(plain(as_web).stdout.strip(), "1")
        self.assertIn("does not exist", plain(as_other).stderr)
        server.psql(f"ALTER DATABASE {server.name} SET search_path = public, pg_temp")
        for _ in range(2):
            honker("migrate", server.at, "--search-path")
        self.assertEqual(plain(as_other).stdout.strip(), "2")
        (setting,) = server.run(
            "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase "
            "WHERE d.datname = current_database() AND s.setrole = 0"
        )
        self.assertEqual(setting, (["search_path=public, pg_temp, honker"],))
        self.assertIn(
            "permission denied",
            subprocess.run(
                ["psql", "-qAt", as_web, "-c", "SELECT honker_claim_batch('q', 'w', 1, 60)"],
                capture_output=True,
                text=True,
            ).stderr,
        )
        server.psql(f"DROP OWNED BY {web}, {other}")

    def test_the_sql_is_printed(self):
        server = Server(schema=False)
        sql = honker("migrate", "--print", "--search-path")
        subprocess.run(
            ["psql", "-q1", "-v", "ON_ERROR_STOP=1", server.at],
            input=sql,
            text=True,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        honker("enqueue", "--db", server.at, "q", "p")

    def test_a_file(self):
        file = self.file()
        honker("migrate", file.at, code=3)
        self.assertRegex(honker("migrate", "--create", file.at), "brought up to date, version [0-9]")
        self.assertRegex(honker("migrate", file.at), "up to date, version [0-9]")
        honker("migrate", file.at, "--search-path", code=2)
        honker("migrate", file.at, "--grant", "web=all", code=2)


class OnAServer(Moves):
    """Each command does on a server what it does on a file."""

    def test_they_say_and_do_the_same(self):
        answers = []
        for of in (self.file().make(), Server()):
            db = ("--db", of.at)

            def run(*arguments, db=db, **options):
                return honker(*arguments, *db, **options)

            said = [
                run("enqueue", "emails", "one", "--priority", 3, "--metadata", "a=b"),
                run("enqueue", "emails", "two", "--unique-key", "k"),
                run("enqueue", "emails", "three", "--delay-s", 1000),
                run("notify", "news", "hello"),
                run("publish", "orders", "event"),
                run("publish", "orders", "event 2"),
                run("tail", "orders", "--no-follow"),
                run("tail", "orders", "--no-follow", "--consumer", "me"),
                run("schedule", "add", "nightly", "reports", "0 3 * * *", "go", "--yes"),
                run("schedule", "run-now", "nightly", "--yes"),
                run("schedule", "pause", "nightly", "--yes"),
                run("limit", "emails", "--concurrency", 5, "--yes"),
                run("pause", "emails", "--yes"),
                run("resume", "emails", "--yes"),
            ]
            failing = [
                "run",
                *db,
                "--queue",
                "emails",
                "--until-empty",
                "--quiet",
                "--",
                "sh",
                "-c",
                "echo no such address >&2; exit 65",
            ]
            honker(*failing)
            for command in ("stats", "queues", "jobs", "dead", "schedules", "streams", "locks"):
                found = json.loads(run(command, "--json"))
                # Those of a process come to a server later, or not at all if it ends at once.
                for queue in found if command == "stats" else ():
                    for name in ("counts", "wait", "run"):
                        del queue[name]
                said.append(found)
                self.assertTrue(run(command))
            said += [json.loads(run("dead", "--groups", "--json")), run("job", 1).count("\n")]
            said.append(run("jobs", "retry", "--all", "--yes"))
            said.append(run("jobs", "cancel", "--queue", "emails", "--state", "delayed", "--yes"))
            said.append(run("jobs", "move", "--queue", "emails", "--to", "letters", "--yes"))
            honker("run", *db, "--queue", "letters", "--until-empty", "--quiet", "--", "true")
            said.append(run("jobs", "delete", "--all", "--yes"))
            said.append(run("prune", "--notifications-keep", 0).splitlines()[:2])
            said.append(honker("result", 1, *db, code=3))
            honker("schedule", "rm", "nightly", *db, "--yes")
            said.append(json.loads(run("schedules", "--json")))
            answers.append(json.dumps(said, indent=1))
        # Moments differ.
        steady = [re.sub(r'"[a-z_]*(_at|age_s)": [^\n]*', "", re.sub(r"[0-9]{10}", "", text)) for text in answers]
        self.assertEqual(*steady)

    def test_doctor(self):
        server = Server()
        found = json.loads(honker("doctor", server.at, "--json"))
        self.assertIn({"check": "move", "level": "ok", "found": "everything stays here", "advice": None}, found)
        self.assertEqual([finding for finding in found if finding["level"] not in ("ok", "note")], [])
        honker("move", server.at, self.file().at)
        self.assertIn("this database has moved to", honker("doctor", server.at, code=1))
        self.assertIn("no schema honker", honker("doctor", Server(schema=False).at, code=1))

    def test_top(self):
        server = Server()
        honker("enqueue", "--db", server.at, "emails", "p")
        keys, terminal = pty.openpty()
        self.addCleanup(os.close, keys)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        top = self.start(
            "top", server.at + "&password=geheim", stdin=terminal, stdout=terminal, env=os.environ | {"TERM": "xterm"}
        )
        os.close(terminal)
        shown = bytearray()

        def shows(what):
            while select.select([keys], [], [], 0)[0]:
                shown.extend(os.read(keys, 65536))
            return what in shown

        until(lambda: shows(b"emails"), "it shows what there is")
        # It moves with the commits of others.
        server.call("honker_enqueue", "thumbnails", "p")
        until(lambda: shows(b"thumbnails"), "it shows what comes")
        # The first queue is paused, after a question.
        os.write(keys, b"p")
        until(lambda: shows(b"y/n"))
        os.write(keys, b"y")
        until(lambda: json.loads(server.call("honker_queue_settings", "emails"))["paused"], "it is paused")
        os.write(keys, b"q")
        self.assertEqual(top.wait(PATIENCE_S), 0)
        self.assertNotIn(b"geheim", shown)

    def test_the_page(self):
        server = Server()
        honker("enqueue", "--db", server.at, "emails", "p")
        serve = self.start("serve", server.at + "&password=geheim", "--listen", "127.0.0.1:0", "--write")
        at = serve.stdout.readline().strip()

        def get(path):
            return urllib.request.urlopen(at + path, timeout=60).read().decode()

        overview = get("api/overview")
        self.assertIn('"emails"', overview)
        for path in ("api/jobs", "api/dead", "api/schedules", "api/streams", "api/locks", "metrics", "healthz", ""):
            self.assertNotIn("geheim", get(path), path)
        self.assertIn('honker_jobs{queue="emails",state="due"} 1', get("metrics"))
        server.call("honker_enqueue", "emails", "another")
        until(lambda: 'state="due"} 2' in get("metrics"))
        serve.terminate()
        code, said = self.ended(serve)
        self.assertNotIn("geheim", said)
