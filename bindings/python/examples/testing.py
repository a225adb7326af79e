"""Tests of an application: pytest has the fixtures honker_db and honker_jobs. Elsewhere it is this."""

import honker
from honker.testing import Jobs

db = honker.open("test.db")
jobs = Jobs(db)


def send_email(job):
    print("sent to", job.payload["to"])


db.queue("emails").enqueue({"to": "alice"}, delay=3600)
jobs.assert_enqueued("emails", {"to": "alice"})
print(jobs.run_due(send_email))
jobs.advance(3600)  # moves the clock
print(jobs.run_due(send_email))
# => 0
# => sent to alice
# => 1
