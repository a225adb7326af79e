defmodule Honker.Worker.Options do
  @moduledoc false
  # The options of a worker, checked: a map, with `source`, `queues` as the library takes them, and `handler` with all that
  # is around it.

  alias Honker.{Database, Error, Handler, Job, Native, Queue}

  @max 4_000_000_000

  def read(opts) do
    without = ~w(db path queue queues handler jobs name visibility_timeout_s max_run_s retry_delay_s on_error)a

    defaults = [
      retry_base_s: 15,
      retry_factor: 2,
      retry_max_s: 3600,
      retry_jitter: 0.1,
      around_job: [],
      open: [],
      heartbeat: true,
      rescue: true,
      shutdown: 8000,
      signals: true,
      concurrency: System.schedulers_online(),
      worker_id: Native.unique("worker")
    ]

    with {:ok, o} <- Native.options(opts, without ++ defaults),
         :ok <- Honker.JSON.check(),
         {:ok, source} <- source(o),
         {:ok, handler, names} <- handler(o),
         {:ok, queues} <- queues(o, names),
         :ok <- served(o, queues, names),
         {:ok, around} <- Native.functions(:around_job, o.around_job, 2),
         :ok <- check(o) do
      handler = Handler.around(handler, around)
      timeout_s = o[:visibility_timeout_s] || Database.queue_options(o[:db], elem(hd(queues), 0)).visibility_timeout_s
      {:ok, Map.merge(o, %{source: source, queues: queues, handler: handler, visibility_timeout_s: timeout_s})}
    end
  end

  defp source(%{db: %Database{} = db} = o) when not is_map_key(o, :path), do: {:ok, {:db, db}}
  defp source(%{db: name} = o) when is_atom(name) and not is_map_key(o, :path), do: {:ok, {:name, name}}
  defp source(%{path: path} = o) when is_binary(path) and not is_map_key(o, :db), do: {:ok, {:path, path, o.open}}
  defp source(_), do: Error.invalid("a worker needs db:, a database or the name of one, or path:, and not both")

  defp handler(%{jobs: modules} = o) when not is_map_key(o, :handler), do: Job.handler(modules)
  defp handler(%{handler: fun} = o) when is_function(fun, 1) and not is_map_key(o, :jobs), do: {:ok, fun, []}
  defp handler(_), do: Error.invalid("a worker needs handler:, a function of one argument, or jobs:, and not both")

  defp queues(%{queues: [_ | _] = queues} = o, _names) when not is_map_key(o, :queue),
    do: Native.all(queues, &read_queue/1)

  defp queues(%{queue: queue} = o, _names) when not is_map_key(o, :queues), do: Native.all([queue], &read_queue/1)
  defp queues(%{jobs: _} = o, names) when not is_map_key(o, :queues), do: Native.all(names, &read_queue/1)
  defp queues(_, _), do: Error.invalid("a worker needs queue: or queues:, a list that is not empty, and not both")

  # A job of another queue would be dead at once, and one of a queue that is not asked would wait for ever.
  defp served(%{jobs: _}, queues, names) do
    asked = for {name, _, _} <- queues, do: name

    if Enum.sort(asked) == Enum.sort(names),
      do: :ok,
      else: Error.invalid("the jobs: are of the queues #{inspect(names)}, and the worker is to ask #{inspect(asked)}")
  end

  defp served(_o, _queues, _names), do: :ok

  defp read_queue({name, weight}) when is_binary(name) and is_integer(weight), do: {:ok, {name, weight, nil}}

  defp read_queue({name, opts}) when is_binary(name) do
    with {:ok, o} <- Native.options(opts, [:max_in_hand, weight: 1]), do: {:ok, {name, o.weight, o[:max_in_hand]}}
  end

  defp read_queue(name) when is_binary(name), do: {:ok, {name, 1, nil}}

  defp read_queue(other),
    do: Error.invalid("a queue has a name, which has to be a binary, not #{inspect(other)}")

  defp check(o) do
    cond do
      o.concurrency not in 1..@max ->
        Error.invalid("concurrency: has to be a number from 1 to 4,000,000,000, not #{inspect(o.concurrency)}")

      not (o.shutdown == :infinity or o.shutdown in 0..@max) ->
        Error.invalid("shutdown: has to be milliseconds")

      not (is_nil(o[:retry_delay_s]) or o.retry_delay_s in 0..@max) ->
        Error.invalid("retry_delay_s: has to be seconds, from 0 to 4,000,000,000")

      not (is_nil(o[:on_error]) or is_function(o.on_error, 2)) ->
        Error.invalid("on_error: has to be a function of a failure and a job")

      true ->
        :ok
    end
  end

  # How long a job that failed waits, give or take the jitter, which the library draws: as the worker has it by name, as what is
  # set for its queue, or as the worker's own.
  def delay_s(_on, %{retry_delay_s: delay_s}, _job) when is_integer(delay_s), do: delay_s

  def delay_s(on, o, job) do
    case Queue.settings(on, job.queue) do
      {:ok, %{"retry" => %{} = set}} -> grown(set["base_s"], set["factor"], set["max_s"], job.attempts)
      _nothing_set -> grown(o.retry_base_s, o.retry_factor, o.retry_max_s, job.attempts)
    end
  end

  defp grown(base_s, factor, max_s, attempts) do
    # Beyond that a power of two is more than any maximum.
    min(trunc(base_s * :math.pow(factor, min(attempts - 1, 60))), max_s)
  rescue
    ArithmeticError -> max_s
  end
end
