"""litequeue. It has no worker: this is the loop of its example, in threads, which looks every 0.1 s when idle.

Its file may hold nothing else, so the application's own rows are in another.
"""

import json
import threading
import time

import peer
from litequeue import LiteQueue

queue = LiteQueue(filename=f"{peer.DIR}/queue.sqlite3", timeout=30)


class Producer:
    def enqueue(self, kind, n):
        queue.put(json.dumps([kind, n]))

    def enqueue_many(self, jobs):
        with queue.transaction():
            for job in jobs:
                queue.put(json.dumps(job))


def loop():
    while True:
        message = queue.pop()
        if message is None:
            time.sleep(0.1)
            continue
        peer.handle(*json.loads(message.data))
        queue.done(message_id=message.message_id, claim_id=message.claim_id)


def work():
    for _ in range(peer.CONCURRENCY):
        threading.Thread(target=loop, daemon=True).start()
    while True:
        # Not by itself: the application asks for what was claimed too long ago.
        time.sleep(1)
        queue.retry_expired(threshold_seconds=2 if peer.SHORTEST else 30)


peer.main(work, Producer)
