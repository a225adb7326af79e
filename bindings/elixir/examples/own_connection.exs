# A job enqueued with the application's own driver: here the statement is run by honker itself.

{:ok, db} = Honker.open("app.db")

{sql, params} = Honker.SQL.enqueue!("emails", %{to: "alice"}, max_attempts: 10)

[[id]] = Honker.transaction!(db, fn tx -> Honker.Transaction.query!(tx, sql, params) end)
job = Honker.Queue.claim_one!(db, "emails", "worker-1")
IO.puts("the same job: #{job.id == id}, #{job.max_attempts} attempts")

#=> the same job: true, 10 attempts
