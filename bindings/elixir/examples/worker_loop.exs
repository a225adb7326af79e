# A worker as a loop that polls. worker.exs has one that does not.

defmodule Mailer do
  def run(db) do
    loop = fn loop ->
      case Honker.Queue.claim_one(db, "emails", "worker-1") do
        {:ok, nil} -> :timer.sleep(100); loop.(loop)
        {:ok, job} ->
          # The ack is not in the try: a job that is done is not one to try again.
          case try_email(job.payload) do
            :ok -> Honker.Job.ack(db, job)
            {:error, reason} -> Honker.Job.retry(db, job, 60, reason)
          end
          loop.(loop)
      end
    end
    loop.(loop)
  end

  defp try_email(payload) do
    send_email(payload)
  rescue
    e -> {:error, Exception.message(e)}
  end

  defp send_email(payload) do
    IO.puts("to #{payload["to"]}")
    if payload["to"] == "nobody", do: raise("no such address"), else: :ok
  end
end

{:ok, db} = Honker.open("app.db")
for to <- ["alice", "nobody"], do: {:ok, _} = Honker.Queue.enqueue(db, "emails", %{to: to})

worker = Task.async(fn -> Mailer.run(db) end)

# Until each has been tried.
Stream.repeatedly(fn -> Process.sleep(20) && Honker.Jobs.list!(db, state: [:due, :processing]) end)
|> Enum.find(&(&1 == {[], nil}))

Task.shutdown(worker, :brutal_kill)
{:ok, %{"delayed" => delayed}} = Honker.Queue.stats(db, "emails")
IO.puts("to be tried again: #{delayed}")

#=> to alice
#=> to nobody
#=> to be tried again: 1
