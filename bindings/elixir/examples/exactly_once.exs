# What a job does, exactly once: the job ends in the same transaction.

{:ok, db} = Honker.open("app.db")
{:ok, _} = Honker.transaction(db, &Honker.execute(&1, "CREATE TABLE totals (orders INTEGER)"))
{:ok, _} = Honker.transaction(db, &Honker.execute(&1, "INSERT INTO totals VALUES (0)"))
{:ok, _} = Honker.Queue.enqueue(db, "orders", %{id: 1})
{:ok, job} = Honker.Queue.claim_one(db, "orders", "worker-1")

Honker.transaction(db, fn tx ->
  with :ok <- Honker.execute(tx, "UPDATE totals SET orders = orders + 1"),
       {:ok, true} <- Honker.Job.ack(tx, job) do
    :ok
  else
    # The claim was lost, and somebody else does it: nothing of this stays.
    {:ok, false} -> {:error, :lost}
    error -> error
  end
end)

{:ok, [[orders]]} = Honker.query(db, "SELECT orders FROM totals")
IO.puts("#{orders} order")

#=> 1 order
