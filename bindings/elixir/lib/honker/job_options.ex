defmodule Honker.JobOptions do
  @moduledoc false
  # The options of an enqueue, read: as the library takes them for a job and for a schedule, and as the JSON of what a batch
  # enqueues at its end.

  alias Honker.{Database, Error, JSON, Job, Jobs, Native}

  # What most jobs have nothing of. nil is as if it was not there.
  @further ~w(unique_key unique_until unique_for_s on_conflict concurrency_key batch member max_run_s)a
  @known [:run_at, :delay, :expires, :max_attempts, :metadata, priority: 0]
  @choices %{unique_until: [:settled, :claimed], on_conflict: [:keep, :replace], overlap: [:allow, :skip]}
  @int64_max 0x7FFFFFFFFFFFFFFF

  def further, do: @further

  # As Honker.Native.enqueue takes a job.
  def spec(on, {queue, payload, opts}) do
    with {:ok, o} <- Native.options(opts, @known ++ @further),
         {:ok, text} <- JSON.encode(payload),
         {:ok, metadata} <- metadata(o[:metadata]),
         {:ok, more} <- more(on, Map.take(o, @further)) do
      max_attempts = o[:max_attempts] || Database.queue_options(on, queue).max_attempts
      {:ok, {queue, text, o[:run_at], o[:delay], o[:expires], o.priority, max_attempts, metadata, more}}
    end
  end

  def spec(_on, other) do
    Error.invalid("a job is {queue, payload} or {queue, payload, options}, not #{inspect(other)}")
  end

  # What `o` says of a schedule's jobs for which the schedule itself has no room; nil if that is nothing.
  def of_schedule(on, o) do
    with {:ok, metadata} <- metadata(o[:metadata]),
         :ok <- choice(:overlap, o[:overlap] || :allow),
         {:ok, more} <- more(on, Map.take(o, @further)) do
      own = given(%{metadata: metadata, delay: o[:delay], overlap: o[:overlap] && number(:overlap, o.overlap)})
      if own == %{} and is_nil(more), do: {:ok, nil}, else: {:ok, Map.merge(more || %{}, own)}
    end
  end

  # What a batch enqueues at its end: a map, to be encoded as JSON.
  def callback({queue, payload}), do: callback({queue, payload, []})

  def callback({queue, payload, opts}) when is_binary(queue) do
    with {:ok, o} <- Native.options(opts, (@known ++ @further) -- [:batch, :member]),
         {:ok, text} <- JSON.encode(payload),
         further = given(Map.take(o, @further)),
         :ok <- check(further) do
      own = %{run_at: o[:run_at], delay_s: o[:delay], expires_s: o[:expires], metadata: o[:metadata]}
      own = Map.merge(own, %{priority: o.priority, max_attempts: o[:max_attempts]})
      choices = for {key, choice} <- Map.take(further, Map.keys(@choices)), into: %{}, do: {key, to_string(choice)}
      {:ok, %{queue: queue, payload: text, options: own |> given() |> Map.merge(further) |> Map.merge(choices)}}
    end
  end

  def callback(other),
    do: Error.invalid("a batch enqueues {queue, payload} or {queue, payload, options}, not #{inspect(other)}")

  # The same for honker_enqueue_with, of a job that may join a batch.
  def sql({queue, payload, opts}) do
    {joins, rest} = if Keyword.keyword?(opts), do: Keyword.split(opts, [:batch, :member]), else: {[], opts}

    with {:ok, job} <- callback({queue, payload, rest}),
         joins = given(Map.new(joins)),
         :ok <- check(joins) do
      member = with %Job{} = job <- joins[:member], do: %{job_id: job.id, worker_id: job.worker_id}
      {:ok, %{job | options: Map.merge(job.options, given(%{batch_id: joins[:batch], member: member}))}}
    end
  end

  defp metadata(none) when none == nil or none == %{}, do: {:ok, nil}
  defp metadata(map) when is_map(map) and not is_struct(map), do: JSON.encode(map)
  defp metadata(other), do: Error.invalid("metadata has to be a map of texts, not #{inspect(other)}")

  defp given(options), do: for({key, value} <- options, value != nil, into: %{}, do: {key, value})

  defp more(_on, none) when none == %{}, do: {:ok, nil}

  defp more(on, options) do
    with further when further != %{} <- given(options),
         :ok <- check(further),
         {:ok, batch} <- batch(on, further) do
      native = Map.new(Map.drop(further, [:batch, :member]), fn {key, value} -> {key, number(key, value)} end)
      {:ok, Map.merge(native, batch)}
    else
      none when none == %{} -> {:ok, nil}
      error -> error
    end
  end

  defp check(further) do
    with nil <- Enum.find_value(further, fn {key, value} -> with :ok <- check(key, value), do: nil end) do
      alone = Enum.find([:unique_until, :unique_for_s, :on_conflict], &is_map_key(further, &1))

      if alone && not is_map_key(further, :unique_key),
        do: Error.invalid("#{alone} is given without unique_key"),
        else: :ok
    end
  end

  # What the library takes for none would be an option that somebody has given, and that does nothing.
  defp check(key, value) when key in [:unique_key, :concurrency_key] do
    if is_binary(value) and value != "", do: :ok, else: wrong(key, "a text that is not empty", value)
  end

  defp check(key, value) when key in [:unique_for_s, :max_run_s],
    do: if(value in 1..@int64_max, do: :ok, else: wrong(key, "seconds, 1 at least", value))

  defp check(:batch, id), do: if(id in 1..@int64_max, do: :ok, else: wrong(:batch, "the id of a batch", id))
  defp check(:member, job), do: if(is_struct(job, Job), do: :ok, else: wrong(:member, "the job that is running", job))
  defp check(key, value), do: choice(key, value)

  defp choice(key, value) do
    choices = @choices[key]
    if value in choices, do: :ok, else: wrong(key, Enum.map_join(choices, " or ", &inspect/1), value)
  end

  defp wrong(key, expected, value), do: Error.invalid("#{key} has to be #{expected}, not #{inspect(value)}")

  # Choices are numbers for the library, in the order of its constants.
  defp number(key, value) when is_map_key(@choices, key), do: Enum.find_index(@choices[key], &(&1 == value))
  defp number(_key, value), do: value

  # A running member adds to its own batch.
  defp batch(on, %{member: %Job{} = job} = further) do
    with {:ok, id} <- if(further[:batch], do: {:ok, further.batch}, else: batch_of(on, job)),
         do: {:ok, %{batch_id: id, member_job_id: job.id, member_worker_id: job.worker_id}}
  end

  defp batch(_on, %{batch: id}), do: {:ok, %{batch_id: id}}
  defp batch(_on, _none), do: {:ok, %{}}

  defp batch_of(on, job) do
    case Jobs.list(on, min_id: job.id, max_id: job.id) do
      {:ok, {[%{"batch_id" => id}], _cursor}} when id != nil -> {:ok, id}
      {:ok, _none} -> Error.invalid("job #{job.id} is in no batch")
      error -> error
    end
  end
end
