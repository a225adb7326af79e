"""What is measured. Each takes a peer and gives values, which `__main__` keeps.

Numbers and caps are in `Sizes`. A part that a peer has no way to do is left out, and shown as such.
"""

import random
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import clock
from peers import ROOT
from process import Failed, Hung, Producer, Workers, end, memory, processor_ns_and_waits, reason, start

# Processes, and how many jobs each runs at a time.
DRAINS = ((1, 1), (1, 4), (1, 16), (4, 1))
ROLLED_BACK, COMMITTED = 900_001, 900_002


@dataclass
class Sizes:
    """The short form; `full` and `scaled` change it."""

    one_at_a_time: int = 2_000
    bulk: int = 20_000
    drain: int = 20_000
    pickups: int = 100
    behind: int = 100_000
    idle_s: float = 20
    idle_workers: int = 10
    recovery_cap_s: float = 60
    killed_jobs: int = 10_000
    drains_once: tuple = ((1, 1), (1, 16))  # at the durability that is not recommended
    cap_s: float = 1  # for each way of enqueueing, and what is enqueued to be drained
    drain_cap_s: float = 1.75
    fill_cap_s: float = 3  # for what is put behind
    start_cap_s: float = 60
    kill_cap_s: float = 10
    never_s: float = 300  # what is not expected within the cap is waited for no longer than this
    stalled_s: float = 15  # nothing more is expected after so long,
    stalled_max_s: float = 60  # or so long for a peer that says that it takes longer
    quiet_s: float = 0.3

    @classmethod
    def full(cls):
        return cls(
            one_at_a_time=10_000, bulk=100_000, pickups=300, idle_s=60, recovery_cap_s=7_500, drains_once=DRAINS,
            cap_s=10, drain_cap_s=10, fill_cap_s=60, kill_cap_s=60, stalled_max_s=150,
        )  # fmt: skip

    def scaled(self, scale):
        """The same with fewer of everything, to see that it works."""
        for name in ("one_at_a_time", "bulk", "drain", "behind"):
            setattr(self, name, max(100, int(getattr(self, name) * scale)))
        self.killed_jobs = max(1_000, int(self.killed_jobs * scale))
        self.pickups = max(10, int(self.pickups * scale))
        self.idle_s = max(1, self.idle_s * scale)
        self.recovery_cap_s = max(8, self.recovery_cap_s * scale)
        self.idle_workers = 10 if scale >= 0.2 else 2
        self.fill_cap_s = max(2, self.fill_cap_s * scale)
        self.kill_cap_s = max(20, self.kill_cap_s * scale)
        return self


def patient(sizes):
    """For tests, which may be run on a machine that does much else."""
    sizes.start_cap_s = sizes.kill_cap_s = sizes.stalled_s = sizes.stalled_max_s = sizes.recovery_cap_s = 300
    sizes.cap_s = sizes.drain_cap_s = sizes.fill_cap_s = 60
    return sizes


class Bench:
    """A peer on a store of its own."""

    def __init__(self, peer, stores, sizes, durability, recovery="default"):
        self.peer, self.sizes = peer, sizes
        self.store = stores.make(peer.store, durability)
        self.environment = {"PEER_DURABILITY": durability, "PEER_RECOVERY": recovery}
        logs = ROOT / "target/peers/log"
        logs.mkdir(parents=True, exist_ok=True)
        self.log = (logs / f"{peer.name}-{durability}-{recovery}.log").open("w")
        self.producer = None
        self.opened = []
        try:
            self.producer = Producer(peer, self.store, self.log, self.environment, sizes.start_cap_s)
            self.store.make_tables()
        except BaseException:
            self.close()
            raise

    def workers(self, count=1, concurrency=1):
        workers = Workers(self.peer, self.store, self.log, self.environment)
        self.opened.append(workers)
        return workers.start(count, concurrency)

    def close(self):
        for workers in self.opened:
            workers.close()
        if self.producer:
            self.producer.close()
        self.store.close()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def rate(answer):
    if "unsupported" in answer:
        return None
    return answer["count"] / answer["seconds"] if answer["seconds"] else None


