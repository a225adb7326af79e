"""Proves the packages of dist/: each is installed in a clean root by its language's own client, without a network, and
used there: the README's first example, a worker that waits, and a pair with another language on one file. What was seen
goes into the table of release/README.md.
"""

import importlib
import json
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import repository
import roots
import table
from proofs import Proof
from report import close, say, skip

PACKAGES = ["python", "go", "node", "bun", "ruby", "c", "jvm", "dotnet", "elixir", "rust"]
RECORDS = repository.TARGET / "release-proofs"
# What the pair says to each other.
PING = '{"ping":1}'


@dataclass
class Seen:
    """What was seen of a package on a platform; never set but by a run."""

    package: str
    platform: str
    commit: str
    size: int
    root: str = roots.KIND
    installed: bool = False
    example: bool = False
    waits: bool = False
    pair: str = ""


def main(names: str) -> None:
    if why := roots.unavailable():
        skip("the proofs", why)
        close(0, "proofs")
        return
    RECORDS.mkdir(parents=True, exist_ok=True)
    failed = []
    done = 0
    for name in names.split() or PACKAGES:
        proof: Proof = importlib.import_module(f"proofs.{name}").PROOF
        if why := proof.unavailable():
            skip(f"the proof of {name}", why)
            continue
        seen = Seen(name, proof.platform, repository.commit(), proof.size())
        record = RECORDS / f"{name}-{proof.platform}.json"
        record.unlink(missing_ok=True)
        try:
            _prove(proof, seen)
            done += 1
        except roots.Failed as failure:
            failed.append(name)
            say(f"{name}: {failure}")
        record.write_text(json.dumps(asdict(seen), indent=2) + "\n")
    if json.loads((repository.DIST / "release.json").read_text())["is_whole"]:
        table.write()
    else:
        say("the natives in dist/ are of an earlier commit: the table of the README stays as it is")
    close(done, "proofs")
    if failed:
        raise SystemExit(f"release: {', '.join(failed)} failed")


def _prove(proof: Proof, seen: Seen) -> None:
    with ExitStack() as stack:
        root = stack.enter_context(roots.root(proof.name, proof.debian))
        proof.furnish(root)
        if proof.compiles:
            root.compilers = ""
        root.run(proof.install)
        seen.installed = True
        say(f"{proof.name}: installed")
        for name, text in proof.example.items():
            root.write(name, text)
        said = root.run(proof.run_example)
        if proof.says not in said.splitlines():
            raise roots.Failed(f"the README's example says: {said}")
        seen.example = True
        say(f"{proof.name}: the README's example ran")
        shared = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="honker-pair-")))
        root.lend(shared, "/shared", writable=True)
        for name, text in proof.worker.items():
            root.write(name, text)
        partner: Proof = importlib.import_module(f"proofs.{proof.partner}").PARTNER
        if why := partner.unavailable():
            skip(f"the pair of {proof.name} and {partner.name}", why)
            return
        other = stack.enter_context(roots.root(partner.name, partner.debian))
        partner.furnish(other)
        other.lend(shared, "/shared", writable=True)
        other.run(partner.install)
        for name, text in partner.example.items():
            other.write(name, text)
        if proof.build_worker:
            root.run(proof.build_worker)
        _pair(root.start(proof.run_worker), other, partner, shared)
        seen.waits = True
        seen.pair = partner.name
        say(f"{proof.name}: waited for {partner.name}, and was waited for")


def _pair(worker: "subprocess.Popen[str]", other: roots.Root, partner: Proof, shared: Path) -> None:
    """The worker waits for a job of the partner's, and answers by another, for which the partner waits."""
    try:
        deadline = time.monotonic() + 300
        while not (shared / "waiting").exists():
            if worker.poll() is not None:
                raise roots.Failed(f"the worker ended before it waited: {worker.communicate()[0]}")
            if time.monotonic() > deadline:
                worker.kill()
                raise roots.Failed(f"the worker does not wait: {worker.communicate()[0]}")
            time.sleep(0.1)
        # It is to be asleep when the job comes.
        time.sleep(2)
        if worker.poll() is not None:
            raise roots.Failed(f"the worker did not wait: {worker.communicate()[0]}")
        said = other.run(partner.run_example, timeout=300)
        if partner.says not in said.splitlines():
            raise roots.Failed(f"the partner says: {said}")
        said, _ = worker.communicate(timeout=300)
        if worker.returncode != 0:
            raise roots.Failed(f"the worker ended with {worker.returncode}: {said}")
    except subprocess.TimeoutExpired:
        worker.kill()
        raise roots.Failed(f"the worker has not ended: {worker.communicate()[0]}") from None
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait()
