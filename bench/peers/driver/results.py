"""What has been measured: kept in a file after each part, so that a run that is ended loses only the part it is at."""

import fcntl
import json
import threading


class Results:
    """Of each peer `values`, all by the name of the measure; `took`, the seconds of each part that is done; `trouble`,
    by the part, what went wrong; `rounds`, how many are complete."""

    def __init__(self, path):
        self.path = path
        self._mutex = threading.RLock()
        self.all = json.loads(path.read_text()) if path.exists() else {"peers": {}}

    def lock(self):
        """For a run: two of them at a time would write over each other's results, and neither would be alone."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._held = self.path.with_suffix(".lock").open("w")
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another run is at work on {self.path}") from None

    def begin(self, machine, names):
        """Forgets what these peers have."""
        self.all["machine"] = machine
        for name in names:
            self.all["peers"][name] = new()
        self.save()

    def resume(self, machine, names):
        """Keeps what these peers have. It has to be of the same form, to be told in one table."""
        before = self.all.get("machine")
        if before is None:
            return self.begin(machine, names)
        if before["form"] != machine["form"]:
            raise SystemExit(
                f"what was measured is of another form: {before['form']}; without --resume all begins anew"
            )
        if machine["commit"] not in before["commit"].split("; "):
            before["commit"] += f"; {machine['commit']}"
        for name in names:
            self.all["peers"].setdefault(name, new())
        self.save()

    def of(self, peer):
        return self.all["peers"][peer.name]

    def is_done(self, peer, part):
        return part in self.of(peer)["took"]

    def add(self, peer, part, values, seconds):
        with self._mutex:
            result = self.of(peer)
            for name, value in values.items():
                result["values"].setdefault(name, []).append(value)
            result["took"][part] = round(seconds, 1)
            result["trouble"].pop(part, None)
            self.save()

    def trouble(self, peer, part, error):
        with self._mutex:
            self.of(peer)["trouble"][part] = str(error)
            print(f"  {peer.name}: {part}: {error}", flush=True)
            self.save()

    def rounds(self, peers, number):
        """So many are complete."""
        with self._mutex:
            for about in (self.all["machine"], *(self.of(peer) for peer in peers)):
                about["rounds"] = max(number, about.get("rounds", 0))
            self.save()

    def save(self):
        with self._mutex:
            new_file = self.path.with_suffix(".new")
            new_file.write_text(json.dumps(self.all, indent=1))
            new_file.replace(self.path)


def new():
    return {"values": {}, "took": {}, "trouble": {}}
