"""honker for Python, with its worker."""

import honker
import peer

db = honker.open(peer.URL, durability="full" if peer.SYNCED else "normal")
queue = db.queue("bench")


class Producer:
    def enqueue(self, kind, n):
        queue.enqueue([kind, n])

    def enqueue_many(self, jobs):
        queue.enqueue_many([[kind, n] for kind, n in jobs])

    def enqueue_later(self, jobs):
        queue.enqueue_many([[kind, n] for kind, n in jobs], delay=peer.DAY_S)

    def transact(self, kind, n, commit):
        with db.transaction() as tx:
            tx.execute("INSERT INTO orders (n) VALUES (?)", [n])
            queue.enqueue([kind, n], tx=tx)
            if not commit:
                tx.rollback()


def append(n):
    with db.transaction() as tx:
        tx.execute("INSERT INTO appended (n) VALUES (?)", [n])


def work():
    db.worker("bench", lambda job: peer.handle(*job.payload, append), concurrency=peer.CONCURRENCY).run()


peer.main(work, Producer)
