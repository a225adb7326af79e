defmodule Honker.Scheduler do
  @moduledoc """
  Schedules, which are in the file, and the process that fires them.

      Honker.Scheduler.add(db, name: "nightly", queue: "backups", schedule: "CRON_TZ=Europe/Berlin 0 3 * * *", payload: %{})

  Expressions have five fields (minute, hour, day of month, month, day of week) or six with seconds in front, or are
  macros such as `@daily` or intervals such as `@every 5m`.
  """

  alias Honker.{Database, Error, JobOptions, Native, Transaction}
  alias Honker.Scheduler.Leader

  use Honker.Bang, ~w(add update remove pause resume list tick soonest next_after run)a

  @type on :: Database.named() | Transaction.t()

  @doc """
  Adds a schedule, or replaces the one of that name: at every boundary a job goes into the queue.

  `name:`, `queue:`, `schedule:` (or `cron:`) and `payload:` (default nil), or in place of queue and payload `job:`, a module
  that uses `Honker.Job`, and `args:`; `priority:` (0); `expires_s:`, after how many
  seconds from its boundary a job may not be claimed any more; `max_attempts:` (what is set for the queue, or else 3); `delay:`, in how many seconds a job becomes due;
  `metadata:`, `unique_key:` and all else that `Honker.Queue.enqueue/4` has, but for `member:`.

  `overlap:` - `:allow` (default), or `:skip`: a boundary enqueues nothing while the last job that the schedule has enqueued waits or
  runs.
  """
  @spec add(on, keyword) :: :ok | {:error, Error.t()}
  def add(on, opts) do
    defaults = [:name, :queue, :schedule, :cron, :expires_s, :max_attempts, payload: nil, priority: 0]
    defaults = defaults ++ [:delay, :overlap, :metadata | JobOptions.further() -- [:member]]

    with {:ok, o} <- opts |> of_job() |> Native.options(defaults),
         {:ok, text} <- Honker.JSON.encode(o.payload),
         {:ok, more} <- JobOptions.of_schedule(on, o) do
      arguments = [
        o[:name],
        o[:queue],
        o[:schedule] || o[:cron],
        text,
        o.priority,
        o[:expires_s],
        o[:max_attempts],
        more
      ]

      Native.done(Native.call(on, :scheduler_register, arguments))
    end
  end

  defp of_job(opts) do
    with [_ | _] <- opts, {module, opts} when module != nil <- Keyword.pop(opts, :job) do
      {args, opts} = Keyword.pop(opts, :args)
      {queue, payload, job} = module.new(args)

      Keyword.take(job, [:priority, :max_attempts, :metadata | JobOptions.further()]) ++
        [queue: queue, payload: payload] ++ opts
    else
      _ -> opts
    end
  end

  @doc """
  Changes what is given of `schedule:` (or `cron:`), `payload:`, `priority:`, `expires_s:` (nil for none) and
  `max_attempts:` (nil for that of the queue); false if there is none of that name, or nothing to change.
  """
  @spec update(on, String.t(), keyword) :: {:ok, boolean} | {:error, Error.t()}
  def update(on, name, opts) do
    with {:ok, o} <- Native.options(opts, [:schedule, :cron, :payload, :priority, :expires_s, :max_attempts]),
         {:ok, payload} <- if(Map.has_key?(o, :payload), do: Honker.JSON.encode(o.payload), else: {:ok, nil}) do
      schedule = o[:schedule] || o[:cron]
      given = [schedule != nil] ++ for key <- [:payload, :priority, :expires_s, :max_attempts], do: Map.has_key?(o, key)
      fields = Enum.sum(for {true, i} <- Enum.with_index(given), do: 2 ** i)
      arguments = [name, fields, schedule, payload, Map.get(o, :priority, 0), o[:expires_s], o[:max_attempts]]
      Native.changed?(Native.call(on, :scheduler_update, arguments))
    end
  end

  @doc "Removes a schedule; jobs it has enqueued stay. False if there is none of that name."
  @spec remove(on, String.t()) :: {:ok, boolean} | {:error, Error.t()}
  def remove(on, name), do: Native.changed?(Native.call(on, :scheduler_unregister, [name]))

  @doc "Pauses a schedule; false if there is none of that name, or it is paused already."
  @spec pause(on, String.t()) :: {:ok, boolean} | {:error, Error.t()}
  def pause(on, name), do: Native.changed?(Native.call(on, :scheduler_pause, [name]))

  @doc "Resumes a paused schedule; false if there is none of that name, or it is not paused."
  @spec resume(on, String.t()) :: {:ok, boolean} | {:error, Error.t()}
  def resume(on, name), do: Native.changed?(Native.call(on, :scheduler_resume, [name]))

  @doc """
  All schedules by name: maps with the keys `"name"`, `"queue"`, `"cron_expr"`, `"payload"`, `"priority"`, `"expires_s"`,
  `"next_fire_at"`, `"enabled"`, `"max_attempts"` and `"raw"`, the payload as it is stored.
  """
  @spec list(on) :: {:ok, [map]} | {:error, Error.t()}
  def list(on) do
    Native.or_nil(Native.call(on, :scheduler_list, []), &Honker.JSON.decode_rows(Honker.JSON.decode(&1)))
  end

  @doc """
  Fires every boundary up to `now` (Unix seconds, nil for now) that nobody has fired yet: maps with the keys `:name`,
  `:queue`, `:fire_at`, `:status` and `:job_id`. The status is `:enqueued`; `:exists` or `:replaced`, the job has the unique key; or
  `:skipped`, without a job (`overlap: :skip`). Any number of processes may tick; each boundary is fired once.
  """
  @spec tick(on, integer | nil) :: {:ok, [map]} | {:error, Error.t()}
  def tick(on, now \\ nil), do: Native.list(Native.call(on, :scheduler_tick, [now]), &fire/1)

  @doc "The next boundary, in Unix seconds, of any schedule that is not paused; nil if there is none."
  @spec soonest(on) :: {:ok, integer | nil} | {:error, Error.t()}
  def soonest(on), do: Native.or_nil(Native.call(on, :scheduler_soonest, []), & &1)

  @doc "The first boundary of an expression after `from`, both in Unix seconds."
  @spec next_after(String.t(), integer) :: {:ok, integer} | {:error, Error.t()}
  def next_after(schedule, from) do
    with {:ok, _} <- Honker.Library.load(), do: Native.read(Native.cron_next_after(schedule, from))
  end

  @doc """
  Fires what is due, in a process of its own, until `stop` returns true, which is asked ten times a second. `owner` is a name
  that nobody else has. Every process may run it: one leads, the others stand by and take over when it stops or its
  process ends, or a minute after its emulator has died.

      Task.Supervisor.start_child(MyApp.Tasks, fn -> Honker.Scheduler.run(db, "host-7") end, restart: :permanent)

  It goes on after errors that may pass, a locked file or a full disk, and with the name of a database after its file was
  replaced; any other error ends it.
  """
  @spec run(Database.named(), String.t(), (() -> boolean)) :: :ok | {:error, Error.t()}
  def run(db, owner, stop \\ fn -> false end) when is_function(stop, 0) do
    Honker.Until.run(Leader.start(db, owner), stop)
  end

  @doc false
  def fire({name, queue, fire_at, {status, job_id}}),
    do: %{name: name, queue: queue, fire_at: fire_at, status: status, job_id: job_id}
end
