# How long the package takes: reads lines (`enqueue N`, `claim_ack N`, `batch N`, `wake N`) from standard input, and answers
# each with a line of JSON. The argument is an empty directory.

defmodule JSONForBench do
  # Enough for {"n": 1}, so that what is measured is the package.
  def encode!(%{n: n}), do: ["{\"n\":", Integer.to_string(n), "}"]
  def decode!(text), do: text
end

defmodule Bench do
  alias Honker.{Consumer, Job, Queue}

  def run(db, [what, n]), do: run(db, what, "#{what}-#{System.unique_integer([:positive])}", String.to_integer(n))

  defp run(db, "enqueue", queue, n) do
    seconds(fn -> for i <- 1..n, do: {:ok, _} = Queue.enqueue(db, queue, %{n: i}) end)
  end

  defp run(db, "claim_ack", queue, n) do
    fill(db, queue, n)

    seconds(fn ->
      for _ <- 1..n do
        {:ok, %Job{} = job} = Queue.claim_one(db, queue, "w")
        {:ok, true} = Job.ack(db, job)
      end
    end)
  end

  defp run(db, "batch", queue, n) do
    fill(db, queue, n)
    seconds(fn -> batch(db, queue) end)
  end

  defp run(db, "wake", queue, n) do
    main = self()

    consumer =
      spawn_link(fn ->
        {:ok, worker} = Queue.worker(db, queue, "w")

        for _ <- 1..n do
          {:ok, [job]} = Consumer.next(worker)
          send(main, {:got, now()})
          {:ok, true} = Job.ack(db, job)
          send(main, :acked)
        end

        Consumer.close(worker)
      end)

    Process.sleep(50)

    times =
      for i <- 1..n do
        Process.sleep(2)
        began = now()
        {:ok, _} = Queue.enqueue(db, queue, %{n: i})
        got = receive(do: ({:got, at} -> at))
        receive(do: (:acked -> :ok))
        (got - began) / 1000
      end

    Process.unlink(consumer)
    ~s({"p50_us": #{Float.round(Enum.at(Enum.sort(times), div(n, 2)), 1)}})
  end

  defp fill(db, queue, n), do: {:ok, _} = Queue.enqueue_many(db, queue, for(i <- 1..n, do: %{n: i}))

  defp batch(db, queue) do
    case Queue.claim_batch(db, queue, "w", 100) do
      {:ok, []} ->
        :ok

      {:ok, jobs} ->
        {:ok, _} = Queue.ack_batch(db, jobs, "w")
        batch(db, queue)
    end
  end

  defp now, do: System.monotonic_time(:nanosecond)

  defp seconds(fun) do
    began = now()
    fun.()
    ~s({"seconds": #{(now() - began) / 1.0e9}})
  end
end

Application.put_env(:honker, :json, JSONForBench)
[directory] = System.argv()
{:ok, db} = Honker.open(Path.join(directory, "bench.db"))
for line <- IO.stream(), do: IO.puts(Bench.run(db, String.split(line)))
Honker.close(db)
