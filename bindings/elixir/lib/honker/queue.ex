defmodule Honker.Queue do
  @moduledoc """
  Jobs, delivered at least once.

  Functions take a database and the queue's name, or a queue made by `Honker.queue/3` in place of both, and in place of the
  database alone where no name is asked for:

      Honker.Queue.claim_one(db, "emails", "worker-1")
      Honker.Queue.claim_one(queue, "worker-1")

  A transaction may stand where a database does.
  """

  alias Honker.{Consumer, Database, Error, Event, Job, JobOptions, Native, Transaction}

  use Honker.Bang,
      ~w(enqueue enqueue_tx enqueue_many enqueue_one enqueue_all claim_one claim_batch ack_batch worker sweep_expired cancel
         get_job next_claim_at stats dead dead_groups requeue_dead purge_dead configure settings pause resume)a

  @enforce_keys [:db, :name]
  defstruct [:db, :name]
  @type t :: %__MODULE__{db: Database.t(), name: String.t()}
  @type on :: Database.named() | Transaction.t() | t
  @type outcome :: {:enqueued | :exists | :replaced, integer}

  @doc """
  Adds a job: its id. The payload is encoded as JSON, or `Honker.raw(text)`.

  Options: `delay:` (seconds) or `run_at:` (Unix seconds), when it becomes due; `priority:`, larger is sooner, default 0;
  `expires:`, after how many seconds from now it may not be claimed any more; `max_attempts:`, how often it may be claimed
  (default: that of `Honker.configure_queue/3`, or of `configure/3`, or 3); `metadata:`, a map of texts, 8 kB at most, which
  comes back with the job; `max_run_s:`, how long it may run (default: as the worker says).

    * `unique_key:` - there is one job of the queue with the same key. If another has it, nothing is added, and the answer is the
      id of that one: `enqueue_one/2` says which it was
    * `unique_until:` - `:settled` (default): it has the key until it is done, dead or cancelled; `:claimed`: until it is claimed, so
      that what comes while it runs is queued once more
    * `unique_for_s:` - it has the key for so many seconds, even if it is done by then
    * `on_conflict:` - `:keep` (default), or `:replace`: if the job that has the key still waits, it becomes this one, and keeps its id
    * `concurrency_key:` - see `concurrency_per_key:` of `configure/3`
    * `batch:` - the batch that it joins (`Honker.batch/3`); `member:`, the job of that batch that is running and adds it
  """
  @spec enqueue(on, term, term, keyword) :: {:ok, integer} | {:error, Error.t()}
  def enqueue(on, queue, payload, opts \\ [])
  def enqueue(%__MODULE__{} = queue, payload, opts, []), do: enqueue_tx(queue.db, queue.name, payload, opts)
  def enqueue(on, queue, payload, opts), do: enqueue_tx(on, queue, payload, opts)

  @doc "As `enqueue/4`, in a transaction. `queue_opts` may have `max_attempts:`."
  @spec enqueue_tx(on, String.t(), term, keyword, keyword) :: {:ok, integer} | {:error, Error.t()}
  def enqueue_tx(on, queue, payload, opts \\ [], queue_opts \\ []) do
    with {:ok, q} <- queue_options(queue_opts),
         {:ok, [{_, id}]} <- add(on, [{queue, payload, q ++ opts}]),
         do: {:ok, id}
  end

  @doc """
  As `enqueue/4`, of a job as `enqueue_all/2` takes it, and says what has become of it: `{:enqueued, id}`; `{:exists, id}`,
  that job has its unique key and stays as it is; or `{:replaced, id}`, that job has its unique key and has become this one.

      {:ok, {:exists, _id}} = Honker.Queue.enqueue_one(db, MyApp.SendEmail.new(%{to: "alice"}, unique_key: "alice"))
  """
  @spec enqueue_one(on, {String.t(), term} | {String.t(), term, keyword}) :: {:ok, outcome} | {:error, Error.t()}
  def enqueue_one(on, job) do
    with {:ok, [outcome]} <- enqueue_all(on, [job]), do: {:ok, outcome}
  end

  @doc """
  Adds a job for each payload, all or none: their ids. Options as for `enqueue/4`; of unique jobs `enqueue_all/2` says what has
  become of each.
  """
  @spec enqueue_many(on, String.t(), [term], keyword, keyword) :: {:ok, [integer]} | {:error, Error.t()}
  def enqueue_many(on, queue, payloads, opts \\ [], queue_opts \\ [])

  def enqueue_many(%__MODULE__{} = queue, payloads, opts, _, _),
    do: enqueue_many(queue.db, queue.name, payloads, opts)

  def enqueue_many(on, queue, payloads, opts, queue_opts) do
    with {:ok, q} <- queue_options(queue_opts),
         true <- is_list(payloads) || Error.invalid("payloads have to be a list, not #{inspect(payloads)}"),
         {:ok, results} <- add(on, for(payload <- payloads, do: {queue, payload, q ++ opts})) do
      {:ok, for({_, id} <- results, do: id)}
    end
  end

  @doc """
  Adds jobs to any queues, each with options of its own (as for `enqueue/4`), all in one commit or none, and says what has
  become of each, as `enqueue_one/2` does:

      {:ok, [enqueued: 1, enqueued: 2]} =
        Honker.Queue.enqueue_all(db, [{"emails", %{to: "alice"}}, {"reports", %{}, delay: 60, priority: 5}])
  """
  @spec enqueue_all(on, [{String.t(), term} | {String.t(), term, keyword}]) ::
          {:ok, [outcome]} | {:error, Error.t()}
  def enqueue_all(on, jobs) do
    if is_list(jobs),
      do: add(on, Enum.map(jobs, &with({queue, payload} <- &1, do: {queue, payload, []}))),
      else: Error.invalid("jobs have to be a list, not #{inspect(jobs)}")
  end

  # All enqueueing goes through here, with what the application has put around it.
  defp add(on, jobs) do
    with {:ok, db} <- Database.resolve(on), do: Honker.Handler.around(&insert(on, &1), db.around_enqueue).(jobs)
  end

  defp insert(on, jobs) do
    with {:ok, specs} <- Native.all(jobs, &JobOptions.spec(on, &1)), {:ok, results} <- insert_specs(on, specs) do
      count = Enum.count(results, &match?({:enqueued, _}, &1))
      Event.emit([:honker, :enqueue], %{count: count}, %{jobs: jobs, results: results})
      {:ok, results}
    end
  end

  defp insert_specs(on, [spec]) do
    with {:ok, outcome} <- Native.call(on, :enqueue, [spec]), do: {:ok, [outcome]}
  end

  defp insert_specs(on, specs), do: Native.call(on, :enqueue_many, [specs])

  # Settings of a queue may stand where only what concerns enqueueing counts.
  defp queue_options(opts) do
    with {:ok, o} <- Native.options(opts, [:visibility_timeout_s, :max_attempts]),
         do: {:ok, if(o[:max_attempts], do: [max_attempts: o.max_attempts], else: [])}
  end

  @doc "Claims the next job, highest priority first, then oldest; nil if there is none."
  @spec claim_one(on, String.t(), String.t()) :: {:ok, Job.t() | nil} | {:error, Error.t()}
  def claim_one(on, queue, worker) do
    with {:ok, jobs} <- claim_batch(on, queue, worker, 1), do: {:ok, List.first(jobs)}
  end

  @doc """
  Claims up to `n` jobs. Each is the worker's for the queue's visibility timeout (`Honker.configure_queue/3`, default 300
  seconds); if it is not settled or extended by then it goes to whoever claims next, which is also how a crash gives it
  back.
  """
  @spec claim_batch(on, String.t(), String.t(), integer) :: {:ok, [Job.t()]} | {:error, Error.t()}
  def claim_batch(on, queue, worker, n) do
    timeout_s = Database.queue_options(on, queue).visibility_timeout_s

    with :ok <- Honker.JSON.check(),
         do: Native.list(Native.call(on, :claim, [queue, worker, n, timeout_s]), &Job.from_native/1)
  end

  @doc "The jobs, or ids, are done: removes those that `worker` still holds, in one commit; how many that were."
  @spec ack_batch(on, [Job.t() | integer], String.t()) :: {:ok, non_neg_integer} | {:error, Error.t()}
  def ack_batch(on, jobs, worker) when is_list(jobs) do
    ids = for job <- jobs, do: if(is_struct(job, Job), do: job.id, else: job)
    Native.call(on, :ack_batch, [ids, worker])
  end

  @doc """
  A consumer that waits for jobs of the queue, claiming as `worker`: see `Honker.Consumer`. Its items are lists of jobs, which
  are the loop's to settle and to extend.
  `Honker.Worker` is a process that does all that.
  """
  @spec worker(Database.named(), String.t(), String.t()) :: {:ok, Consumer.t()} | {:error, Error.t()}
  def worker(db, queue, worker) do
    # Nobody knows whether a job that such a loop has forgotten is still at work, so none is extended.
    timeout_s = Database.queue_options(db, queue).visibility_timeout_s
    options = %{visibility_timeout_s: timeout_s, heartbeat: 0, rescue: 0}
    Consumer.new(db, :worker, "", [worker, [{queue, 1, nil}], options])
  end

  @doc "Moves the expired jobs that nobody holds to the dead; how many that were."
  @spec sweep_expired(on, String.t()) :: {:ok, non_neg_integer} | {:error, Error.t()}
  def sweep_expired(on, queue), do: Native.call(on, :sweep_expired, [queue])

  @doc "Removes a job, pending or claimed, of any queue; false if there is none of that id."
  @spec cancel(on, integer) :: {:ok, boolean} | {:error, Error.t()}
  def cancel(on, id), do: Native.changed?(Native.call(on, :cancel, [id]))

  @doc """
  One job, pending or claimed: a map with the keys `"id"`, `"queue"`, `"payload"`, `"state"`, `"priority"`, `"run_at"`,
  `"worker_id"`, `"claim_expires_at"`, `"attempts"`, `"max_attempts"`, `"created_at"`, `"expires_at"`, `"metadata"` (if it
  has any) and `"raw"`, the payload as it is stored; or nil.
  """
  @spec get_job(on, integer) :: {:ok, map | nil} | {:error, Error.t()}
  def get_job(on, id), do: Native.or_nil(Native.call(on, :get_job, [id]), &rows/1)

  forms = [enqueue: 1, enqueue_many: 1, claim_one: 1, claim_batch: 2, worker: 1, sweep_expired: 0, next_claim_at: 0]
  forms = forms ++ [purge_dead: 1, configure: 1, settings: 0, pause: 0, resume: 0]

  for {name, n} <- forms do
    arguments = Macro.generate_arguments(n, __MODULE__)

    @doc "As `#{name}/#{n + 2}`, of a queue that `Honker.queue/3` has made."
    def unquote(name)(%__MODULE__{db: db, name: queue}, unquote_splicing(arguments)),
      do: unquote(name)(db, queue, unquote_splicing(arguments))
  end

  @doc "When, in Unix seconds, a claim could next succeed without a further commit; nil if there is nothing to wait for."
  @spec next_claim_at(on, String.t()) :: {:ok, integer | nil} | {:error, Error.t()}
  def next_claim_at(on, queue), do: Native.or_nil(Native.call(on, :queue_next_claim_at, [queue]), & &1)

  @doc """
  How many jobs there are: a map with the keys `"queue"`, `"pending"` (due), `"delayed"`, `"claimed"`, `"expired"` and
  `"dead"`; without a queue, a list of them. It reads them all: for people, not for loops.
  """
  @spec stats(on, String.t() | nil) :: {:ok, map | [map]} | {:error, Error.t()}
  def stats(on, queue \\ nil)
  def stats(%__MODULE__{} = queue, nil), do: stats(queue.db, queue.name)
  def stats(on, queue), do: Native.or_nil(Native.call(on, :queue_stats, [queue]), &Honker.JSON.decode/1)

  @doc """
  The dead of a queue, or of all for nil, newest job first: maps with the keys `"id"`, `"queue"`, `"payload"`,
  `"priority"`, `"run_at"`, `"attempts"`, `"max_attempts"`, `"last_error"`, `"created_at"`, `"died_at"`, `"metadata"` and
  `"raw"`.
  """
  @spec dead(on, String.t() | nil, integer) :: {:ok, [map]} | {:error, Error.t()}
  def dead(on, queue \\ nil, limit \\ -1)
  def dead(%__MODULE__{} = queue, limit, _), do: dead(queue.db, queue.name, limit || -1)
  def dead(on, queue, limit), do: Native.or_nil(Native.call(on, :dead_list, [queue, limit]), &rows/1)

  @doc """
  The dead of a queue, or of all for nil, by what they died of, the largest group first: maps with the keys `"error"` (`#` stands
  for numbers and ids in it, which do not count), `"count"` and `"newest"`, the last of them to die, as `dead/3` has it. It reads
  all of the dead.
  """
  @spec dead_groups(on, String.t() | nil) :: {:ok, [map]} | {:error, Error.t()}
  def dead_groups(on, queue \\ nil)
  def dead_groups(%__MODULE__{} = queue, nil), do: dead_groups(queue.db, queue.name)

  def dead_groups(on, queue) do
    groups = Native.or_nil(Native.call(on, :dead_groups, [queue]), &Honker.JSON.decode/1)
    with {:ok, groups} <- groups, do: {:ok, for(group <- groups, do: Map.update!(group, "newest", &newest/1))}
  end

  defp newest(job), do: job && Honker.JSON.decode_rows(job)

  @doc """
  Makes a dead job live again, with no attempts used; false if there is none of that id, or if it stays dead because another
  job has its unique key.
  """
  @spec requeue_dead(on, integer) :: {:ok, boolean} | {:error, Error.t()}
  def requeue_dead(on, id), do: Native.changed?(Native.call(on, :dead_requeue, [id]))

  @doc "Deletes the dead of a queue, or of all for nil, that died more than so many seconds ago; how many that were."
  @spec purge_dead(on, String.t() | nil, integer) :: {:ok, non_neg_integer} | {:error, Error.t()}
  def purge_dead(on, queue, older_than_s), do: Native.call(on, :dead_purge, [queue, older_than_s])

  # --- Settings, which are in the file. ---

  @settings ~w(paused concurrency concurrency_per_key rate max_attempts retry keep_done_s keep_dead_s)a

  @doc """
  Sets something for a queue, in the file: it holds for every process, from the commit on. What is not given stays as it is, and
  nil is back to the default.

      Honker.Queue.configure(db, "emails", concurrency: 10, rate: [limit: 100, per_s: 60], retry: [base_s: 5, max_s: 600])

    * `paused:` - true: nothing is claimed; what runs goes on. `pause/2` and `resume/2` are the same
    * `concurrency:` - how many of its jobs may run at once, whoever runs them; `concurrency_per_key:`, how many of those with the
      same `concurrency_key:`. Default: any number
    * `rate:` - `[limit: n, per_s: s]`, at most so many claims in each window of so many seconds. Default: any number
    * `max_attempts:` - of jobs whose enqueueing does not say. Default 3
    * `retry:` - `[base_s:, factor:, max_s:, jitter:]`, when a job is tried again whose handler does not say. Default: as its worker
      has it
    * `keep_done_s:` - for how many seconds done jobs can be seen (`Honker.Jobs`). Default 0
    * `keep_dead_s:` - after how many seconds dead jobs are removed. Default: never

  Programs with a libhonker from before these settings do not write to the file any more.
  """
  @spec configure(on, String.t(), keyword) :: :ok | {:error, Error.t()}
  def configure(on, queue, settings) do
    with {:ok, o} <- Native.options(settings, @settings),
         {:ok, json} <- Honker.JSON.encode(Map.new(o, fn {key, value} -> {key, object(value)} end)),
         do: Native.done(Native.call(on, :queue_configure, [queue, json]))
  end

  defp object([{key, _} | _] = parts) when is_atom(key), do: Map.new(parts)
  defp object(value), do: value

  @doc "What holds for a queue, there or not: a map with the names of `configure/3`, as binaries; nil for what has no default."
  @spec settings(on, String.t()) :: {:ok, map} | {:error, Error.t()}
  def settings(on, queue), do: Native.or_nil(Native.call(on, :queue_settings, [queue]), &Honker.JSON.decode/1)

  @doc "Nothing is claimed from the queue any more, by any process; what runs goes on."
  @spec pause(on, String.t()) :: :ok | {:error, Error.t()}
  def pause(on, queue), do: configure(on, queue, paused: true)

  @doc "Ends what `pause/2` began."
  @spec resume(on, String.t()) :: :ok | {:error, Error.t()}
  def resume(on, queue), do: configure(on, queue, paused: false)

  defp rows(json), do: Honker.JSON.decode_rows(Honker.JSON.decode(json))
end
