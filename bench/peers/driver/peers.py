"""The peers: a folder each, with `peer.json`, which says what it is, and `command`, which runs it."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import clock
from process import end

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
# What has to be built first takes minutes; a registry that does not answer may not take the run's time.
SETUP_S = 900
STORES = {"sqlite": "SQLite", "postgres": "Postgres", "redis": "Redis"}


@dataclass
class Peer:
    folder: Path
    store: str
    about: dict

    @property
    def name(self):
        """The folder's, and the store's if the folder has several."""
        return self.folder.name if len(self.about["stores"]) == 1 else f"{self.folder.name}@{self.store}"

    @property
    def title(self):
        return self.about["title"]

    @property
    def recommended(self):
        return self.about["recommended"]

    @property
    def durabilities(self):
        """The recommended one first."""
        others = self.about["durabilities"] if self.store == "sqlite" else ["synced", "unsynced"]
        return [self.recommended, *(each for each in others if each != self.recommended)]

    def matches(self, words):
        """Whether one of the words is its name, its folder's or its store's, or its family's or "ours"."""
        mine = {
            self.name,
            self.folder.name,
            self.store,
            self.about["family"],
            "ours" if self.about["ours"] else "others",
        }
        return any(word in mine or word in self.folder.name.split("-") for word in words)

    def lines_of_smallest(self):
        """Lines of the smallest program, without empty ones and comments."""
        text = (self.folder / self.about["smallest"]).read_text()
        lines = [line.strip() for line in text.splitlines()]
        return sum(1 for line in lines if line and not line.startswith(("#", "//", "/*", "*")))


def find(words=(), short=False):
    peers = []
    ours = json.loads((HERE / "lib/ours.json").read_text())
    for path in sorted(HERE.glob("*/peer.json")):
        about = json.loads(path.read_text())
        if about["ours"]:
            about = {**ours, **about}
        for store in about["stores"]:
            override = about.get(store, {})
            peers.append(Peer(path.parent, store, {**about, **override}))
    if words:
        return [peer for peer in peers if peer.matches(words)]
    if short:
        return [peer for peer in peers if peer.store in peer.about.get("short", peer.about["stores"])]
    return peers


def set_up(peer):
    """Gets what the peer needs; the reason if it cannot be had."""
    script = peer.folder / "setup"
    if not script.exists():
        return None
    log = ROOT / "target/peers/log" / f"{peer.folder.name}-setup.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as out:
        process = subprocess.Popen(
            [str(script)], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            why = ended(process)
        finally:
            end(process)
    if why or process.returncode == 0:
        return why
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"cannot be had: {lines[-1].strip()[:200] if lines else 'setup failed'}"


def ended(process):
    """Waits for it; why it did not end, if so."""
    until = time.monotonic() + SETUP_S
    try:
        while process.poll() is None:
            if time.monotonic() > until:
                return f"cannot be had: its setup took longer than {SETUP_S} s"
            clock.sleep(0.1)
    except clock.OutOfTime as error:
        return f"cannot be had: its setup did not end, {error}"
    return None


def version(peer):
    environment = {**os.environ, "PEER_STORE": peer.store}
    command = [str(peer.folder / "command"), "version"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    if said.returncode != 0:
        raise RuntimeError(said.stderr[-300:])
    return said.stdout.strip()
