# Several queues, two pools, a schedule, an outbox, and what goes around jobs and enqueueing.

defmodule Reports do
  use Honker.Job, queue: "reports"

  @impl true
  def perform(%Honker.Job{payload: %{"month" => month}}), do: IO.puts("report of month #{month}")
  def perform(_job), do: {:error, "there is no month"}
end

defmodule Webhook do
  def post(payload), do: IO.puts("posted order #{payload["order_id"]}")
end

defmodule Tenant do
  def add(jobs, next), do: next.(for {queue, payload, opts} <- jobs, do: {queue, payload, opts ++ [metadata: %{tenant: "acme"}]})

  def around(job, next) do
    IO.puts("for #{job.metadata["tenant"]}")
    next.(job)
  end
end

defmodule Errors do
  def report(failure, job) do
    IO.puts("#{job.queue}: #{failure.message}, next in #{failure.next} s")
    send(:example, :reported)
  end
end

Process.register(self(), :example)

{:ok, supervisor} =
  Honker.start_link(
    name: Shop.Honker,
    path: "app.db",
    open: [around_enqueue: &Tenant.add/2],
    # One pool of ten for two queues: "urgent" is asked first three times as often.
    queues: [{"urgent", 3}, "emails"],
    handler: fn job -> IO.puts("#{job.queue}: #{job.payload}") end,
    concurrency: 10,
    around_job: &Tenant.around/2,
    # And one for reports, one at a time, an hour each at most.
    workers: [[jobs: [Reports], concurrency: 1, max_run_s: 3600, on_error: &Errors.report/2]],
    schedules: [[name: "monthly", schedule: "0 3 1 * *", job: Reports, args: %{month: "last"}]],
    outboxes: [{"webhooks", &Webhook.post/1}]
  )

# Until each job has been tried.
tried = fn ->
  Stream.repeatedly(fn -> Process.sleep(20) && Honker.Jobs.list!(Shop.Honker, state: [:due, :processing]) end)
  |> Enum.find(&(&1 == {[], nil}))
end

{:ok, _} = Honker.Queue.enqueue(Shop.Honker, "urgent", "now")
tried.()
{:ok, _} = Reports.enqueue(Shop.Honker, %{month: 3})
tried.()
{:ok, _} = Reports.enqueue(Shop.Honker, %{year: 2026})
receive do: (:reported -> :ok)
{:ok, webhooks} = Honker.outbox(Shop.Honker, "webhooks", &Webhook.post/1)
{:ok, _} = Honker.Outbox.enqueue(webhooks, %{order_id: 42})
tried.()
Supervisor.stop(supervisor)

#=> for acme
#=> urgent: now
#=> report of month 3
#=> reports: there is no month, next in 15 s
#=> posted order 42
