# honker for Elixir, with its worker. The lines that it speaks with the driver are in bench/peers/README.md.

defmodule Producer do
  @day_s 86_400

  def run(db) do
    answer(%{ready: true})

    for line <- IO.stream(:stdio, :line) do
      answer(act(db, Jiffy.decode!(line)))
    end
  end

  defp answer(value), do: IO.puts(Jiffy.encode!(value))

  defp act(db, request) do
    %{"kind" => kind, "first" => first, "count" => count} = request
    batch = Map.get(request, "batch", 1)
    cap_ms = Map.get(request, "cap_s", 3600) * 1000
    at = System.os_time(:nanosecond)
    started = System.monotonic_time(:microsecond)
    milliseconds = fn -> (System.monotonic_time(:microsecond) - started) / 1000 end

    done =
      Stream.iterate(0, &(&1 + batch))
      |> Enum.find(fn done ->
        if done < count and milliseconds.() < cap_ms do
          jobs = for n <- done..(min(done + batch, count) - 1), do: [kind, first + n]
          :ok = enqueue(db, Map.get(request, "way", "plain"), jobs, Map.get(request, "commit", true))
          false
        else
          true
        end
      end)

    %{at: at, count: min(done, count), seconds: milliseconds.() / 1000}
  end

  defp enqueue(db, "transact", [[_, number] = job], commit) do
    done =
      Honker.transaction(db, fn tx ->
        with :ok <- Honker.execute(tx, "INSERT INTO orders (n) VALUES (?)", [number]),
             {:ok, _id} <- Honker.Queue.enqueue(tx, "bench", job),
             do: if(commit, do: :ok, else: {:error, :rolled_back})
      end)

    if done in [{:ok, :ok}, {:error, :rolled_back}], do: :ok, else: done
  end

  defp enqueue(db, "later", jobs, _) do
    with {:ok, _} <- Honker.Queue.enqueue_many(db, "bench", jobs, delay: @day_s), do: :ok
  end

  defp enqueue(db, "plain", [job], _), do: with({:ok, _} <- Honker.Queue.enqueue(db, "bench", job), do: :ok)
  defp enqueue(db, "plain", jobs, _), do: with({:ok, _} <- Honker.Queue.enqueue_many(db, "bench", jobs), do: :ok)
end

defmodule Work do
  def run(db) do
    events = File.open!(System.fetch_env!("PEER_EVENTS"), [:append])
    concurrency = String.to_integer(System.get_env("PEER_CONCURRENCY", "1"))

    children = [
      {Honker.Worker, db: db, queue: "bench", concurrency: concurrency, handler: &handle(&1.payload, db, events)}
    ]

    {:ok, _} = Supervisor.start_link(children, strategy: :one_for_one)
    Process.sleep(:infinity)
  end

  defp handle([kind, number], db, events) do
    if kind == "append", do: append(db, number)
    :ok = IO.binwrite(events, "#{kind} #{number} #{System.os_time(:nanosecond)} #{System.pid()}\n")
    if kind == "hold", do: Process.sleep(:timer.hours(1))
    :ok
  end

  defp append(db, number) do
    Process.sleep(2)
    {:ok, :ok} = Honker.transaction(db, fn tx -> Honker.execute(tx, "INSERT INTO appended (n) VALUES (?)", [number]) end)
    Process.sleep(2)
  end
end

durability = if System.get_env("PEER_DURABILITY") == "synced", do: :full, else: :normal
{:ok, db} = Honker.open(System.fetch_env!("PEER_URL"), durability: durability)
if System.argv() == ["work"], do: Work.run(db), else: Producer.run(db)
