"""The tables of docs/comparison.md and its pictures, made of the results.

The document has markers, `<!-- NAME -->` and `<!-- end of NAME -->`; what is between them is written here, the rest by
people.
"""

import re

import peers
import picture
from measures import median

DOCUMENT = peers.ROOT / "docs/comparison.md"
PICTURES = peers.ROOT / "docs/pictures"
NONE = "–"


class Row:
    """A peer with what was measured of it."""

    def __init__(self, peer, result):
        self.peer, self.result = peer, result
        self.values, self.trouble = result["values"], result["trouble"]

    @property
    def title(self):
        title = self.peer.title + (", on Postgres" if self.peer.about["ours"] and self.peer.store == "postgres" else "")
        return f"**{title}**" if self.peer.about["ours"] else title

    def get(self, name):
        """The median of complete rounds, in each of which all peers had their turn."""
        return median(self.values.get(name, [])[: self.result.get("rounds") or None])

    def last(self, name):
        found = self.values.get(name)
        return found[-1] if found else None


def rows_of(results):
    """Files first; on each store the row by hand, ours, and the others."""
    rows = [Row(peer, results["peers"][peer.name]) for peer in peers.find() if peer.name in results["peers"]]

    def place(row):
        about = row.peer.about
        return list(peers.STORES).index(row.peer.store), not about.get("raw"), not about["ours"], row.title.lower()

    return sorted(rows, key=place)


def filled(text, results):
    """The document with the tables of these results."""
    rows = rows_of(results)
    parts = {
        "machine": machine(results["machine"]),
        "speed, unsynced": shown("drain", "Jobs done in a second") + speed(rows, "unsynced"),
        "speed, synced": speed(rows, "synced"),
        "pickup": shown("pickup", "From enqueueing to the job in hand") + pickup(rows),
        "idle": shown("idle", "An idle worker") + idle(rows),
        "recovery": recovery(rows),
        "trust": trust(rows),
        "size": size(rows),
        "settings": settings(rows),
        "missing": missing(rows),
    }
    for name, made in parts.items():
        begin, finish = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if begin not in text or finish not in text:
            raise SystemExit(f"{DOCUMENT}: there is no {begin} or its end")
        before, rest = text.split(begin, 1)
        text = f"{before}{begin}\n\n{made}\n\n{finish}{rest.split(finish, 1)[1]}"
    return text


def shown(name, title):
    return f"![{title}](pictures/peers-{name}.svg)\n\n"


def write(results):
    DOCUMENT.write_text(filled(DOCUMENT.read_text(), results))
    pictures(rows_of(results))
    print(f"the report is in {DOCUMENT.relative_to(peers.ROOT)}")


def table(columns, rows):
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join(["---", *["---:"] * (len(columns) - 1)]) + " |"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def machine(about):
    part = f" A part was measured last: {about['only']}." if about["only"] else ""
    return (
        f"Measured {about['date']} on commit {about['commit']}: {about['processor']}, {about['cores']} cores, "
        f"{about['memory']}, {about['system']}, {about['filesystem']}; {about['form']} form, {about['rounds']} rounds, "
        f"load {about['load']} before.{part}"
    )


def whole(value):
    return NONE if value is None else f"{value:,.0f}"


def milliseconds(value):
    return NONE if value is None else f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


def speed(rows, durability):
    measures = ("enqueue", "bulk", "transact", "drain 1x1", "drain 1x4", "drain 1x16", "drain 4x1")
    columns = (
        f"{durability}, per second",
        "enqueue",
        "100 at a time",
        "in your transaction",
        "drain, 1",
        "4",
        "16",
        "4 processes",
    )
    made = []
    for row in rows:
        if durability not in row.peer.durabilities or f"{durability} enqueue" not in row.values:
            continue
        star = " \\*" if row.peer.recommended == durability else ""
        twice = any(name.startswith(durability) and name.endswith("twice") for name in row.values)
        note = " (ran jobs twice)" if twice else ""
        made.append([row.title + star + note, *(whole(row.get(f"{durability} {name}")) for name in measures)])
    return table(columns, made)


def pickup(rows):
    columns = (
        "milliseconds",
        "p50",
        "p99",
        "max",
        "p50, with jobs behind",
        "p99",
        "max",
        "delayed behind",
        "done behind",
    )
    made = []
    for row in rows:
        if row.get("pickup p50") is None:
            continue
        names = [f"{prefix} {name}" for prefix in ("pickup", "behind") for name in ("p50", "p99", "max")]
        counts = [whole(row.get(f"behind {name}")) for name in ("delayed", "done")]
        made.append([row.title, *(milliseconds(row.get(name)) for name in names), *counts])
    return table(columns, made)


