# Events as they come: as an enumerable, and as messages.

{:ok, db} = Honker.open("app.db")
for id <- 1..2, do: {:ok, _} = Honker.Stream.publish(db, "orders", %{id: id})

for event <- Honker.Stream.events(db, "orders", consumer: "mailer") |> Stream.take(2) do
  IO.puts("mail about #{event.payload["id"]}")
end

{:ok, subscription} = Honker.Stream.subscribe(db, "orders", consumer: "printer")

receive do
  {:honker, ^subscription, %Honker.StreamEvent{} = event} ->
    IO.puts("print #{event.payload["id"]}")
    # It is finished, and the next one comes.
    :ok = Honker.Stream.ack(subscription)
end

receive do
  {:honker, ^subscription, event} -> IO.puts("and #{event.payload["id"]}")
end

#=> mail about 1
#=> mail about 2
#=> print 1
#=> and 2
