import honker

db = honker.open("app.db")
q = db.queue("greetings")
q.enqueue({"name": "world"})
job = q.claim_one("worker-1")
print(f"hello, {job.payload['name']}!")
job.ack()
# => hello, world!
