"""Puts honker beside the others: `bench/peers/run --help`.

Peers take turns, for a number of rounds, and medians count. What has been measured is kept in target/peers, from
which the report is made; a part (`--only`) leaves the rest of it as it was.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
from datetime import UTC, datetime

import clock
import measures
import peers
import plan
import report
from measures import Sizes
from results import Results
from run import Run
from store import Stores

RESULTS = peers.ROOT / "target/peers"


def main():
    arguments = parsed()
    if arguments.smoke:
        arguments.only = arguments.only or ["honker-python@sqlite", "honker-go@sqlite"]
        arguments.scale, arguments.rounds, arguments.check = 0.01, 1, True
    # A form has results of its own: what is in one table was measured in the same way.
    name = "smoke" if arguments.smoke else form_of(arguments).split()[0]
    results = Results(RESULTS / f"{name}.json")
    if arguments.report:
        return report.write(results.all)
    chosen = peers.find(arguments.only, short=not arguments.full)
    if not chosen:
        sys.exit("there is no such peer")
    if arguments.plan:
        took = {name: result.get("took", {}) for name, result in results.all["peers"].items()}
        return print(plan.told(chosen, sizes_of(arguments), arguments, took))
    if arguments.minutes:
        clock.end_in(arguments.minutes * 60)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ended)
    measure(results, chosen, arguments)
    if clock.is_stopped():
        sys.exit("the run was ended: with --resume it goes on, with --report what has been measured is told")
    if arguments.check:
        sys.exit(check(results, chosen))
    if not arguments.setup and form_of(arguments) in ("short", "full"):
        report.write(results.all)


def parsed():
    parser = argparse.ArgumentParser(prog="bench/peers/run", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--only", default=[], type=lambda text: [word for word in text.split(",") if word],
        help="peers, families, stores, 'ours' or 'others', with commas between")  # fmt: skip
    add("--parts", default=[], type=lambda text: text.split(","),
        help="throughput, pickup, smallest, rollback, behind, idle, killed, recovery")  # fmt: skip
    add("--full", action="store_true", help="everything, at full length")
    add("--scale", type=float, default=1, help="less of everything, and no report: 0.02 to see that it works")
    add("--rounds", type=int, default=3)
    add("--minutes", type=float, help="the run ends by then, set-up included, with fewer rounds if need be")
    add("--setup", action="store_true", help="get and build what the peers need, and measure nothing")
    add("--plan", action="store_true", help="tell how long each part of each peer takes, about, and do nothing")
    add(
        "--resume",
        action="store_true",
        help="go on where a run ended: keep what is done, try again what failed",
    )
    add("--report", action="store_true", help="make the report from what was measured before")
    add("--check", action="store_true", help="fail if there was trouble; no report")
    add("--smoke", action="store_true", help="for tests: two of ours, very little of everything, checked")
    return parser.parse_args()


def ended(number, _):
    """All that waits gives up, and ends what it has started. At the second time, at once."""
    clock.stop()
    signal.signal(number, signal.SIG_DFL)


def sizes_of(arguments):
    sizes = Sizes.full() if arguments.full else Sizes()
    if arguments.scale != 1:
        sizes = sizes.scaled(arguments.scale)
    if arguments.check:
        sizes.start_cap_s, sizes.cap_s, sizes.drain_cap_s = 180, 10, 10
    if arguments.smoke:
        sizes = measures.patient(sizes)
    return sizes


def form_of(arguments):
    return "full" if arguments.full else f"scale {arguments.scale}" if arguments.scale != 1 else "short"


def machine(arguments):
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
        "form": form_of(arguments),
        "rounds": 0,
        "only": " ".join(arguments.only),
    }


def measure(results, chosen, arguments):
    if arguments.setup:
        for peer, why in set_up(chosen).items():
            print(f"{peer}: {why or 'is there'}", flush=True)
        return
    results.lock()
    begin = results.resume if arguments.resume else results.begin
    begin(machine(arguments), [peer.name for peer in chosen])
    stores, there = Stores(), []
    try:
        reasons = set_up(chosen)
        for peer in chosen:
            if reasons[peer.folder.name]:
                results.trouble(peer, "setup", reasons[peer.folder.name])
            elif is_there(peer, stores, results):
                there.append(peer)
        Run(results, stores, sizes_of(arguments), arguments).all_of(there)
    finally:
        stores.close()


def set_up(chosen):
    """For each folder nothing, or the reason why the peer cannot be had."""
    reasons = {}
    for peer in chosen:
        name = peer.folder.name
        if name not in reasons:
            reasons[name] = peers.set_up(peer)
    return reasons


def is_there(peer, stores, results):
    """Whether the peer and its store can be started; their versions."""
    try:
        results.of(peer)["version"] = peers.version(peer)
        store = stores.make(peer.store, peer.recommended)
        results.of(peer)["store"] = store.version
        store.close()
        results.of(peer)["trouble"].pop("setup", None)
        return True
    except Exception as error:
        results.trouble(peer, "setup", error)
        return False


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
    # Fails where the document and the tables do not go together.
    report.filled(report.DOCUMENT.read_text(), results.all)
    for line in wrong:
        print(f"FAILED {line}")
    print(f"{len(chosen)} programs beside each other: {len(wrong)} troubles")
    return 1 if wrong else 0


main()
