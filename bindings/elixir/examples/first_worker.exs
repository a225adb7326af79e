# A job as a module, and all that runs it under a supervisor.

defmodule MyApp.SendEmail do
  # Ten attempts take about two hours: an hour without the mail server loses no mail.
  use Honker.Job, queue: "emails", max_attempts: 10

  @impl true
  def perform(%Honker.Job{payload: %{"to" => to}}), do: Mailer.send_email(to)
end

defmodule Mailer do
  def send_email(to), do: IO.puts("to #{to}")
end

children = [
  {Honker, name: MyApp.Honker, path: "app.db", jobs: [MyApp.SendEmail], concurrency: 10}
]

{:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one)

{:ok, _id} = MyApp.SendEmail.enqueue(MyApp.Honker, %{to: "alice"})

# Until there is no job any more.
Stream.repeatedly(fn -> Process.sleep(20) && Honker.Jobs.list!(MyApp.Honker) end) |> Enum.find(&(&1 == {[], nil}))

# Jobs that are running are finished first.
Supervisor.stop(supervisor)
IO.puts("stopped")

#=> to alice
#=> stopped
