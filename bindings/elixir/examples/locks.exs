# Locks have an owner and a time to live.

{:ok, db} = Honker.open("app.db")

Honker.Lock.with_lock(db, "nightly-backup", 60, fn lock ->
  IO.puts("backing up")
  {:ok, nil} = Honker.Lock.try_acquire(db, "nightly-backup", "somebody else", 60)
  {:ok, true} = Honker.Lock.heartbeat(lock, db, 60)
end)

{:ok, lock} = Honker.Lock.try_acquire(db, "nightly-backup", "me", 60)
{:ok, true} = Honker.Lock.release(lock, db)
IO.puts("free again")

#=> backing up
#=> free again
