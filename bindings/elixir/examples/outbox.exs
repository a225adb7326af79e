# What was committed with the business data is delivered, and tried again if that fails.

defmodule Webhook do
  def post(payload) do
    case :counters.add(:persistent_term.get(:calls), 1, 1) && :counters.get(:persistent_term.get(:calls), 1) do
      1 -> {:error, "503"}
      _ -> IO.puts("posted order #{payload["order_id"]}")
    end
  end
end

:persistent_term.put(:calls, :counters.new(1, []))
{:ok, db} = Honker.open("app.db")

{:ok, webhooks} = Honker.outbox(db, "webhooks", &Webhook.post/1, base_backoff_s: 0)

Honker.transaction(db, fn tx ->
  :ok = Honker.execute(tx, "CREATE TABLE orders (id INTEGER PRIMARY KEY)")
  :ok = Honker.execute(tx, "INSERT INTO orders VALUES (42)")
  Honker.Outbox.enqueue_tx(webhooks, tx, %{order_id: 42})
end)

{:ok, _pid} = Task.start(fn -> Honker.Outbox.run(webhooks, "worker-1") end)

# Until there is no job any more.
Stream.repeatedly(fn -> Process.sleep(20) && Honker.Jobs.list!(db) end) |> Enum.find(&(&1 == {[], nil}))
IO.puts("calls: #{:counters.get(:persistent_term.get(:calls), 1)}")

#=> posted order 42
#=> calls: 2
