"""What stands around each enqueue of this process."""

import honker


@honker.add_middleware
def with_tenant(job, proceed):
    job.options["metadata"] = {**(job.options.get("metadata") or {}), "tenant": "acme"}
    return proceed()


q = honker.open("app.db").queue("emails")
q.enqueue({"to": "alice"})
print(q.claim_one("worker-1").metadata)
# => {'tenant': 'acme'}
