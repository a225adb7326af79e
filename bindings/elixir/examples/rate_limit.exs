# Three a day.

{:ok, db} = Honker.open("app.db")

for _ <- 1..4 do
  case Honker.try_rate_limit(db, "password-resets:alice", 3, 86_400) do
    {:ok, true} -> IO.puts("sent")
    {:ok, false} -> IO.puts("not again today")
  end
end

#=> sent
#=> sent
#=> sent
#=> not again today
