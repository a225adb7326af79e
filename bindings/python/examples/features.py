"""Unique jobs, settings of queues, batches, steps, lists of jobs."""

import honker

db = honker.open("app.db")
reports = db.queue("reports", max_attempts=10)

first = reports.try_enqueue({"month": 7}, unique_key="month 7", metadata={"tenant": "acme"})
print(first.status, reports.try_enqueue({"month": 7}, unique_key="month 7").status)

reports.configure(concurrency=20, concurrency_per_key=1, rate={"limit": 100, "per_s": 60}, keep_done_s=86400)

job = reports.claim_one("worker-1")
pages = job.step("count pages", lambda: 3)  # not again, whatever is retried
with db.batch(on_success={"queue": "emails", "payload": {"report": "ready"}}) as batch:
    db.enqueue_many({"queue": "pages", "payload": page, "batch": batch} for page in range(pages))
job.ack()

for page in db.queue("pages").claim_batch("worker-1", 10):
    page.ack()
print(db.queue("emails").claim_one("worker-1").payload, batch.get()["done"])

reports.enqueue({"month": 13}, max_attempts=1)
reports.claim_one("worker-1").fail("there is no month 13")
print(db.jobs(queue=reports, state="dead", error="month 13").retry().changed, "retried")
print([job["payload"] for job in db.jobs(queue=reports, state="done")])
# => enqueued exists
# => {'report': 'ready'} 3
# => 1 retried
# => [{'month': 7}]
