# A job and the business data that it is about: both or neither.

{:ok, db} = Honker.open("app.db")

{:ok, :ok} =
  Honker.transaction(db, fn tx ->
    Honker.execute(tx, "CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER, customer_id TEXT)")
  end)

Honker.transaction(db, fn tx ->
  insert = "INSERT INTO orders (total, customer_id) VALUES (?, ?) RETURNING id"

  with {:ok, [[id]]} <- Honker.query(tx, insert, [9900, "alice"]) do
    Honker.Queue.enqueue(tx, "emails", %{order_id: id, email_type: "confirmation"})
  end
end)

# What fails leaves nothing.
{:error, :out_of_stock} =
  Honker.transaction(db, fn tx ->
    {:ok, _} = Honker.Queue.enqueue(tx, "emails", %{order_id: 2})
    {:error, :out_of_stock}
  end)

{:ok, [[orders]]} = Honker.query(db, "SELECT count(*) FROM orders")
{:ok, jobs} = Honker.Queue.claim_batch(db, "emails", "worker-1", 10)
IO.puts("#{orders} order, #{length(jobs)} job about order #{hd(jobs).payload["order_id"]}")

#=> 1 order, 1 job about order 1
