# A job goes in, comes out, and is done.

{:ok, db} = Honker.open("app.db")
{:ok, _id} = Honker.Queue.enqueue(db, "greetings", %{name: "world"})
{:ok, job} = Honker.Queue.claim_one(db, "greetings", "worker-1")
IO.puts("hello, #{job.payload["name"]}!")
Honker.Job.ack(db, job)

#=> hello, world!
