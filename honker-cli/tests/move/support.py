"""Files and databases to move, filled with everything there is, and what is in them."""

import itertools
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import unittest
import urllib.parse

HONKER = os.environ["HONKER"]
SERVER = os.environ.get("HONKER_POSTGRES_URL", "")
LONG = bool(os.environ.get("HONKER_TEST_LONG"))
# A bound for what should take a moment, on a machine that does much else.
PATIENCE_S = 120

TABLES = """live dead done job_options unique blocked slots steps results batches queues scheduler_tasks
  schedule_options stream stream_consumers streams notifications locks rate_limits settings""".split()
OWN_SETTINGS = "name <> 'move' AND name NOT LIKE 'move.%' AND name <> 'maintenance'"
COLUMNS = {"queues": "name, settings, window_start, window_count"}

_count = itertools.count()


def honker(*arguments, code=0, **options):
    """Runs the program; what it has printed."""
    done = subprocess.run(
        [HONKER, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE_S * 5, **options
    )
    if code is not None and done.returncode != code:
        raise AssertionError(
            f"honker {arguments} ended with {done.returncode}, not {code}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout + done.stderr if code != 0 else done.stdout


def until(what, message="it did not come to that"):
    """Waits for a condition; its value."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(message)


class File:
    """A file, and honker's functions on connections to it."""

    schema = "main."

    def __init__(self, folder, name=None):
        self.at = str(pathlib.Path(folder) / (name or f"file{next(_count)}.db"))

    def make(self):
        honker("migrate", "--create", self.at)
        return self

    def connect(self, plain=False):
        connection = sqlite3.connect(self.at, isolation_level=None, timeout=30)
        if not plain:
            connection.enable_load_extension(True)
            connection.load_extension(os.environ["HONKER_EXTENSION"].removesuffix(".so"))
        return connection

    def run(self, sql, *parameters):
        connection = self.connect()
        try:
            return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()

    def call(self, function, *arguments):
        places = ", ".join("?" * len(arguments))
        return self.run(f"SELECT {function}({places})", *arguments)[0][0]


class Server:
    """A database on the server."""

    schema = "honker."

    def __init__(self, schema=True):
        self.name = f"moved_{os.getpid()}_{next(_count)}"
        subprocess.run(["psql", "-qAt", SERVER, "-c", f"CREATE DATABASE {self.name}"], check=True)
        self.at = SERVER.replace("/postgres?", f"/{self.name}?", 1)
        if schema:
            honker("migrate", self.at)

    def make(self):
        return self

    def run(self, sql, *parameters):
        for value in parameters:
            sql = sql.replace("?", literal(value), 1)
        # Rows as JSON, so that texts may have whatever they have.
        if sql.split()[0] in ("SELECT", "WITH"):
            text = self.psql(f"SELECT coalesce(json_agg(to_json(rows)), '[]') FROM ({sql}) rows")
            return [tuple(row.values()) for row in json.loads(text)]
        self.psql(sql)
        return []

    def psql(self, sql, code=0):
        done = subprocess.run(
            ["psql", "-qAt", "-v", "ON_ERROR_STOP=1", self.at],
            input=f"SET search_path = honker, public;\n{sql};\n",
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        if code == 0 and done.returncode != 0:
            raise AssertionError(f"{sql}: {done.stderr}")
        return done.stdout if code == 0 else done.stderr

    def call(self, function, *arguments):
        return self.run(f"SELECT {function}({', '.join('?' * len(arguments))})", *arguments)[0][0]


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    return "'" + value.replace("'", "''") + "'"


def contents(of):
    """Everything that is moved, table by table, in the order of the keys."""
    found = {}
    for table in TABLES:
        only = f"WHERE {OWN_SETTINGS}" if table == "settings" else ""
        rows = of.run(f"SELECT {COLUMNS.get(table, '*')} FROM {of.schema}_honker_{table} {only} ORDER BY 1, 2")
        if table == "settings":
            rows = [(name, str(value)) for name, value in rows]
        found[table] = [tuple(row) for row in rows]
    return found


def last_ids(of):
    """The next id that each table would give."""
    if isinstance(of, File):
        rows = of.run("SELECT substr(name, 9), seq FROM sqlite_sequence WHERE name GLOB '_honker_*'")
    else:
        rows = of.run("SELECT name, last FROM _move_last_ids()")
    return {name: last for name, last in rows if last}


def fill(of):
    """Something in each table."""
    call = of.call
    batch = call(
        "honker_batch_create",
        json.dumps(
            {
                "on_finished": {"queue": "after", "payload": "finished", "options": {"priority": 3}},
                "on_success": {"queue": "after", "payload": "all well"},
            }
        ),
    )
    options = [
        {"priority": 5, "metadata": {"tenant": "ä 'quoted' \\ \n"}},
        {"delay_s": 86400, "unique_key": "only-one"},
        {"concurrency_key": "k"},
        {"concurrency_key": "k"},
        {"concurrency_key": "k"},
        {"batch_id": batch},
        {"batch_id": batch, "max_run_s": 60},
        {"expires_s": 90000, "max_attempts": 9},
    ]
    call(
        "honker_queue_configure",
        "emails",
        json.dumps({"concurrency_per_key": 1, "keep_done_s": 86400, "retry": {"base_s": 2}}),
    )
    call("honker_queue_configure", "slow", json.dumps({"rate": {"limit": 100, "per_s": 60}, "paused": False}))
    for option in options:
        call("honker_enqueue_with", "emails", json.dumps({"of": option}), json.dumps(option))
    call("honker_batch_seal", batch)
    for n in range(3):
        call("honker_enqueue", "slow", f"slow {n}")
    call("honker_claim_batch", "slow", "w", 1, 300)
    for name in ("done", "dead", "again"):
        call("honker_enqueue", "work", name)
    call("honker_queue_configure", "work", json.dumps({"keep_done_s": 86400}))
    done, dead, again = (job["id"] for job in json.loads(call("honker_claim_batch", "work", "w", 3, 300)))
    call("honker_step_save", again, "w", "first", '{"step": 1}')
    call("honker_ack", done, "w")
    call("honker_fail", dead, "w", "no such 'address'")
    call("honker_retry", again, "w", 0, "once more")
    call("honker_result_save", done, '{"answer": 42}', 0)
    call("honker_result_save", dead, "soon gone", 86400)
    for n in range(5):
        call("honker_stream_publish", "orders", f"key{n}" if n else None, f"event {n}")
        call("notify", "news", f"notification {n}")
    call("honker_stream_save_offset", "billing", "orders", 2)
    call("honker_stream_configure", "orders", '{"keep_n": 1000}')
    call("honker_notifications_configure", '{"keep_s": 864000}')
    call("honker_lock_acquire", "backup", "me", 86400)
    call("honker_rate_limit_try", "api", 10, 86400)
    honker("schedule", "add", "--db", of.at, "nightly", "reports", "0 3 * * *", '"go"', "--yes")
    honker(
        "schedule",
        "add",
        "--db",
        of.at,
        "often",
        "ticks",
        "@every 1s",
        '"tick"',
        "--priority",
        2,
        "--delay-s",
        1,
        "--yes",
    )
    honker("schedule", "pause", "--db", of.at, "nightly", "--yes")
    # What is claimed is settled; what holds a key of a limit goes back to it.
    for job in json.loads(call("honker_claim_batch", "emails", "w", 100, 300)):
        call("honker_release", job["id"], "w", 0)
    for job in of.run(f"SELECT id, worker_id FROM {of.schema}_honker_live WHERE state = 'processing'"):
        call("honker_release", job[0], job[1], 0)
    for name, priority in (("low", 1), ("high", 5), ("middle", 3)):
        call("honker_enqueue", "order", name, None, None, priority)
    # A claim that lapses keeps its slot.
    call("honker_queue_configure", "keyed", '{"concurrency_per_key": 1}')
    call("honker_enqueue_with", "keyed", "lapsed", '{"concurrency_key": "k"}')
    call("honker_claim_batch", "keyed", "w", 1, 1)
    lapsed = f"SELECT 1 AS one FROM {of.schema}_honker_live WHERE queue = 'keyed' AND claim_expires_at < "
    until(lambda: of.run(lapsed + str(int(time.time()) - 1)))
    return of


class Pooler:
    """PgBouncer before the server, which lends a connection for a transaction."""

    def __init__(self, folder):
        self.at = folder
        server = os.environ["HONKER_POSTGRES_FOLDER"]
        pathlib.Path(folder, "settings").write_text(
            f"[databases]\n* = host={server}\n"
            f"[pgbouncer]\nlisten_addr =\nunix_socket_dir = {folder}\nlisten_port = 6543\n"
            f"auth_type = trust\nauth_file = {folder}/users\npool_mode = transaction\ndefault_pool_size = 2\n"
        )
        pathlib.Path(folder, "users").write_text('"app" ""\n')
        # It does not run as root, and is whoever the server is.
        owner = os.stat(server)
        os.chmod(folder, 0o755)
        as_owner = {}
        if os.getuid() == 0:
            os.chown(folder, owner.st_uid, owner.st_gid)
            as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        self.process = subprocess.Popen(
            [pooler_program(), f"{folder}/settings"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_owner,
        )
        until(lambda: os.path.exists(f"{folder}/.s.PGSQL.6543"), "the pooler is there")

    def url(self, server):
        """Of a database behind it, with one to listen that is not."""
        folder = os.environ["HONKER_POSTGRES_FOLDER"]
        behind = server.at.replace(f"host={folder}", f"host={self.at}&port=6543")
        return f"{behind}&honker_listen={urllib.parse.quote(server.at, safe='')}"

    def end(self):
        self.process.kill()
        self.process.wait()


def pooler_program():
    """Where it is, if the server is one to be reached that way."""
    return "HONKER_POSTGRES_FOLDER" in os.environ and shutil.which(
        "pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin"
    )


class Moves(unittest.TestCase):
    """Tests with a folder, and what ends with them."""

    maxDiff = None

    def setUp(self):
        if not SERVER:
            self.skipTest("no server")
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def file(self, name=None):
        return File(self.folder, name)

    def start(self, *arguments, **options):
        """A program that runs until the end of the test."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        process = subprocess.Popen([HONKER, *map(str, arguments)], **options)

        def end():
            if process.poll() is None:
                process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def ended(self, process):
        out, err = process.communicate(timeout=PATIENCE_S)
        return process.returncode, out + err


def killed_after(seconds, *arguments):
    """Runs the program, and kills it after so long; whether it had ended before."""
    process = subprocess.Popen([HONKER, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return False