def of_kind(kind, number):
    """Whether so many different jobs of a kind have been run."""
    return lambda workers: len(workers.numbers(kind)) >= number


def fill(bench, kind, count, cap_s, first=0):
    """Enqueues jobs as fast as the peer can, or as many as it can within the cap; how many."""
    answer = bench.producer.enqueue(kind, count, first, batch=100, cap_s=cap_s)
    if "unsupported" in answer:
        answer = bench.producer.enqueue(kind, count, first, cap_s=cap_s)
    return answer["count"]


def drain(bench, processes, concurrency):
    """Runs no-op jobs, in jobs per second, from the moment at which all processes work."""
    size = fill(bench, "noop", bench.sizes.drain, bench.sizes.cap_s)
    workers = bench.workers(processes, concurrency)
    if not workers.wait(of_kind("noop", 1), bench.sizes.start_cap_s):
        raise Hung("no job was run")
    finished = workers.wait(of_kind("noop", size), bench.sizes.drain_cap_s)
    used = memory(workers.pids())
    if finished:
        clock.sleep(bench.sizes.quiet_s)  # for those that come twice
    events = sorted(event[2:] for event in workers.look() if event[0] == "noop")
    if len(events) < 3:
        raise Failed(f"{len(events)} jobs were run")
    began = all_work(events)
    counted = [at for at, _ in events if at >= began]
    seconds = (counted[-1] - counted[0]) / 1e9
    name = f"drain {processes}x{concurrency}"
    values = {name: (len(counted) - 1) / seconds if seconds else None, f"{name} memory": used}
    twice = len(events) - len(workers.numbers("noop"))
    if twice:
        values[f"{name} twice"] = twice
    return values


