# A job and the business data that it is about: both or neither.

{:ok, db} = Honker.open("app.db")

{:ok, :ok} =
  Honker.transaction(db, fn tx ->
    Honker.execute(tx, "CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER, customer_id TEXT)")
  end)

Honker.Transaction.transaction(db, fn tx ->
  with :ok <-
         Honker.Transaction.execute(tx, "INSERT INTO orders (id, total, customer_id) VALUES (?, ?, ?)", [42, 9900, "alice"]) do
    Honker.Queue.enqueue_tx(tx, "emails", %{order_id: 42, email_type: "confirmation"}, [], [])
  end
end)

# What fails leaves nothing.
{:error, :out_of_stock} =
  Honker.transaction(db, fn tx ->
    {:ok, _} = Honker.Queue.enqueue_tx(tx, "emails", %{order_id: 43})
    {:error, :out_of_stock}
  end)

{:ok, [[orders]]} = Honker.query(db, "SELECT count(*) FROM orders")
{:ok, jobs} = Honker.Queue.claim_batch(db, "emails", "worker-1", 10)
IO.puts("#{orders} order, #{length(jobs)} job about #{hd(jobs).payload["order_id"]}")

#=> 1 order, 1 job about 42
