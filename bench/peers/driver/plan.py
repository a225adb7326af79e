"""How long a run takes, about: for each part what its sizes and caps allow, or, where it has been measured in the same
form, what it took."""

from collections import Counter
from datetime import timedelta

from measures import DRAINS, gives_back_s, recovery_wait_s
from run import IDLE_AT_A_TIME, SOON_S, WAITING_AT_A_TIME

COLUMNS = ("smallest", "throughput", "pickup", "rollback", "behind", "killed", "idle", "recovery")
# To start and end a program that enqueues, or workers, with a store of its own; an interpreter takes most of it.
START_S = 0.8


def told(peers, sizes, arguments, took):
    """A table of seconds. `took` has what was measured, by peer and part."""
    columns = [name for name in COLUMNS if not arguments.parts or name in arguments.parts]
    lines = [f"{'seconds':<24}" + "".join(f"{name:>11}" for name in columns)]
    sums, first, again = Counter(), 0.0, 0.0
    for peer in peers:
        measured = took.get(peer.name, {})
        of_peer = Counter()
        for column in columns:
            for part, rounds in parts_of(peer, column, arguments.rounds):
                seconds = measured.get(part, estimate(peer, part, sizes))
                of_peer[column] += seconds * rounds
                first += seconds / beside(peer, part)
                again += seconds * (rounds - 1)
        lines.append(f"{peer.name:<24}" + "".join(f"{of_peer[name]:>11.0f}" for name in columns))
        sums += of_peer
    lines.append(f"{'all':<24}" + "".join(f"{sums[name]:>11.0f}" for name in columns))
    each = again / max(1, arguments.rounds - 1)
    lines.append(
        f"{len(peers)} rows: {minutes(first)} for everything once, idle and recovery for several at a time, and "
        f"{minutes(each)} for each of {arguments.rounds - 1} more rounds: {minutes(first + again)}, without setup"
    )
    return "\n".join(lines)


def minutes(seconds):
    return str(timedelta(seconds=round(seconds)))


def parts_of(peer, column, rounds):
    """The parts that a column sums up, and in how many rounds each comes."""
    if column == "throughput":
        return [(f"throughput, {each}", rounds if each == peer.recommended else 1) for each in peer.durabilities]
    if column == "recovery":
        settings = ("default", "shortest") if peer.about["recovery"].get("shortest") else ("default",)
        return [(f"recovery, {setting}", 1) for setting in settings]
    return [("smallest program" if column == "smallest" else column, rounds if column == "pickup" else 1)]


def beside(peer, part):
    """How many peers are measured at a time."""
    if part == "idle":
        return IDLE_AT_A_TIME
    if part.startswith("recovery"):
        expected_s = peer.about["recovery"].get(f"{part.split(', ')[1]}_s")
        return 1 if expected_s is not None and expected_s <= SOON_S else WAITING_AT_A_TIME
    return 1


def estimate(peer, part, sizes):
    pickup = 2 * START_S + 3 + sizes.pickups * 0.04
    if part.startswith("throughput"):
        shapes = DRAINS if part.endswith(f" {peer.recommended}") else sizes.drains_once
        return START_S + 3 * sizes.cap_s + len(shapes) * (2 * START_S + sizes.cap_s + sizes.drain_cap_s + sizes.quiet_s)
    if part == "pickup":
        return pickup
    if part == "rollback":
        return 2 * START_S + 2
    if part == "behind":
        return pickup + START_S + 2 * sizes.fill_cap_s
    if part == "killed":
        loses = gives_back_s(peer) > sizes.stalled_max_s or not (gives_back_s(peer) or peer.about["ours"])
        after_s = sizes.stalled_s if loses else gives_back_s(peer)
        return 2 * START_S + sizes.fill_cap_s + sizes.kill_cap_s + after_s
    if part == "idle":
        return 2 * (2 * START_S + 4 + sizes.idle_s)
    if part.startswith("recovery"):
        setting = part.split(", ")[1]
        wait_s = recovery_wait_s(peer, setting, sizes)
        expected_s = peer.about["recovery"].get(f"{setting}_s")
        return 2 * START_S + 4 + min(wait_s, wait_s if expected_s is None else expected_s)
    return START_S + 2  # the smallest program
