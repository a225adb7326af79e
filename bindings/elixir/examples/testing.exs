# What an application's tests are written with: a database of their own, jobs that run here and now, a clock that moves.

defmodule MyApp.Remind do
  use Honker.Job, queue: "reminders"

  @impl true
  def perform(%Honker.Job{payload: %{"who" => who}}), do: IO.puts("reminding #{who}")
end

db = Honker.Testing.open!()
MyApp.Remind.enqueue!(db, %{who: "alice"}, delay: 3600)

Honker.Testing.assert_enqueued(db, job: MyApp.Remind, args: %{who: "alice"})
[] = Honker.Testing.run_due(db, jobs: [MyApp.Remind])

Honker.Testing.travel(db, 3600)
[{_job, :ack}] = Honker.Testing.run_due(db, jobs: [MyApp.Remind])

Honker.Testing.close(db)
IO.puts("done")

#=> reminding alice
#=> done
