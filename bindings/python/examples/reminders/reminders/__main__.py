"""python -m reminders: the server, its worker, and a client for the command line."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from typing import Any

import httpx

from .settings import Settings

URL = "http://127.0.0.1:8000"


def main() -> None:
    options = parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    sys.exit(options.run(options))


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m reminders", description="Reminders: a server, and its client.")
    top.add_argument("--url", default=os.environ.get("REMINDERS_URL", URL), help="where the server is; %(default)s")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the server")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--no-worker", action="store_true", help="deliver nothing: `worker` does")
    serve.set_defaults(run=run_server)
    commands.add_parser("worker", help="deliver, apart from the server").set_defaults(run=run_worker)

    add = commands.add_parser("add", help="create a reminder")
    add.add_argument("title")
    add.add_argument("message", nargs="?", default="")
    when = add.add_mutually_exclusive_group(required=True)
    when.add_argument("--in", metavar="10m", help="once, after this time")
    when.add_argument("--at", metavar="2030-01-01T09:00Z", help="once, at this time")
    when.add_argument("--every", metavar="2h", help="again and again")
    when.add_argument("--cron", metavar="'0 9 * * mon-fri'", help="at times of the calendar")
    add.add_argument("--timezone", metavar="Europe/Berlin", help="of --cron; by default the server's")
    add.add_argument("--priority", type=int, default=3, help="1 to 5, the most urgent; %(default)s")
    add.set_defaults(run=create)

    commands.add_parser("list", help="show all reminders").set_defaults(run=lambda it: ask(it, "GET", "/reminders"))
    commands.add_parser("dead", help="show what was given up").set_defaults(run=lambda it: ask(it, "GET", "/dead"))
    for name, what, method, path in (
        ("show", "show a reminder", "GET", "/reminders/{}"),
        ("deliveries", "show what came of a reminder", "GET", "/reminders/{}/deliveries"),
        ("pause", "keep a reminder from coming", "POST", "/reminders/{}/pause"),
        ("resume", "let it come again", "POST", "/reminders/{}/resume"),
        ("delete", "delete a reminder", "DELETE", "/reminders/{}"),
        ("retry", "deliver what was given up", "POST", "/dead/{}/retry"),
    ):
        one = commands.add_parser(name, help=what)
        one.add_argument("id", type=int)
        one.set_defaults(run=lambda it, method=method, path=path: ask(it, method, path.format(it.id)))
    return top


def run_server(options: argparse.Namespace) -> int:
    import uvicorn

    from .app import create_app

    app = create_app(Settings.of_environment(), delivers=not options.no_worker)
    uvicorn.run(app, host=options.host, port=options.port, log_config=None)
    return 0


def run_worker(options: argparse.Namespace) -> int:
    from .reminders import Reminders

    async def work() -> None:
        reminders = Reminders(Settings.of_environment())
        try:
            await reminders.worker().arun(signals=True)
        finally:
            await reminders.aclose()

    asyncio.run(work())
    return 0


def create(options: argparse.Namespace) -> int:
    names = ("title", "message", "priority", "in", "at", "every", "cron", "timezone")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    return ask(options, "POST", "/reminders", given)


def ask(options: argparse.Namespace, method: str, path: str, body: Any = None) -> int:
    """Prints what the server answers; its exit status."""
    try:
        response = httpx.request(method, options.url + path, json=body, timeout=30)
    except httpx.TransportError as error:
        print(f"reminders: {options.url} does not answer: {error}", file=sys.stderr)
        return 1
    answer: Any = response.json() if response.content else None
    if response.is_success:
        for one in answer if isinstance(answer, list) else [answer]:
            if one is not None:
                print(json.dumps(one, ensure_ascii=False))
        return 0
    detail = answer["detail"]
    if isinstance(detail, list):  # FastAPI's, of what is not valid
        detail = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))} {one['msg']}".strip() for one in detail)
    print(f"reminders: {detail}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    main()
