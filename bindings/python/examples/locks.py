"""Locks and rate limits that all processes on the file share."""

import honker

db = honker.open("app.db")
with db.lock("backup", ttl=300) as lock:
    try:
        with db.lock("backup"):
            print("never")
    except honker.LockHeld as error:
        print(error)
    lock.renew()

print([db.try_rate_limit("api", limit=2, per=3600) for _ in range(3)])
# => somebody else has the lock 'backup'
# => [True, True, False]
