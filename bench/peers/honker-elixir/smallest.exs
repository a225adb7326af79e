{:ok, db} = Honker.open("app.db")
{:ok, _} = Honker.Queue.enqueue(db, "greetings", Honker.raw("hello"))
children = [{Honker.Worker, db: db, queue: "greetings", handler: fn job -> IO.puts(job.payload) end}]
{:ok, _} = Supervisor.start_link(children, strategy: :one_for_one)
Process.sleep(:infinity)
