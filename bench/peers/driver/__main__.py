"""Puts honker beside the others: `bench/peers/run --help`.

Peers take turns, for a number of rounds, and medians count. What has been measured is kept in
target/peers/results.json, from which the report is made; a part (`--only`) leaves the rest of it as it was.
"""

import argparse
import functools
import json
import os
import platform
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import measures
import peers
import report
from measures import Bench, Sizes
from process import Failed
from store import Stores, Unavailable

RESULTS = peers.ROOT / "target/peers/results.json"
SMOKE_RESULTS = RESULTS.with_name("smoke.json")
# What waits for the most part is done for several peers at a time, after what is measured in milliseconds.
WAITING_AT_A_TIME = 6
IDLE_AT_A_TIME = 3
SOON_S = 5


class Results:
    """All values of each peer, by the name of the measure."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.RLock()
        self.all = json.loads(path.read_text()) if path.exists() else {"peers": {}}

    def begin(self, machine, names):
        self.all["machine"] = machine
        for name in names:
            self.all["peers"][name] = {"values": {}, "trouble": {}}

    def of(self, peer):
        return self.all["peers"][peer.name]

    def add(self, peer, values, prefix=""):
        with self.lock:
            for name, value in values.items():
                self.of(peer)["values"].setdefault(prefix + name, []).append(value)
            self.save()

    def trouble(self, peer, what, error):
        with self.lock:
            self.of(peer)["trouble"][what] = str(error)
            print(f"  {peer.name}: {what}: {error}", flush=True)
            self.save()

    def save(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.all, indent=1))


def machine(arguments, rounds):
    def said(*command):
        return subprocess.run(command, capture_output=True, text=True, cwd=peers.ROOT).stdout.strip()

    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    memory_kb = int(next(line.split()[1] for line in open("/proc/meminfo") if line.startswith("MemTotal")))
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": said("git", "rev-parse", "--short", "HEAD")
        + ("" if not said("git", "status", "--porcelain", "-uno") else ", changed"),
        "processor": model,
        "cores": os.cpu_count(),
        "memory": f"{memory_kb / 2**20:.0f} GiB",
        "system": f"Linux {platform.release().split('-')[0]}",
        "filesystem": said("stat", "-f", "-c", "%T", os.environ.get("TMPDIR", "/tmp")),
        "load": round(os.getloadavg()[0], 1),
        "form": "full" if arguments.full else f"scale {arguments.scale}" if arguments.scale != 1 else "short",
        "rounds": rounds,
        "only": " ".join(arguments.only),
    }


def attempt(results, peer, what, function):
    """Does a part; what goes wrong is kept beside the values, and the rest goes on."""
    started = time.monotonic()
    try:
        function()
        print(f"  {peer.name}: {what} ({time.monotonic() - started:.0f} s)", flush=True)
    except (Failed, Unavailable) as error:
        results.trouble(peer, what, error)
    except Exception as error:
        traceback.print_exc()
        results.trouble(peer, what, f"{type(error).__name__}: {error}")


class Run:
    def __init__(self, results, stores, sizes, arguments):
        self.results, self.stores, self.sizes = results, stores, sizes
        self.rounds, self.parts, self.is_smoke = arguments.rounds, arguments.parts, arguments.smoke
        self.until = time.monotonic() + arguments.minutes * 60

    def wants(self, part):
        return not self.parts or part in self.parts

    def starts(self, peer):
        """Whether its smallest program does what it should. If not, nothing more is asked of the peer."""

        def measure():
            self.results.add(peer, {"lines": measures.smallest(peer, self.stores, self.sizes.start_cap_s)})

        if not self.wants("smallest"):
            return True
        attempt(self.results, peer, "smallest program", measure)
        return "lines" in self.results.of(peer)["values"]

    def bench(self, peer, durability=None, recovery="default"):
        return Bench(peer, self.stores, self.sizes, durability or peer.recommended, recovery)

    def rounds_of(self, chosen):
        """All rounds, or as many as there is time for before what comes after them; how many."""
        for number in range(self.rounds):
            print(f"round {number + 1} of {self.rounds}", flush=True)
            every_s = 0
            for peer in random.Random(number).sample(chosen, len(chosen)):
                began = time.monotonic()
                self._every_round(peer, number)
                every_s += time.monotonic() - began
                if number == 0:
                    self._once(peer)
            if number + 1 < self.rounds and time.monotonic() + every_s + self._waiting_s(chosen) > self.until:
                print(f"there is no time for more than {number + 1} rounds", flush=True)
                return number + 1
        return self.rounds

    def _waiting_s(self, chosen):
        """How long `idles` and `recoveries` take, about."""
        idle_s = len(chosen) * 2 * (self.sizes.idle_s + 6) / IDLE_AT_A_TIME
        recovery_s = 2 * len(chosen) * (self.sizes.recovery_cap_s + 10) / WAITING_AT_A_TIME
        return (idle_s if self.wants("idle") else 0) + (recovery_s if self.wants("recovery") else 0)

    def _every_round(self, peer, number):
        if self.wants("throughput"):
            # The durability that is not recommended is only for comparison: once is enough.
            only_recommended = self.is_smoke or number > 0
            for durability in peer.durabilities[:1] if only_recommended else peer.durabilities:
                part = functools.partial(self._throughput, peer, durability)
                attempt(self.results, peer, f"throughput, {durability}", part)
        if self.wants("pickup"):
            attempt(self.results, peer, "pickup", functools.partial(self._pickup, peer))

    def _throughput(self, peer, durability):
        values = measures.throughput(functools.partial(self.bench, peer, durability))
        self.results.add(peer, values, f"{durability} ")

    def _pickup(self, peer):
        with self.bench(peer) as bench:
            self.results.add(peer, measures.pickup(bench, self.sizes.pickups), "pickup ")

    def _once(self, peer):
        parts = {"rollback": self._rollback, "behind": self._behind, "killed": self._killed}
        for name, part in parts.items():
            if self.wants(name):
                attempt(self.results, peer, name, lambda part=part: part(peer))

    def _rollback(self, peer):
        with self.bench(peer) as bench:
            self.results.add(peer, {"rollback": measures.rollback(bench)})

    def _behind(self, peer):
        with self.bench(peer) as bench:
            self.results.add(peer, measures.behind(bench))

    def _idle(self, peer):
        def measure():
            for count in (1, self.sizes.idle_workers):
                with self.bench(peer) as bench:
                    values = measures.idle(bench, count)
                self.results.add(peer, values)

        attempt(self.results, peer, "idle", measure)

    def _killed(self, peer):
        with self.bench(peer, recovery="shortest") as bench:
            self.results.add(peer, measures.killed(bench))

    def idles(self, chosen):
        """Several at a time, but one by one on Postgres, whose server all of them have in common."""
        beside = [peer for peer in chosen if peer.store == "postgres"]
        with ThreadPoolExecutor(IDLE_AT_A_TIME) as pool:
            pool.submit(lambda: [self._idle(peer) for peer in beside])
            for peer in chosen:
                if peer not in beside:
                    pool.submit(self._idle, peer)

    def recoveries(self, chosen):
        """Those that are expected soon one by one, the others together, since they only wait."""
        soon, late = [], []
        for peer in chosen:
            about = peer.about["recovery"]
            for setting in ("default", "shortest"):
                if setting == "shortest" and not about.get("shortest"):
                    continue
                expected = about.get(f"{setting}_s")
                (soon if expected is not None and expected <= SOON_S else late).append((peer, setting))
        for each in soon:
            self._recovery(*each)
        with ThreadPoolExecutor(WAITING_AT_A_TIME) as pool:
            for future in [pool.submit(self._recovery, *each) for each in late]:
                future.result()

    def _recovery(self, peer, setting):
        def measure():
            with self.bench(peer, recovery=setting) as bench:
                self.results.add(peer, {f"recovery {setting}": measures.recovery(bench)})

        attempt(self.results, peer, f"recovery, {setting}", measure)


def main():
    parser = argparse.ArgumentParser(prog="bench/peers/run", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default=[], type=lambda text: [word for word in text.split(",") if word],
                        help="peers, families, stores, 'ours' or 'others', with commas between")  # fmt: skip
    parser.add_argument("--parts", default=[], type=lambda text: text.split(","),
                        help="throughput, pickup, smallest, rollback, behind, idle, killed, recovery")  # fmt: skip
    parser.add_argument("--full", action="store_true", help="everything, at full length")
    parser.add_argument("--scale", type=float, default=1, help="less of everything: 0.02 to see that it works")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="fewer rounds, if that is not enough for all"
    )
    parser.add_argument("--check", action="store_true", help="fail if there was trouble; no report")
    parser.add_argument(
        "--smoke", action="store_true", help="for tests: two of ours, very little of everything, checked"
    )
    parser.add_argument("--report", action="store_true", help="make the report from what was measured before")
    arguments = parser.parse_args()
    # What was started is ended, whatever ends us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    if arguments.smoke:
        arguments.only = arguments.only or ["honker-python@sqlite", "honker-go@sqlite"]
        arguments.scale, arguments.rounds, arguments.check = 0.01, 1, True
    results = Results(SMOKE_RESULTS if arguments.smoke else RESULTS)
    if not arguments.report:
        chosen = peers.find(arguments.only, short=not arguments.full)
        if not chosen:
            parser.error("there is no such peer")
        measure(results, chosen, arguments)
    if arguments.check:
        sys.exit(check(results, chosen))
    report.write(results.all)


def measure(results, chosen, arguments):
    sizes = Sizes.full() if arguments.full else Sizes()
    if arguments.scale != 1:
        sizes = sizes.scaled(arguments.scale)
    if arguments.check:
        sizes.start_cap_s, sizes.cap_s = 180, 10
    if arguments.smoke:
        sizes = measures.patient(sizes)
    results.begin(machine(arguments, arguments.rounds), [peer.name for peer in chosen])
    stores, there = Stores(), []
    reasons = {}
    try:
        for peer in chosen:
            if peer.folder not in reasons:
                reasons[peer.folder] = peers.set_up(peer)
            if reasons[peer.folder]:
                results.trouble(peer, "setup", reasons[peer.folder])
                continue
            try:
                results.of(peer)["version"] = peers.version(peer)
                store = stores.make(peer.store, peer.recommended)
                results.of(peer)["store"] = store.version
                store.close()
                there.append(peer)
            except Exception as error:
                results.trouble(peer, "setup", error)
        run = Run(results, stores, sizes, arguments)
        there = [peer for peer in there if run.starts(peer)]
        results.all["machine"]["rounds"] = run.rounds_of(there)
        if run.wants("idle"):
            run.idles(there)
        if run.wants("recovery"):
            run.recoveries(there)
    finally:
        stores.close()


def check(results, chosen):
    """For tests: whether all parts of these worked, and none of ours lost a job."""
    wrong = []
    for peer in chosen:
        name, result = peer.name, results.of(peer)
        wrong += [f"{name}: {what}: {error}" for what, error in result["trouble"].items()]
        for value, found in result["values"].items():
            if peer.about["ours"] and (
                value == "killed missing" and any(found) or value.endswith("twice") and not value.startswith("killed")
            ):
                wrong.append(f"{name}: {value}: {found}")
            if value == "rollback" and found[0] not in ("yes", "none"):
                wrong.append(f"{name}: a rollback left something")
        if not result["values"]:
            wrong.append(f"{name}: nothing was measured")
    report.filled(
        report.DOCUMENT.read_text(), results.all
    )  # fails where the document and the tables do not go together
    for line in wrong:
        print(f"FAILED {line}")
    print(f"{len(chosen)} programs beside each other: {len(wrong)} troubles")
    return 1 if wrong else 0


main()
