"""A testee without a package behind it: it answers what the case tells it to, right or wrong, to test the suite itself.

Any argument may be {"do": [...]}, or that as a text; what is listed is done in order:

    {"answer": {...}}   answers with these keys          {"die": 9}        kills itself with this signal
    {"raw": "..."}      writes this line                 {"exit": 3}       exits
    {"sleep": 0.1}      waits so many seconds            {"leak": "..."}   keeps a "descriptor", or a so named thread
    {"at_reset": {...}} does this after `reset` has closed everything
    {"sql": "..."}      executes it in the case's file   {"write": [name, text]}  writes a file beside it
    {"corrupt": true}   spoils the file                  {"fire": true}  does as if a fault had fired
    {"tell": "clock"}   answers with the clock's second as the id of a job; "tz": whether TZ is as expected

Without any it answers what is right for nearly every operation. Arguments on the command line make it a bad testee.
"""

import ctypes
import json
import mmap
import os
import signal
import sqlite3
import struct
import sys
import threading
import time
from pathlib import Path

PROTOCOL = json.loads((Path(__file__).parents[2] / "schema/protocol.schema.json").read_text())
LACKS = {"fork", "by_id"}
# The numbers of the words in the control file.
CLOCK_IS_SET, CLOCK, FIRED = 1, 2, 24

bad = set(sys.argv[1:])
lock = threading.Lock()
connections = []
kept = []
at_reset = []
file = None

with open(os.environ["HONKER_CONTROL"], "r+b") as control_file:
    control = mmap.mmap(control_file.fileno(), 0)


def word(number, value=None):
    if value is not None:
        struct.pack_into("<Q", control, number * 8, value)
    return struct.unpack_from("<q", control, number * 8)[0]


def write(line):
    with lock:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def answer(request, body):
    write(json.dumps({"seq": request["seq"], **body}))


def script(request):
    for value in request.values():
        if isinstance(value, str) and value.startswith('{"do"'):
            value = json.loads(value)
        if isinstance(value, dict) and "do" in value:
            return value["do"]
    return None


def tell(what):
    if what == "clock":
        return word(CLOCK) if word(CLOCK_IS_SET) else -1
    return 1 if os.environ["TZ"] == what else 0


def linger(name):
    """Goes on for ever as a thread that the system knows by this name."""
    ctypes.CDLL(None).prctl(15, name.encode())
    threading.Event().wait()


def do(request, action):
    (verb, what), *_ = action.items()
    if verb == "answer":
        answer(request, what)
    elif verb == "raw":
        write(what)
    elif verb == "tell":
        answer(request, {"ok": {"id": tell(what)}})
    elif verb == "sleep":
        time.sleep(what)
    elif verb == "die":
        os.kill(os.getpid(), what)
    elif verb == "exit":
        os._exit(what)
    elif verb == "at_reset":
        at_reset.append(what)
    elif verb == "leak" and what != "descriptor":
        threading.Thread(target=linger, args=[what], daemon=True).start()
    elif verb == "leak":
        kept.append(open(file, "rb"))  # noqa: SIM115
    elif verb == "sql":
        with sqlite3.connect(file) as connection:
            connection.executescript(what)
        connection.close()
    elif verb == "write":
        (Path(file).parent / what[0]).write_text(what[1])
    elif verb == "corrupt":
        with open(file, "r+b") as database:
            database.seek(4096)
            database.write(b"\xff" * 64)
    elif verb == "fire":
        word(FIRED, word(FIRED) + 1)
    else:
        raise ValueError(f"there is no {verb}")


def hello(request):
    features = [feature for feature in PROTOCOL["features"] if feature not in LACKS]
    if "forgets-a-feature" in bad:
        features.remove("queue")
    answer(request, {"ok": {"testee": "fake", "version": "1", "pid": os.getpid(), "features": features}})


def serve(request):
    global file
    actions = script(request)
    if actions is not None:
        for action in actions:
            do(request, action)
        return
    op = request["op"]
    if op == "hello":
        return hello(request)
    if op == "open":
        file = request["path"]
        connection = sqlite3.connect(file, check_same_thread=False)
        connection.execute(f"PRAGMA journal_mode = {request.get('journal', 'WAL')}")
        connection.executescript("CREATE TABLE IF NOT EXISTS t (a); INSERT INTO t VALUES (1)")
        connections.append(connection)
    if op in ("reset", "close"):
        while connections:
            connections.pop().close()
        while at_reset:
            do(request, at_reset.pop(0))
    if op == "bye" and "stays" in bad:
        return None
    ok = {"queue.enqueue": {"id": 1}, "queue.claim": {"jobs": []}}.get(op, {})
    answer(request, {"ok": ok})
    if op == "bye":
        os._exit(3 if "exits-with-3" in bad else 0)


if "talks" in bad:
    write("Hello!")
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
for line in sys.stdin:
    request = json.loads(line)
    if "lane" in request:
        threading.Thread(target=serve, args=[request], daemon=True).start()
    else:
        serve(request)
