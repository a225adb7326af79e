"""python -m honker worker MODULE:DATABASE: runs the tasks of a module.

The current directory is where modules are looked for, beside those that are installed.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import sysconfig
import threading
from collections.abc import Sequence

from ._processes import TargetError, load
from ._version import __version__
from .errors import Error, UnfinishedError
from .task import registry
from .worker import Worker

log: logging.Logger = logging.getLogger("honker.worker")

# How often --reload looks at the files; and where none of them are.
LOOK_S = 0.3
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if not logging.getLogger().handlers:
        logging.basicConfig(
            level=getattr(logging, options.log_level.upper()), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
    sys.exit(_reloading(options) if options.reload else _worker(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m honker", description=__doc__)
    parser.add_argument("--version", action="version", version=f"honker {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    worker = commands.add_parser(
        "worker",
        help="run the tasks of a module",
        description="Runs the tasks of a module until SIGTERM or SIGINT comes. What runs then has time to finish, and "
        "is given back after that.",
        epilog="example: python -m honker worker app.jobs:db --queue emails --concurrency 8",
    )
    add = worker.add_argument
    add("target", metavar="MODULE:DATABASE", help="the module that has the tasks, and its open database")
    add("--queue", action="append", metavar="NAME", help="which to work; by default all that have tasks")
    add("--concurrency", type=_positive, metavar="N", help="how many run at once; by default one a processor")
    add("--processes", action="store_true", help="each task in a process of its own, which can be killed")
    add("--stop-timeout", type=_seconds, default=8.0, metavar="S", help="how long tasks may go on; %(default)s s")
    add("--list", action="store_true", help="print the tasks with their queues, and end")
    add("--reload", action="store_true", help="begin again when a module's file changes; for development")
    add("--log-level", default="info", choices=["debug", "info", "warning", "error"], metavar="LEVEL")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("has to be 1 or more")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError("has to be 0 or more")
    return number


def _worker(options: argparse.Namespace, stop: threading.Event | None = None) -> int:
    """Its exit status."""
    try:
        database = load(options.target)
    except TargetError as error:
        return _fail(str(error))
    if not registry:
        return _fail(
            f"no tasks are registered in {options.target.partition(':')[0]}: decorate functions with @db.task()"
        )
    if options.list:
        for name, task in sorted(registry.items()):
            print(f"{name}\t{task.queue.name}")
        return 0
    worker = Worker(
        database,
        options.queue,
        concurrency=options.concurrency,
        stop_timeout_s=options.stop_timeout,
        processes=options.target if options.processes else None,
    )
    try:
        worker.run(stop)
    except UnfinishedError as error:
        return _fail(str(error))
    except Error as error:
        return _fail(f"{error} ({error.name})")
    return 0


def _fail(message: str) -> int:
    print(f"honker: {message}", file=sys.stderr)
    return 1


# Reloading.


def _reloading(options: argparse.Namespace) -> int:
    """Becomes a new process of the same command when a file changes; also after one that could not be imported."""
    changed = threading.Event()
    before = _files()

    def watch() -> None:
        known = dict(before)
        while not changed.wait(LOOK_S):
            now = _files()
            if any(known.get(path, stamp) != stamp for path, stamp in now.items()):
                changed.set()
                return
            known.update(now)

    thread = threading.Thread(target=watch, name="honker-reload", daemon=True)
    thread.start()
    try:
        status = _worker(options, changed)
        failed = status != 0
    except Exception:
        log.exception("%s cannot be imported", options.target)
        failed, status = True, 1
    if failed and not changed.is_set():
        log.info("waiting for a change")
        try:
            changed.wait()
        except KeyboardInterrupt:
            return status
    if changed.is_set():
        log.info("begins again: a file has changed")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    return status


def _files() -> dict[str, float]:
    """Those of the modules that are neither installed nor Python's, and of the current directory; when they changed."""
    found: dict[str, float] = {}
    paths = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    for entry in os.scandir("."):
        if entry.name.endswith(".py"):
            paths.add(os.path.abspath(entry.path))
    for path in paths:
        if path and not path.startswith(_INSTALLED):
            try:
                found[os.path.abspath(path)] = os.stat(path).st_mtime
            except OSError:
                continue
    return found
