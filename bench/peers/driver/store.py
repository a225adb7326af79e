"""Where a peer keeps its jobs: a folder with a file of SQLite, a database of Postgres, or a server of Redis.

The servers are started here, in a temporary folder and by a user without rights, and listen on a Unix socket and on the
loopback interface. What is looked at from outside, whatever the peer, is the application's own data: the tables
`orders` and `appended`, or lists of these names.
"""

import os
import pwd
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from pathlib import Path

# No command to a server takes longer.
COMMAND_S = 120


class Unavailable(Exception):
    """What is missing on this machine."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Sqlite:
    kind = "sqlite"
    server_pids = staticmethod(lambda: [])

    def __init__(self, durability):
        self.folder = Path(tempfile.mkdtemp(prefix="peers-"))
        self.file = self.folder / "app.db"
        self.environment = {"PEER_STORE": "sqlite", "PEER_DIR": str(self.folder), "PEER_URL": str(self.file)}
        self.version = f"SQLite {sqlite3.sqlite_version} in the driver"

    def _query(self, sql):
        connection = sqlite3.connect(self.file, timeout=60, isolation_level=None)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def make_tables(self):
        self._query("CREATE TABLE IF NOT EXISTS orders (n INTEGER)")
        self._query("CREATE TABLE IF NOT EXISTS appended (n INTEGER)")

    def numbers(self, table):
        return [n for (n,) in self._query(f"SELECT n FROM {table}")]

    def size(self):
        files = (path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith("events-"))
        return sum(path.stat().st_size for path in files)

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class _Server:
    """A process of a user without rights, with a temporary folder of his."""

    def __init__(self, name):
        self.folder = Path(tempfile.mkdtemp(prefix=f"peers-{name}-"))
        self.prefix = []
        if os.getuid() == 0:
            user = next((u for u in (name, "nobody") if any(entry.pw_name == u for entry in pwd.getpwall())), "nobody")
            entry = pwd.getpwnam(user)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            self.prefix = ["setpriv", "--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid), "--clear-groups"]

    def run(self, *command):
        whole = [*self.prefix, *map(str, command)]
        try:
            done = subprocess.run(whole, check=True, capture_output=True, text=True, cwd=self.folder, timeout=COMMAND_S)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{Path(command[0]).name} took longer than {COMMAND_S} s") from None
        return done.stdout


class PostgresServer(_Server):
    """One for all peers, each of which has a database of its own."""

    def __init__(self):
        folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), *map(Path, os.get_exec_path())]
        self.programs = next((folder for folder in folders if (folder / "initdb").exists()), None)
        if self.programs is None:
            raise Unavailable("there is no Postgres server on this machine (scripts/setup postgres)")
        super().__init__("postgres")
        self.run(self.programs / "initdb", "-D", "data", "-U", "peers", "-A", "trust", "--locale=C.UTF-8", "-E", "UTF8")
        self.port = free_port()
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.folder} "
            "-c max_connections=300"
        )
        self.run(self.programs / "pg_ctl", "-D", "data", "-o", options, "-l", "log", "-w", "start")
        self.pid = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        self.version = self.sql("postgres", "SHOW server_version").split()[0]
        self.databases = 0

    def sql(self, database, text):
        return self.run(
            "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", self.port, "-U", "peers",
            "-d", database, "-c", text,
        )  # fmt: skip

    def close(self):
        self.run(self.programs / "pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres:
    kind = "postgres"

    def __init__(self, server, durability):
        self.server = server
        server.databases += 1
        self.database = f"peer_{server.databases}"
        server.sql("postgres", f"CREATE DATABASE {self.database}")
        committed = "off" if durability == "unsynced" else "on"
        server.sql("postgres", f"ALTER DATABASE {self.database} SET synchronous_commit = {committed}")
        url = f"postgresql://peers@127.0.0.1:{server.port}/{self.database}"
        self.folder = Path(tempfile.mkdtemp(prefix="peers-"))
        self.environment = {"PEER_STORE": "postgres", "PEER_DIR": str(self.folder), "PEER_URL": url}
        self.version = f"Postgres {server.version}"

    def server_pids(self):
        return [self.server.pid]

    def make_tables(self):
        self.server.sql(
            self.database,
            "CREATE TABLE IF NOT EXISTS orders (n int); CREATE TABLE IF NOT EXISTS appended (n int)",
        )

    def numbers(self, table):
        return [int(n) for n in self.server.sql(self.database, f"SELECT n FROM {table}").split()]

    def size(self):
        return int(self.server.sql(self.database, "SELECT pg_database_size(current_database())"))

    def close(self):
        self.server.sql("postgres", f"DROP DATABASE {self.database} WITH (FORCE)")
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis(_Server):
    """A server for each, with the append-only file, which is what makes it keep its data."""

    kind = "redis"

    def __init__(self, durability):
        if not shutil.which("redis-server"):
            raise Unavailable("there is no redis-server on this machine (Debian's package redis-server)")
        super().__init__("redis")
        self.port = free_port()
        self.socket = self.folder / "redis.sock"
        fsync = "always" if durability == "synced" else "everysec"
        self.process = subprocess.Popen(
            [*self.prefix, "redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
             "--unixsocket", str(self.socket), "--dir", str(self.folder), "--appendonly", "yes",
             "--appendfsync", fsync, "--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder,
        )  # fmt: skip
        until = time.monotonic() + 30
        while not self._answers():
            if time.monotonic() > until or self.process.poll() is not None:
                raise Unavailable("redis-server does not start")
            time.sleep(0.05)
        url = f"redis://127.0.0.1:{self.port}/0"
        self.environment = {"PEER_STORE": "redis", "PEER_DIR": str(self.folder), "PEER_URL": url}
        self.version = "Redis " + self.cli("INFO", "server").split("redis_version:")[1].split()[0]

    def cli(self, *command):
        return self.run("redis-cli", "-s", self.socket, *command)

    def _answers(self):
        try:
            return self.cli("PING").strip() == "PONG"
        except subprocess.CalledProcessError:
            return False

    def server_pids(self):
        return [self.process.pid]

    def make_tables(self):
        pass  # lists come by themselves

    def numbers(self, table):
        return [int(n) for n in self.cli("LRANGE", table, "0", "-1").split()]

    def size(self):
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Stores:
    """Makes stores, and the one server of Postgres when it is first asked for."""

    def __init__(self):
        self._postgres = None
        self._lock = threading.Lock()

    def make(self, kind, durability):
        if kind == "sqlite":
            return Sqlite(durability)
        if kind == "redis":
            return Redis(durability)
        with self._lock:
            if self._postgres is None:
                self._postgres = PostgresServer()
            return Postgres(self._postgres, durability)

    def close(self):
        if self._postgres is not None:
            self._postgres.close()
