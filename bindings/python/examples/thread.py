"""Jobs in a thread; Ctrl-C ends the wait."""

import threading

import honker

db = honker.open("app.db")
q = db.queue("emails")


def work():
    for job in q.claim("worker-1"):
        print("got", job.payload)
        job.ack()
        if job.payload == "last":
            return


worker = threading.Thread(target=work)
worker.start()
q.enqueue("first")
q.enqueue("last")
worker.join()
# => got first
# => got last
