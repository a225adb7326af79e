# A supervised worker, which sleeps until there is a job.

defmodule Mailer do
  def send_email(to), do: IO.puts("to #{to}")
end

{:ok, db} = Honker.open("app.db")

children = [
  {Honker.Worker, db: db, queue: "emails", handler: fn job -> Mailer.send_email(job.payload["to"]) end, concurrency: 4}
]

{:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one)

{:ok, _} = Honker.Queue.enqueue(db, "emails", %{to: "alice"})

# Until there is no job any more.
Stream.repeatedly(fn -> Process.sleep(20) && Honker.Jobs.list!(db) end) |> Enum.find(&(&1 == {[], nil}))

# Jobs that are running are finished first.
Supervisor.stop(supervisor)
{:ok, stats} = Honker.Queue.stats(db, "emails")
IO.puts("left: #{stats["pending"] + stats["claimed"]}")

#=> to alice
#=> left: 0
