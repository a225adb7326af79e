"""The run: which part comes when, and what is left out when there is no time for it.

First, for each peer, everything once; then what is done in several rounds, as often as there is time.
"""

import functools
import random
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import clock
import measures
from measures import DRAINS, Bench
from process import Failed, Hung
from store import Unavailable

# What waits for the most part is done for several peers at a time.
WAITING_AT_A_TIME = 8
IDLE_AT_A_TIME = 4
SOON_S = 5
# A peer of which so many parts came to nothing for as long as they were waited for is asked no more.
HANGS = 2


class Run:
    def __init__(self, results, stores, sizes, arguments):
        self.results, self.stores, self.sizes = results, stores, sizes
        self.rounds, self.is_smoke = arguments.rounds, arguments.smoke
        self.parts = arguments.parts
        self.hangs = {}

    def wants(self, part):
        return not self.parts or part in self.parts

    def all_of(self, chosen):
        """What could not be done in time is trouble, which the next run with --resume mends."""
        there = [peer for peer in chosen if self._starts(peer)]
        self._round(there, 0)
        self._idles(there)
        self._recoveries(there)
        self.results.rounds(there, 1)
        for number in range(1, self.rounds):
            if clock.left_s() <= 0:
                return
            needed = 1.05 * sum(self._again_s(peer, number) for peer in there)
            if needed > clock.left_s():
                print(
                    f"there is no time for round {number + 1}, which takes {timedelta(seconds=round(needed))}",
                    flush=True,
                )
                return
            self._round(there, number)
            if clock.left_s() > 0:
                self.results.rounds(there, number + 1)

    def part(self, peer, name, function):
        """Does a part, unless it is done. What goes wrong is kept beside the values, and the rest goes on."""
        if self.results.is_done(peer, name):
            return
        if self.hangs.get(peer.name, 0) >= HANGS:
            self._not_done(peer, name, "left out, since others of its parts have hung")
            return
        began = time.monotonic()
        try:
            clock.check()
            values = function()
            seconds = time.monotonic() - began
            self.results.add(peer, name, values, seconds)
            print(f"  {peer.name}: {name} ({seconds:.0f} s)", flush=True)
        except clock.OutOfTime as error:
            self._not_done(peer, name, f"not measured: {error}")
        except Hung as error:
            self.hangs[peer.name] = self.hangs.get(peer.name, 0) + 1
            self.results.trouble(peer, name, error)
        except (Failed, Unavailable) as error:
            self.results.trouble(peer, name, error)
        except Exception as error:
            traceback.print_exc()
            self.results.trouble(peer, name, f"{type(error).__name__}: {error}")

    def _not_done(self, peer, name, why):
        if ", round " not in name:  # what is measured again is not missing
            self.results.trouble(peer, name, why)

    def _starts(self, peer):
        """Whether its smallest program does what it should. If not, nothing more is asked of the peer."""

        def measure():
            return {"lines": measures.smallest(peer, self.stores, self.sizes.start_cap_s)}

        if not self.wants("smallest"):
            return True
        self.part(peer, "smallest program", measure)
        return self.results.is_done(peer, "smallest program")

    def bench(self, peer, durability=None, recovery="default"):
        return Bench(peer, self.stores, self.sizes, durability or peer.recommended, recovery)

    def _round(self, peers, number):
        print(f"round {number + 1} of {self.rounds}", flush=True)
        for peer in random.Random(number).sample(peers, len(peers)):
            for name, function in self._again(peer, number):
                self.part(peer, name, function)
            if number == 0:
                self._once(peer)

    def _again(self, peer, number):
        """The parts of a round, each with what does it."""
        suffix = f", round {number + 1}" if number else ""
        parts = []
        if self.wants("throughput"):
            # The durability that is not recommended is only for comparison: once is enough.
            only_recommended = self.is_smoke or number > 0
            for durability in peer.durabilities[:1] if only_recommended else peer.durabilities:
                shapes = DRAINS if durability == peer.recommended else self.sizes.drains_once
                part = functools.partial(self._throughput, peer, durability, shapes)
                parts.append((f"throughput, {durability}{suffix}", part))
        if self.wants("pickup"):
            parts.append((f"pickup{suffix}", functools.partial(self._pickup, peer)))
        return parts

    def _again_s(self, peer, number):
        """How long the peer's part of a round takes, by the first one."""
        took = self.results.of(peer)["took"]
        parts = [name for name, _ in self._again(peer, number) if name not in took]
        return sum(took.get(name.removesuffix(f", round {number + 1}"), 0) for name in parts)

    def _throughput(self, peer, durability, shapes):
        values = measures.throughput(functools.partial(self.bench, peer, durability), shapes)
        return {f"{durability} {name}": value for name, value in values.items()}

    def _pickup(self, peer):
        with self.bench(peer) as bench:
            values = measures.pickup(bench, self.sizes.pickups)
        return {f"pickup {name}": value for name, value in values.items()}

    def _once(self, peer):
        parts = {"rollback": measures.rollback, "behind": measures.behind, "killed": measures.killed}
        for name, measure in parts.items():
            if self.wants(name):
                recovery = "shortest" if name == "killed" else "default"
                self.part(peer, name, functools.partial(self._one, peer, measure, recovery))

    def _one(self, peer, measure, recovery):
        with self.bench(peer, recovery=recovery) as bench:
            return measure(bench)

    def _idle(self, peer):
        values = {}
        for count in (1, self.sizes.idle_workers):
            with self.bench(peer) as bench:
                values |= measures.idle(bench, count)
        return values

    def _idles(self, peers):
        """Several at a time, but one by one on Postgres, whose server all of them have in common."""
        if not self.wants("idle"):
            return

        def one_by_one(peers):
            for peer in peers:
                self.part(peer, "idle", functools.partial(self._idle, peer))

        beside = [peer for peer in peers if peer.store == "postgres"]
        alone = [[peer] for peer in peers if peer not in beside]
        with ThreadPoolExecutor(IDLE_AT_A_TIME) as pool:
            for _ in pool.map(one_by_one, [beside, *alone]):
                pass

    def _recoveries(self, peers):
        """Those that are expected soon one by one, the others together, since they only wait."""
        if not self.wants("recovery"):
            return
        soon, late = [], []
        for peer in peers:
            for setting in ("default", "shortest"):
                expected_s = peer.about["recovery"].get(f"{setting}_s")
                if setting == "default" or peer.about["recovery"].get("shortest"):
                    (soon if expected_s is not None and expected_s <= SOON_S else late).append((peer, setting))
        for each in soon:
            self._recovery(*each)
        with ThreadPoolExecutor(WAITING_AT_A_TIME) as pool:
            for _ in pool.map(lambda each: self._recovery(*each), late):
                pass

    def _recovery(self, peer, setting):
        def measure():
            with self.bench(peer, recovery=setting) as bench:
                return {f"recovery {setting}": measures.recovery(bench, setting)}

        self.part(peer, f"recovery, {setting}", measure)
