"""The processes of a peer: one that enqueues and answers in lines of JSON, and workers, which note what they run."""

import json
import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import clock


class Failed(Exception):
    """A peer's program did not do what it was asked."""


class Hung(Failed):
    """Nothing came of it, for as long as it was waited for."""


def children(pid):
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except OSError:
            pass  # gone meanwhile
    return found


def tree(pids):
    """These processes and all that descend from them."""
    found, look_at = [], list(pids)
    while look_at:
        pid = look_at.pop()
        found.append(pid)
        look_at += children(pid)
    return found


def processor_ns_and_waits(pids):
    """The processor time of processes in nanoseconds, and how often their threads have gone to sleep by themselves."""
    used = waits = 0
    for pid in tree(pids):
        for task in Path(f"/proc/{pid}/task").glob("*"):
            try:
                used += int((task / "schedstat").read_text().split()[0])
                status = (task / "status").read_text()
            except OSError:
                continue
            waits += int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return used, waits


def memory(pids):
    """The memory of processes in bytes, of which shared pages count by shares."""
    total = 0
    for pid in tree(pids):
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(rollup.split("\nPss:")[1].split()[0]) * 1024
    return total


def start(peer, role, store, log, **environment):
    url = store.environment["PEER_URL"] + peer.about.get("parameters", "")
    return subprocess.Popen(
        [str(peer.folder / "command"), role],
        stdin=subprocess.PIPE if role == "produce" else subprocess.DEVNULL,
        stdout=subprocess.PIPE if role == "produce" else log,
        stderr=log,
        cwd=store.folder,
        env={**os.environ, **store.environment, "PEER_URL": url, **environment},
        start_new_session=True,
        text=True,
    )


def end(*processes, patience_s=1.0):
    """Ends processes, and what is left of their groups. Nothing more is asked of them, so that the wait is short."""
    signal_groups(processes, signal.SIGTERM)
    until = time.monotonic() + patience_s
    while time.monotonic() < until and any(process.poll() is None for process in processes):
        time.sleep(0.01)
    signal_groups(processes, signal.SIGKILL)
    for process in processes:
        process.wait()


def signal_groups(processes, number):
    """Each process has a group of its own."""
    for process in processes:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass


class Producer:
    """The process that enqueues. It is waited for so long, and for the cap of what it is asked to do."""

    def __init__(self, peer, store, log, environment, patience_s):
        self.log, self.patience_s = log, patience_s
        self._said = b""
        self.process = start(peer, "produce", store, log, **environment)
        try:
            self._read(patience_s)  # that it is ready
        except BaseException:
            self.close()
            raise

    def _read(self, within_s):
        line = self._line(within_s)
        try:
            answer = json.loads(line)
        except ValueError:
            raise Failed(f"the program answers {line[:100]!r}") from None
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def _line(self, within_s):
        """A line that it says. What is read at once with it, is kept."""
        until = time.monotonic() + within_s
        out = self.process.stdout.fileno()
        while b"\n" not in self._said:
            clock.check()
            if time.monotonic() > until:
                raise Hung(f"the program that enqueues did not answer within {within_s:.0f} s")
            if select.select([out], [], [], 0.2)[0]:
                some = os.read(out, 65536)
                if not some:
                    raise Failed(f"the program ended: {reason(self.log.name)}")
                self._said += some
        line, _, self._said = self._said.partition(b"\n")
        return line.decode(errors="replace")

    def ask(self, do, **arguments):
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"the program ended: {reason(self.log.name)}") from None
        return self._read(arguments.get("cap_s", 0) + self.patience_s)

    def enqueue(self, kind, count, first=0, **arguments):
        return self.ask("enqueue", kind=kind, count=count, first=first, **arguments)

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended already
        end(self.process)
        self.process.stdout.close()


class Workers:
    """Processes that work, and the file in which they note what they have run."""

    def __init__(self, peer, store, log, environment):
        self.peer, self.store, self.log, self.environment = peer, store, log, environment
        self.processes = []
        self.path = store.folder / f"events-{time.monotonic_ns()}"
        self.path.touch()
        self.path.chmod(0o666)
        self._file = self.path.open()
        self.events = []
        self._numbers = {}

    def start(self, count=1, concurrency=1):
        self.concurrency = concurrency
        for _ in range(count):
            self.processes.append(
                start(
                    self.peer, "work", self.store, self.log, **self.environment,
                    PEER_EVENTS=str(self.path), PEER_CONCURRENCY=str(concurrency),
                )
            )  # fmt: skip
        return self

    def pids(self):
        return [process.pid for process in self.processes]

    def look(self):
        """What has been run so far: (kind, number, nanoseconds, process)."""
        for line in self._file:
            kind, number, at, pid = line.split()
            self.events.append((kind, int(number), int(at), int(pid)))
            self._numbers.setdefault(kind, set()).add(int(number))
        return self.events

    def numbers(self, kind):
        """The jobs of a kind that have been run, as of the last look."""
        return self._numbers.get(kind, set())

    def wait(self, enough, seconds):
        """Waits until `enough(workers)`, or for so long; says whether it came to that."""
        until = time.monotonic() + seconds
        while True:
            self.look()
            if enough(self):
                return True
            clock.check()
            if time.monotonic() > until:
                return False
            if all(process.poll() is not None for process in self.processes):
                raise Failed(f"the workers ended: {reason(self.log.name)}")
            time.sleep(0.02)

    def kill(self, index):
        """SIGKILL, for all of the process's group, and no more of it."""
        process = self.processes.pop(index)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def holder(self, pid):
        """The index of the process that is this one, or an ancestor of it."""
        return next(i for i, process in enumerate(self.processes) if pid in tree([process.pid]))

    def close(self):
        end(*self.processes)
        self.processes = []
        if not self._file.closed:
            self._file.close()


def reason(path):
    """The last error that a peer has said, or else its last lines."""
    lines = [line.strip() for line in Path(path).read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b.*: ", line)]
    return (errors[-1] if errors else " / ".join(lines[-3:]))[-400:]
