# Events stay. A consumer's offset is saved with what it has done, so that each event has its effect exactly once.

{:ok, db} = Honker.open("app.db")
{:ok, _} = Honker.transaction(db, &Honker.execute(&1, "CREATE TABLE totals (customer TEXT PRIMARY KEY, orders INTEGER)"))
for {id, customer} <- [{1, "alice"}, {2, "bob"}, {3, "alice"}], do: {:ok, _} = Honker.Stream.publish(db, "orders", %{id: id}, key: customer)

{:ok, events} = Honker.Stream.read_from_consumer(db, "orders", "totals", 100)

{:ok, _} =
  Honker.transaction(db, fn tx ->
    for event <- events do
      :ok = Honker.execute(tx, "INSERT INTO totals VALUES (?, 1) ON CONFLICT DO UPDATE SET orders = orders + 1", [event.key])
    end

    Honker.Stream.save_offset_tx(tx, "totals", "orders", List.last(events).offset)
  end)

{:ok, rows} = Honker.query(db, "SELECT customer, orders FROM totals ORDER BY customer")
for [customer, orders] <- rows, do: IO.puts("#{customer}: #{orders}")

#=> alice: 2
#=> bob: 1
