"""The adapter of the Python package: does with it what the conformance suite asks for (conformance/PROTOCOL.md).

Threads: main reads the requests and gives each to the thread of its lane. `reset` and `bye` are done by main, when the
lanes have ended, which it brings about by interrupting what they wait for.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from typing import Any

import honker
from operations import OPERATIONS
from request import Otherwise, Request, Runner


class Testee:
    def __init__(self) -> None:
        self.handles: dict[str, Any] = {}
        self.is_on_server = False
        self.jobs: dict[tuple[int, str], honker.Job] = {}
        self._lanes: dict[Any, tuple[threading.Thread, queue.SimpleQueue[Any]]] = {}
        self._writing = threading.Lock()

    def drop(self, name: str) -> None:
        handle = self.handles.pop(name, None)
        if handle is not None:
            self.close(handle)

    def close(self, handle: Any) -> None:
        match handle:
            case honker.Lock():
                handle.release()
            case honker.Transaction():
                handle.rollback()
            case _ if hasattr(handle, "close"):
                handle.close()

    def answer(self, keys: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"ok": OPERATIONS[keys["op"]](Request(self, keys)) or {}}
        except Otherwise as otherwise:
            return otherwise.answer
        except honker.Error as error:
            return {"error": described(error, error.name.removeprefix("HONKER_"))}
        except (ValueError, TypeError, OverflowError) as error:
            return {"error": described(error, "INVALID")}
        except Exception as error:
            return {"crashed": {"message": repr(error), "trace": traceback.format_exc()}}

    def write(self, keys: dict[str, Any], answer: dict[str, Any]) -> None:
        line = json.dumps({"seq": keys["seq"], **answer})
        with self._writing:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def work(self, requests: queue.SimpleQueue[Any]) -> None:
        while (keys := requests.get()) is not None:
            self.write(keys, self.answer(keys))

    def lane(self, name: Any) -> queue.SimpleQueue[Any]:
        if name not in self._lanes:
            requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
            thread = threading.Thread(target=self.work, args=(requests,))
            self._lanes[name] = thread, requests
            thread.start()
        return self._lanes[name][1]

    def reset(self) -> None:
        for _, requests in self._lanes.values():
            requests.put(None)
        for thread, _ in self._lanes.values():
            while thread.is_alive():
                self.interrupt()
                thread.join(0.005)
        self._lanes.clear()
        for name in reversed(list(self.handles)):
            with contextlib.suppress(honker.Error):
                self.drop(name)  # what is closed already
        self.jobs.clear()

    def interrupt(self) -> None:
        for handle in list(self.handles.values()):
            if isinstance(handle, Runner):
                handle.stop()
            elif isinstance(handle, honker.Database) and not handle.closed:
                with contextlib.suppress(honker.Error):
                    handle.interrupt()

    def listen(self) -> None:
        for line in sys.stdin:
            keys = json.loads(line)
            if keys["op"] in ("reset", "bye"):
                self.reset()
                self.write(keys, {"ok": {}})
                if keys["op"] == "bye":
                    return
            else:
                # As it is now: what follows in another lane may overtake it.
                keys["was_closed"] = getattr(self.handles.get(keys.get("on")), "closed", False)
                self.lane(keys.get("lane")).put(keys)


def described(error: Exception, name: str) -> dict[str, str]:
    kind = type(error)
    text = str(error).encode(errors="replace").decode()
    return {"name": name, "type": f"{kind.__module__}.{kind.__qualname__}", "message": text}


if __name__ == "__main__":
    sys.setrecursionlimit(100_000)
    time.tzset()
    Testee().listen()
    sys.stdout.flush()
    os._exit(0)
