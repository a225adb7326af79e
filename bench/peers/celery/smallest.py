import os

from celery import Celery
from celery.signals import worker_ready

app = Celery("smallest", broker=os.environ["PEER_URL"])


@app.task
def greet(word):
    print(word, flush=True)


@worker_ready.connect
def enqueue(**_):
    greet.delay("hello")