def idle(rows):
    columns = (
        "idle",
        "% of a core",
        "wake-ups a second",
        "ten workers: % of a core",
        "wake-ups a second",
        "server, beside ten: % of a core",
    )
    made = []
    for row in rows:
        many = next((name.split()[1] for name in row.values if re.fullmatch(r"idle (2|10) cpu", name)), "10")
        if row.get("idle 1 cpu") is None:
            continue
        cells = []
        for count in ("1", many):
            cpu, wakes = row.get(f"idle {count} cpu"), row.get(f"idle {count} wakes")
            cells += [NONE if cpu is None else f"{cpu * 100:.3f}", NONE if wakes is None else f"{wakes:,.1f}"]
        server = row.get(f"idle {many} server cpu") if row.peer.store != "sqlite" else None
        made.append([row.title, *cells, NONE if server is None else f"{server * 100:.3f}"])
    return table(columns, made)


def recovery(rows):
    columns = (
        "after SIGKILL, the job runs again",
        "default settings",
        "as documented",
        "shortest that can be set",
        "as documented",
    )
    made = []
    for row in rows:
        about = row.peer.about["recovery"]
        if "recovery default" not in row.values and "recovery shortest" not in row.values:
            continue
        cells = []
        for setting in ("default", "shortest"):
            cells += [seconds(row, f"recovery {setting}"), about.get(setting) or NONE]
        made.append([row.title, *cells])
    return table(columns, made)


def seconds(row, name):
    if name not in row.values:
        return NONE
    value = row.last(name)
    if value is None:
        return "not within the cap"
    return f"{value * 1000:,.0f} ms" if value < 1 else f"{value:,.1f} s"


def trust(rows):
    columns = ("", "rollback leaves nothing", "jobs", "kills", "not done", "done twice")
    made = []
    for row in rows:
        if "rollback" not in row.values and "killed jobs" not in row.values:
            continue
        answer = {"none": "cannot be had", "yes": "yes", None: NONE}.get(row.last("rollback"), "**no**")
        jobs, kills, missing, waiting, twice = (
            row.last(f"killed {name}") for name in ("jobs", "kills", "missing", "waiting", "twice")
        )
        undone = f"{waiting:,} were waiting" if waiting else whole(missing)
        made.append([row.title, answer, whole(jobs), whole(kills), undone, whole(twice)])
    return table(columns, made)


def size(rows):
    columns = ("", "memory of a worker, MB", "on disk, with jobs behind, MB", "lines of the smallest program")
    made = []
    for row in rows:
        if not row.values:
            continue
        used, disk = row.get(f"{row.peer.recommended} drain 1x16 memory"), row.get("disk")
        cells = [NONE if value is None else f"{value / 1e6:,.1f}" for value in (used, disk)]
        made.append([row.title, *cells, whole(row.get("lines"))])
    return table(columns, made)


def settings(rows):
    lines = ["| | version | settings | where its documentation says so |", "| --- | --- | --- | --- |"]
    for row in rows:
        about = row.peer.about
        version = row.result.get("version", NONE)
        lines.append(f"| {row.title} | {version} | {about['settings']} | {about['documented']} |")
    stores = sorted({row.result["store"] for row in rows if "store" in row.result and row.peer.store != "sqlite"})
    return "\n".join(lines) + ("\n\nServers: " + ", ".join(stores) + "." if stores else "")


def missing(rows):
    lines = []
    for row in rows:
        parts = {}
        for what, why in row.trouble.items():
            parts.setdefault(re.sub(r"/(tmp|root|home|work)\S*", "…", why).replace("|", "\\|")[:300], []).append(what)
        lines += [f"| {row.title} | {'; '.join(what)} | {why} |" for why, what in parts.items()]
    if not lines:
        return "Nothing is missing."
    return "\n".join(["| | what is missing | why |", "| --- | --- | --- |", *lines])


def pictures(rows):
    def bars(name, scale=1.0):
        return [
            (row.title.strip("*"), value * scale, row.peer.about["ours"], row.peer.store)
            for row in rows
            if (value := row.get(name)) is not None
        ]

    def write_picture(name, title, unit, found, better):
        if found:
            (PICTURES / f"peers-{name}.svg").write_text(picture.bars(title, unit, found, better))

    drained = [
        (row.title.strip("*"), value, row.peer.about["ours"], row.peer.store)
        for row in rows
        if (value := row.get(f"{row.peer.recommended} drain 1x16")) is not None
    ]
    write_picture("drain", "Jobs done in a second, 16 at a time, recommended settings", "", drained, "longer is better")
    write_picture("pickup", "From enqueueing to the job in hand, p99", "ms", bars("pickup p99"), "shorter is better")
    write_picture("idle", "An idle worker, of a core", "%", bars("idle 1 cpu", 100), "shorter is better")
