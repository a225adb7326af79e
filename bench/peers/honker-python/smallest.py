import honker

db = honker.open("app.db")
queue = db.queue("greetings")
queue.enqueue("hello")
db.worker("greetings", lambda job: print(job.payload, flush=True)).run()
