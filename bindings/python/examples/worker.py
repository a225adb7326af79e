"""A worker as it goes to production: eight jobs at a time, each in a thread, until SIGTERM comes."""

import logging
import os
import signal

import honker

logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")


def send_email(payload):
    if payload["to"] == "":
        raise honker.Discard("nobody is there")  # not tried again
    print("sent to", payload["to"])


def handle(job):
    if job.payload == "the last":
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        send_email(job.payload)


db = honker.open("app.db")
emails = db.queue("emails", max_attempts=10)
emails.enqueue({"to": "alice"})
emails.enqueue({"to": ""})
emails.enqueue("the last", priority=-1)


def main():
    db.worker("emails", handle, concurrency=8).run()


main()
print(emails.dead()[0]["last_error"])
# => sent to alice
# => nobody is there
