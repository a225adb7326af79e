# A worker as a loop of one's own: it sleeps until there is a job, whoever enqueues it in whichever process.

{:ok, db} = Honker.open("app.db")
spawn(fn -> Process.sleep(100) && Honker.Queue.enqueue(db, "emails", %{to: "alice"}) end)

{:ok, worker} = Honker.Queue.worker(db, "emails", "worker-1")

case Honker.Consumer.next(worker, 5_000) do
  {:ok, [job]} ->
    IO.puts("to #{job.payload["to"]}")
    {:ok, true} = Honker.Job.ack(db, job)

  :timeout ->
    IO.puts("nothing to do")
end

#=> to alice
