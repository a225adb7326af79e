"""A worker: claims e-mail jobs, "sends" each as an .eml file into the outbox folder, acks.

    python3 worker.py DATABASE EXTENSION OUTBOX WORKER_ID

Nothing but Python's own sqlite3 module with the honker extension loaded. Runs until it is told to stop (SIGTERM).
"""

import json
import signal
import sqlite3
import sys
import time
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

VISIBILITY_S = 60  # If we die with a job in hand, others get it after this time.


def connect(database: str, extension: str) -> sqlite3.Connection:
    # No isolation level: transactions are where we say BEGIN, and nowhere else.
    db = sqlite3.connect(database, timeout=5, isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(extension)
    db.enable_load_extension(False)
    db.execute("SELECT honker_bootstrap()")
    return db


def claim(db: sqlite3.Connection, worker_id: str, visibility_s: int = VISIBILITY_S) -> dict | None:
    answer = db.execute("SELECT honker_claim_batch('emails', ?, 1, ?)", (worker_id, visibility_s))
    jobs = json.loads(answer.fetchone()[0])
    return jobs[0] if jobs else None


def send(job: dict, outbox: Path) -> None:
    order = json.loads(job["payload"])
    user, domain = order["to"].split("@")

    mail = EmailMessage(policy=SMTP)
    mail["To"] = Address(order["name"], user, domain)
    mail["From"] = Address("The Shop", "shop", "example.com")
    mail["Subject"] = f"Your order {order['order_no']}"
    mail["X-Job"] = f"{job['id']}, attempt {job['attempts']}"
    total = f"{order['total_cents'] // 100}.{order['total_cents'] % 100:02}"
    mail.set_content(f"Dear {order['name']},\n\n{order['quantity']} x {order['item']}: {total} EUR. Thank you!\n")

    # The attempt is part of the name, so that an e-mail sent twice would be seen.
    (outbox / f"order-{order['order_no']}-attempt-{job['attempts']}.eml").write_bytes(bytes(mail))


def main(database: str, extension: str, outbox: str, worker_id: str) -> None:
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))

    db = connect(database, extension)
    while not stopping:
        job = claim(db, worker_id)
        if job is None:
            time.sleep(0.05)
            continue
        send(job, Path(outbox))
        acked = db.execute("SELECT honker_ack(?, ?)", (job["id"], worker_id)).fetchone()[0]
        if not acked:
            print(f"{worker_id}: job {job['id']} was not mine any more", file=sys.stderr)
    db.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
