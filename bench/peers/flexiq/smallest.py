from flexiq import Queue

queue = Queue(db_path="app.db")


@queue.task()
def greet(word):
    print(word, flush=True)


greet.delay("hello")
