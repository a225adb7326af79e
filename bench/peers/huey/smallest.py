from huey import SqliteHuey

huey = SqliteHuey(filename="app.db")


@huey.task()
def greet(word):
    print(word, flush=True)


@huey.on_startup()
def enqueue():
    greet("hello")
