"""Proves the packages of dist/: each is installed in a clean root by its language's own client, without a network, and
used there: the README's first example, a worker that waits, and a pair with another language on one file. Before that
all that was packed is looked into, for platforms whose programs cannot run here as well. What was seen goes into the
table of release/README.md.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import inside
import proofs
import repository
import roots
import table
import targets
from proofs import Proof
from report import close, say, skip

RECORDS = table.RECORDS


@dataclass
class Seen:
    """What was seen of a package on a platform; never set but by a run."""

    package: str
    platform: str
    # What was packed, and what the natives in it are of: with ALLOW=older they may differ.
    commit: str
    natives: str
    size: int
    root: str
    installed: bool = False
    example: bool = False
    waits: bool = False
    pair: str = ""


def main(names: str) -> None:
    """Proves packages, or those of platforms; all of everything for no names."""
    packages, platforms = _chosen(names.split())
    about = json.loads((repository.DIST / "release.json").read_text())
    # What the suites have built is for this machine alone.
    failed = [] if repository.IS_SAMPLE else _look_inside(packages, platforms, about)
    if why := roots.unavailable():
        skip("the proofs", why)
        proven = []
    else:
        proven = [one for one in proofs.every() if one.name in packages and one.platform in platforms]
    RECORDS.mkdir(parents=True, exist_ok=True)
    done = 0
    for proof in proven:
        what = f"{proof.name} on {proof.platform}"
        record = RECORDS / f"{proof.name}-{proof.platform}.json"
        record.unlink(missing_ok=True)
        if why := proof.unavailable():
            skip(f"the proof of {what}", why)
            continue
        commit = about["commit"]
        natives = about["natives"].get(proof.platform, commit)
        seen = Seen(proof.name, proof.platform, commit, natives, proof.size(), proof.system or roots.KIND)
        try:
            _prove(proof, seen)
            done += 1
        except roots.Failed as failure:
            failed.append(what)
            say(f"{what}: {failure}")
        record.write_text(json.dumps(asdict(seen), indent=2) + "\n")
    if repository.IS_SAMPLE:
        say("a sample: the tables stay as they are")
    else:
        table.write(about["commit"])
    close(done, "proofs", failed)


def _chosen(names: list[str]) -> tuple[set[str], set[str]]:
    """The packages and the platforms that are named; of what is not named at all, all."""
    packages, platforms = set(table.PACKAGES), {target.name for target in targets.read()}
    for name in names:
        if name not in packages | platforms:
            raise SystemExit(f"there is no proof of {name}: there are {', '.join(sorted(packages | platforms))}")
    return packages & set(names) or packages, platforms & set(names) or platforms


def _look_inside(packages: set[str], platforms: set[str], about: dict[str, Any]) -> list[str]:
    """Checks the native parts in packages; which of them must not be released."""
    table.CHECKED.mkdir(parents=True, exist_ok=True)
    failed = []
    checked = 0
    for target in targets.read():
        if target.name not in platforms:
            continue
        for package in sorted(packages & inside.PLACES.keys()):
            what = f"{package} for {target.name}"
            record = table.CHECKED / f"{package}-{target.name}.json"
            record.unlink(missing_ok=True)
            if target.name not in about["natives"]:
                continue
            wrong = inside.problems(package, target)
            if wrong:
                failed.append(what)
                say(f"{what}: {'; '.join(wrong)}")
            elif wrong is None:
                if not inside.parts(package, target) & target.never:
                    skip(what, "dist/ has no such package")
            else:
                seen = {"package": package, "platform": target.name, "commit": about["commit"]}
                record.write_text(json.dumps(seen) + "\n")
                checked += 1
    say(f"looked into packages: the native parts of {checked} are sound")
    return failed


def _prove(proof: Proof, seen: Seen) -> None:
    what = f"{proof.name} on {proof.platform}"
    with ExitStack() as stack:
        root = stack.enter_context(roots.root(proof.layer, proof.debian, proof.cpu))
        proof.furnish(root)
        if proof.compiles:
            root.compilers = ""
        root.run(proof.install)
        seen.installed = True
        say(f"{what}: installed")
        for name, text in proof.example.items():
            root.write(name, text)
        _hear(root, proof.run_example, proof.says)
        seen.example = True
        say(f"{what}: the README's example ran")
        shared = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="honker-pair-")))
        root.lend(shared, "/shared", writable=True)
        for name, text in proof.worker.items():
            root.write(name, text)
        if proof.build_worker:
            root.run(proof.build_worker)
        if proof.beside:
            _hear(root, proof.beside, "answered")
            seen.waits, seen.pair = True, proof.partner
        else:
            _with_another(stack, root, proof, seen, shared)
        if seen.pair:
            say(f"{what}: waited for {seen.pair}, and was waited for")


def _with_another(stack: ExitStack, root: roots.Root, proof: Proof, seen: Seen, shared: Path) -> None:
    """The pair, whose other side is in a root of its own."""
    partner = proofs.partner(proof) if proof.run_worker else proofs.waiting(proof)
    if why := partner.unavailable():
        skip(f"the pair of {proof.name} and {partner.name} on {proof.platform}", why)
        return
    other = stack.enter_context(roots.root(partner.layer, partner.debian, partner.cpu))
    partner.furnish(other)
    other.lend(shared, "/shared", writable=True)
    other.run(partner.install)
    for name, text in (partner.example | partner.worker).items():
        other.write(name, text)
    if proof.run_worker:
        _pair(root.start(proof.run_worker), shared, lambda: _hear(other, partner.run_example, partner.says))
        seen.waits = True
    else:
        _pair(other.start(partner.run_worker), shared, lambda: _hear(root, proof.asks, "answered"))
    seen.pair = partner.name


def _hear(root: roots.Root, command: str, wanted: str) -> None:
    said = root.run(command, timeout=600)
    if wanted not in said.splitlines():
        raise roots.Failed(f"{command}\nsays: {said}")


def _pair(worker: "subprocess.Popen[str]", shared: Path, ask: Callable[[], None]) -> None:
    """The worker waits for a job of the other side's, and answers by another, for which that waits."""
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
        ask()
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
