# Unique jobs, a queue that rests, a batch with an end, and steps that are done once.

defmodule MyApp.Thumbnail do
  use Honker.Job, queue: "thumbnails", unique_until: :claimed

  # One that waits is enough for a file; what comes while it runs is done once more.
  @impl true
  def unique_key(%{file: file}), do: file

  @impl true
  def perform(%Honker.Job{payload: %{"file" => file}} = job) do
    # Once, however often the job is tried; and with a transaction, exactly once together with what it writes.
    with {:ok, bytes} <- Honker.Job.step(MyApp.Honker, job, "download", fn -> Camera.download(file) end),
         {:ok, _} <- Honker.Job.step(MyApp.Honker, job, "store", &Camera.store(&1, file, bytes)),
         do: Camera.print(file, job.attempts)
  end
end

defmodule MyApp.Album do
  use Honker.Job, queue: "albums"

  @impl true
  def perform(%Honker.Job{payload: %{"name" => name}}) do
    [[n]] = Honker.query!(MyApp.Honker, "SELECT count(*) FROM thumbnails")
    IO.puts("#{name}: #{n} thumbnails")
  end
end

defmodule Camera do
  def download(file) do
    IO.puts("download #{file}")
    {:ok, 1000}
  end

  def store(tx, file, bytes), do: Honker.execute(tx, "INSERT INTO thumbnails VALUES (?, ?)", [file, bytes])

  def print("b.png", 1), do: {:retry, 0, "there is no paper"}
  def print(file, _attempt), do: IO.puts("print #{file}")
end

{:ok, supervisor} =
  Honker.start_link(name: MyApp.Honker, path: "app.db", jobs: [MyApp.Thumbnail, MyApp.Album], concurrency: 1)

{:ok, _} = Honker.transaction(MyApp.Honker, &Honker.execute(&1, "CREATE TABLE thumbnails (file, bytes)"))

:ok = Honker.Queue.pause(MyApp.Honker, "thumbnails")

{:ok, batch} =
  Honker.batch(MyApp.Honker, [on_finished: MyApp.Album.new(%{name: "summer"})], fn batch ->
    for file <- ["a.png", "b.png"], do: MyApp.Thumbnail.enqueue!(MyApp.Honker, %{file: file}, batch: batch)
  end)

{:ok, {:exists, _id}} = Honker.Queue.enqueue_one(MyApp.Honker, MyApp.Thumbnail.new(%{file: "a.png"}))

{:ok, %{"total" => total, "pending" => pending}} = Honker.Batch.get(MyApp.Honker, batch)
IO.puts("#{pending} of #{total} wait")
:ok = Honker.Queue.resume(MyApp.Honker, "thumbnails")

# Until there is no job any more.
Stream.repeatedly(fn -> Process.sleep(20) && Honker.Jobs.list!(MyApp.Honker) end) |> Enum.find(&(&1 == {[], nil}))
Supervisor.stop(supervisor)

#=> 2 of 2 wait
#=> download a.png
#=> print a.png
#=> download b.png
#=> print b.png
#=> summer: 2 thumbnails
