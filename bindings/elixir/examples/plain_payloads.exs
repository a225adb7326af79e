# Payloads that name no job, as other packages and SQL make them.

defmodule MyApp.Resize do
  use Honker.Job, queue: "images", name: nil

  @impl true
  def perform(%Honker.Job{payload: %{"file" => file}}), do: IO.puts("resize #{file}")
end

{:ok, supervisor} = Honker.start_link(name: MyApp.Honker, path: "app.db", jobs: [MyApp.Resize])

{:ok, {:ok, _}} =
  Honker.transaction(MyApp.Honker, fn tx ->
    Honker.query(tx, ~S|SELECT honker_enqueue('images', '{"file": "cat.png"}')|)
  end)

Process.sleep(500)
Supervisor.stop(supervisor)

#=> resize cat.png
