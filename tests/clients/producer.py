"""A producer process: writes orders, and enqueues a job for each in the same transaction; rolls every third back.

    python producer.py CLIENT DATABASE NAME COUNT

Prints "ready", starts at the first line on its stdin. Orders are called NAME-1, NAME-2, ….
"""

from __future__ import annotations

import sys

from worker import open_client


def main(kind: str, path: str, name: str, count: str) -> None:
    client = open_client(kind, path)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(1, int(count) + 1):
        order = f"{name}-{number}"
        # An even number of them enqueues first: which of the two writes comes first must not matter.
        client.rows("BEGIN IMMEDIATE")
        if number % 2:
            client.rows("INSERT INTO orders (name) VALUES (?)", order)
        client.rows("SELECT honker_enqueue('work', ?, NULL, NULL, 0, 3, NULL)", order)
        if not number % 2:
            client.rows("INSERT INTO orders (name) VALUES (?)", order)
        client.rows("ROLLBACK" if number % 3 == 0 else "COMMIT")
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
