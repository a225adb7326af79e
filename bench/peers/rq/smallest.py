import os

from redis import Redis
from rq import Queue

Queue(connection=Redis.from_url(os.environ["PEER_URL"])).enqueue(print, "hello")
