# The same with a queue in hand.

{:ok, db} = Honker.open("app.db")
{:ok, _} = Honker.transaction(db, &Honker.execute(&1, "CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER)"))

q = Honker.queue(db, "emails")
Honker.transaction(db, fn tx ->
  Honker.execute(tx, "INSERT INTO orders (id, total) VALUES (?, ?)", [42, 99])
end)
case Honker.Queue.claim_one(q, "worker-1") do _ -> :ok end

{:ok, rows} = Honker.query(db, "SELECT id, total FROM orders WHERE total < ?", [1000.5])
for [id, total] <- rows, do: IO.puts("order #{id}: #{total}")

#=> order 42: 99
