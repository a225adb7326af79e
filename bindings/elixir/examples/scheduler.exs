# Schedules are in the file; every node may fire them, and one does.

defmodule MyApp.Report do
  use Honker.Job, queue: "reports"

  @impl true
  def perform(%Honker.Job{payload: %{"of" => of}}), do: send(:example, {:report, of}) && :ok
end

Process.register(self(), :example)

children = [
  {Honker,
   name: MyApp.Honker,
   path: "app.db",
   jobs: [MyApp.Report],
   schedules: [
     [name: "monthly", schedule: "CRON_TZ=Europe/Berlin 0 3 1 * *", job: MyApp.Report, args: %{of: "the month"}],
     [name: "pulse", schedule: "@every 1s", job: MyApp.Report, args: %{of: "the second"}]
   ]}
]

{:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one)

receive do
  {:report, of} -> IO.puts("report of #{of}")
after
  10_000 -> IO.puts("nothing was fired")
end

{:ok, schedules} = Honker.Scheduler.list(MyApp.Honker)
IO.puts(Enum.map_join(schedules, ", ", & &1["name"]))
Supervisor.stop(supervisor)

# By hand, in a loop of its own:
{:ok, db} = Honker.open("app.db")
:ok = Honker.Scheduler.add(db, name: "health", queue: "health", schedule: "@every 1s")
{:ok, scheduler} = Task.start_link(fn -> Honker.Scheduler.run(db, "host-7") end)

{:ok, worker} = Honker.Queue.worker(db, "health", "worker-1")
{:ok, [job]} = Honker.Consumer.next(worker, 10_000)
IO.puts("fired: #{job.queue}")
Process.unlink(scheduler)
Process.exit(scheduler, :shutdown)

#=> report of the second
#=> monthly, pulse
#=> fired: health
