# Notifications are for whoever listens at the time. They are messages, as to any other process.

{:ok, db} = Honker.open("app.db")

{:ok, listener} = Honker.listen(db, "orders")
{:ok, _} = Honker.notify(db, "orders", %{id: 1})
{:ok, _} = Honker.notify(db, "weather", "rain")

receive do
  {:honker, ^listener, %Honker.Notification{} = notification} ->
    IO.puts("#{notification.channel}: #{notification.payload["id"]}")
after
  5_000 -> IO.puts("nothing happened")
end

:ok = Honker.unlisten(listener)

#=> orders: 1
