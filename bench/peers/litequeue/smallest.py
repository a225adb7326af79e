import time

from litequeue import LiteQueue

queue = LiteQueue(filename="queue.sqlite3")
queue.put("hello")
while True:
    if message := queue.pop():
        print(message.data, flush=True)
        queue.done(message_id=message.message_id, claim_id=message.claim_id)
    else:
        time.sleep(0.1)
