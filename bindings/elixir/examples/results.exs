# The worker saves a result before it acks; whoever enqueued the job waits for it.

{:ok, db} = Honker.open("app.db")

{:ok, _worker} =
  Honker.Worker.start_link(
    db: db,
    queue: "sums",
    handler: fn job -> Honker.save_result(db, job.id, to_string(Enum.sum(job.payload)), 3600) end
  )

{:ok, id} = Honker.Queue.enqueue(db, "sums", [1, 2, 3])

case Honker.wait_result(db, id, 10_000) do
  {:ok, sum} -> IO.puts(sum)
  :timeout -> IO.puts("too slow")
end

#=> 6