def all_work(events):
    """When the last of the processes began. One that has got nothing is not waited for, nor one that came in the last
    tenth."""
    late = events[len(events) * 9 // 10][0]
    firsts = {}
    for at, pid in events:
        firsts.setdefault(pid, at)
    return max((at for at in firsts.values() if at < late), default=events[0][0])


def enqueueing(bench):
    """Jobs a second, enqueued in each of three ways."""
    sizes, ask = bench.sizes, bench.producer.enqueue
    return {
        "enqueue": rate(ask("noop", sizes.one_at_a_time, cap_s=sizes.cap_s)),
        "bulk": rate(ask("noop", sizes.bulk, batch=100, cap_s=sizes.cap_s)),
        "transact": rate(ask("noop", sizes.one_at_a_time, way="transact", cap_s=sizes.cap_s)),
    }


def throughput(new_bench, shapes):
    """Enqueueing, and draining in each of these shapes on a store of its own."""
    with new_bench() as bench:
        values = enqueueing(bench)
    for shape in shapes:
        with new_bench() as bench:
            values |= drain(bench, *shape)
    return values


def pickup(bench, count):
    """From before the call that enqueues, in one process, to the job in the hand of an idle worker in another."""
    workers = bench.workers(1, 1)
    settle(bench, workers)
    dice = random.Random(22)
    sent = {}
    for n in range(count):
        clock.sleep(dice.uniform(0.01, 0.06))
        sent[n] = bench.producer.enqueue("stamp", 1, n)["at"]
    if not workers.wait(of_kind("stamp", count), bench.sizes.start_cap_s):
        raise Hung("a job was not picked up")
    took = {}
    for kind, n, at, _ in workers.events:
        if kind == "stamp":
            took.setdefault(n, (at - sent[n]) / 1e6)
    workers.close()
    took = sorted(took.values())
    return {"p50": took[len(took) // 2], "p99": took[min(len(took) - 1, len(took) * 99 // 100)], "max": took[-1]}


def settle(bench, workers):
    """Waits until a worker has run a job, and those that start have started."""
    probe = 800_000 + len(bench.opened)
    bench.producer.enqueue("noop", 1, probe)
    if not workers.wait(lambda workers: probe in workers.numbers("noop"), bench.sizes.start_cap_s):
        raise Hung("no job was run")
    for _ in range(30):
        before, _ = processor_ns_and_waits(workers.pids())
        clock.sleep(0.5)
        after, _ = processor_ns_and_waits(workers.pids())
        if after - before < 150e6:
            return


def finish_some(bench):
    """Has jobs run, as many as are done within the cap. Only as many wait at any moment as the peer has shown to do
    soon, so that all of them are done."""
    sizes, waiting = bench.sizes, 20
    count = fill(bench, "noop", waiting, sizes.fill_cap_s / 4)
    workers = bench.workers(1, 16)
    workers.wait(of_kind("noop", 1), sizes.start_cap_s)
    until = time.monotonic() + sizes.fill_cap_s
    while count < sizes.behind and time.monotonic() < until:
        workers.look()
        if count - len(workers.numbers("noop")) <= waiting // 4:
            waiting = min(2 * waiting, 600)
            count += fill(bench, "noop", min(waiting, sizes.behind - count), sizes.fill_cap_s / 4, first=count)
        else:
            clock.sleep(0.02)
    if not workers.wait(of_kind("noop", count), sizes.start_cap_s):
        raise Failed(f"of {count} jobs {len(workers.numbers('noop'))} were run")
    workers.close()
    return count


def behind(bench):
    """Pickup once more, with jobs of another day and jobs that are done behind it."""
    sizes = bench.sizes
    finished = finish_some(bench)
    delayed = bench.producer.enqueue("noop", sizes.behind, 1_000_000, way="later", batch=100, cap_s=sizes.fill_cap_s)
    values = {f"behind {key}": value for key, value in pickup(bench, sizes.pickups).items()}
    values["behind done"] = finished
    values["behind delayed"] = None if "unsupported" in delayed else delayed["count"]
    values["disk"] = bench.store.size()
    return values


def idle(bench, count):
    """The processor time of workers with nothing to do, as a part of a core, and how often a second they wake."""
    workers = bench.workers(count, 1)
    settle(bench, workers)
    clock.sleep(1.0)
    pids = workers.pids()
    before, servers_before = processor_ns_and_waits(pids), processor_ns_and_waits(bench.store.server_pids())
    began = time.monotonic()
    clock.sleep(bench.sizes.idle_s)
    after, servers_after = processor_ns_and_waits(pids), processor_ns_and_waits(bench.store.server_pids())
    seconds = time.monotonic() - began
    workers.close()
    return {
        f"idle {count} cpu": (after[0] - before[0]) / 1e9 / seconds,
        f"idle {count} wakes": (after[1] - before[1]) / seconds,
        f"idle {count} server cpu": (servers_after[0] - servers_before[0]) / 1e9 / seconds,
        f"idle {count} server wakes": (servers_after[1] - servers_before[1]) / seconds,
    }


def rollback(bench):
    """Whether a job is there with the application's own row, and neither is after a rollback."""
    ask = bench.producer.enqueue
    if "unsupported" in ask("noop", 1, ROLLED_BACK, way="transact", commit=False):
        return {"rollback": "none"}
    ask("noop", 1, COMMITTED, way="transact", commit=True)
    workers = bench.workers(1, 1)
    if not workers.wait(lambda workers: COMMITTED in workers.numbers("noop"), bench.sizes.start_cap_s):
        raise Hung("the committed job was not run")
    clock.sleep(2.0)
    run = {n for _, n, _, _ in workers.look()}
    workers.close()
    left_nothing = ROLLED_BACK not in run and bench.store.numbers("orders") == [COMMITTED]
    return {"rollback": "yes" if left_nothing else "NO"}


def recovery(bench, setting):
    """From SIGKILL of the process that runs a job to the job's next start, which may be in a process that is
    started in its place; `None` if that takes longer than it is waited for."""
    workers = bench.workers(2, 1)
    settle(bench, workers)
    bench.producer.enqueue("hold", 1, 1)
    held = [None]

    def is_held(workers):
        held[0] = next((pid for kind, _, _, pid in workers.events if kind == "hold"), None)
        return held[0] is not None

    if not workers.wait(is_held, bench.sizes.start_cap_s):
        raise Hung("the job was not run")
    clock.sleep(1.0)
    index = workers.holder(held[0])
    killed = time.time_ns()
    workers.kill(index)
    workers.start(1, 1)
    again = workers.wait(
        lambda workers: sum(event[0] == "hold" for event in workers.events) > 1,
        recovery_wait_s(bench.peer, setting, bench.sizes),
    )
    at = sorted(event[2] for event in workers.events if event[0] == "hold")
    workers.close()
    return (at[1] - killed) / 1e9 if again else None


def recovery_wait_s(peer, setting, sizes):
    expected_s = peer.about["recovery"].get(f"{setting}_s")
    is_expected = expected_s is not None and expected_s <= sizes.recovery_cap_s
    return sizes.recovery_cap_s if is_expected else min(sizes.never_s, sizes.recovery_cap_s)


def killed(bench):
    """Jobs that add a row each, while every second one of two workers is killed, and then nobody any more: jobs
    without a row, rows too many. Jobs that the peer gives back later than is waited for are not missing."""
    sizes = bench.sizes
    total = fill(bench, "append", sizes.killed_jobs, sizes.fill_cap_s)
    workers = bench.workers(2, 4)
    done = of_kind("append", total)
    workers.wait(of_kind("append", 1), sizes.start_cap_s)
    until = time.monotonic() + sizes.kill_cap_s
    kills, seen = 0, 0
    while not workers.wait(done, 1.0) and time.monotonic() < until:
        count = len(workers.numbers("append"))
        if count > seen:
            seen = count
            workers.kill(0)
            workers.start(1, 4)
            kills += 1
    is_moving = finish_all(workers, done, bench)
    workers.close()
    rows = bench.store.numbers("appended")
    undone = total - len(set(rows))
    late = undone and (is_moving or gives_back_s(bench.peer) > sizes.stalled_max_s)
    return {
        "killed jobs": total,
        "killed kills": kills,
        "killed waiting" if late else "killed missing": undone,
        "killed twice": len(rows) - len(set(rows)),
    }


def finish_all(workers, done, bench):
    """Lets workers go on until nothing happens any more, for longer than the peer needs to give back what was taken;
    whether they have been stopped before."""
    sizes = bench.sizes
    patient_s = patience_s(bench.peer, sizes)
    until = time.monotonic() + sizes.kill_cap_s + patient_s
    while time.monotonic() < until:
        before = len(workers.look())
        if not workers.wait(lambda workers, before=before: len(workers.events) > before or done(workers), patient_s):
            return False
        if done(workers):
            return False
    return True


def patience_s(peer, sizes):
    """After how long nothing more is expected of what is left. What comes back later is counted as waiting."""
    back_s = gives_back_s(peer)
    return max(sizes.stalled_s, min(1.5 * back_s, sizes.stalled_max_s) if back_s <= sizes.stalled_max_s else 0)


def gives_back_s(peer):
    """After how many seconds a job whose worker was killed is given to another, by its documentation; 0 for never."""
    about = peer.about["recovery"]
    return (about.get("shortest_s") if about.get("shortest") else about.get("default_s")) or 0


def smallest(peer, stores, cap_s):
    """Whether the smallest program says hello, and its lines."""
    store = stores.make(peer.store, peer.recommended)
    log = Path(ROOT / "target/peers/log" / f"{peer.name}-smallest.log")
    try:
        with log.open("w") as out:
            process = start(peer, "smallest", store, out)
            try:
                until = time.monotonic() + cap_s
                while process.poll() is None and "hello" not in log.read_text(errors="replace"):
                    if time.monotonic() > until:
                        break
                    clock.sleep(0.1)
            finally:
                end(process)
    finally:
        store.close()
    if "hello" not in log.read_text(errors="replace"):
        raise Failed(f"the smallest program does not say hello: {reason(log)}")
    return peer.lines_of_smallest()


def median(values):
    values = [value for value in values if isinstance(value, int | float)]
    return statistics.median(values) if values else None
