# Schedules are in the file; every process may fire them, and one does.

{:ok, db} = Honker.open("app.db")

:ok =
  Honker.Scheduler.add(db,
    name: "nightly",
    queue: "backups",
    schedule: "CRON_TZ=Europe/Berlin 0 3 * * *",
    payload: %{what: "everything"}
  )

:ok = Honker.Scheduler.add(db, name: "pulse", queue: "health", schedule: "@every 1s")

{:ok, scheduler} = Task.start_link(fn -> Honker.Scheduler.run(db, "host-7") end)

{:ok, worker} = Honker.Queue.worker(db, "health", "worker-1")
{:ok, [job]} = Honker.Consumer.next(worker, 10_000)
IO.puts("fired: #{job.queue}")
Process.unlink(scheduler)
Process.exit(scheduler, :shutdown)

{:ok, schedules} = Honker.Scheduler.list(db)
IO.puts(Enum.map_join(schedules, ", ", & &1["name"]))

#=> fired: health
#=> nightly, pulse
