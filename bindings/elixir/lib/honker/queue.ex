defmodule Honker.Queue do
  @moduledoc """
  Jobs, delivered at least once.

  Functions take a database and the queue's name, or a queue made by `Honker.queue/3` in place of both, and in place of the
  database alone where no name is asked for:

      Honker.Queue.claim_one(db, "emails", "worker-1")
      Honker.Queue.claim_one(queue, "worker-1")

  A transaction may stand where a database does.
  """

  alias Honker.{Consumer, Database, Error, Event, Job, Native, Transaction}

  use Honker.Bang,
      ~w(enqueue enqueue_tx enqueue_many enqueue_all claim_one claim_batch ack_batch worker sweep_expired cancel get_job
         next_claim_at stats dead requeue_dead purge_dead)a

  @enforce_keys [:db, :name]
  defstruct [:db, :name]
  @type t :: %__MODULE__{db: Database.t(), name: String.t()}
  @type on :: Database.named() | Transaction.t() | t

  @doc """
  Adds a job: its id. The payload is encoded as JSON, or `Honker.raw(text)`.

  Options: `delay:` (seconds) or `run_at:` (Unix seconds), when it becomes due; `priority:`, larger is sooner, default 0;
  `expires:`, after how many seconds from now it may not be claimed any more; `max_attempts:`, how often it may be claimed
  (default: that of `Honker.configure_queue/3`, 3); `metadata:`, a map of texts, 8 kB at most, which comes back with the job.
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

  @doc "Adds a job for each payload, all or none: their ids. Options as for `enqueue/4`."
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
  Adds jobs to any queues, each with options of its own (as for `enqueue/4`), all in one commit or none:

      {:ok, [enqueued: 1, enqueued: 2]} =
        Honker.Queue.enqueue_all(db, [{"emails", %{to: "alice"}}, {"reports", %{}, delay: 60, priority: 5}])
  """
  @spec enqueue_all(on, [{String.t(), term} | {String.t(), term, keyword}]) ::
          {:ok, [enqueued: integer]} | {:error, Error.t()}
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
    with {:ok, specs} <- Native.all(jobs, &spec(on, &1)), {:ok, results} <- insert_specs(on, specs) do
      Event.emit([:honker, :enqueue], %{count: length(results)}, %{jobs: jobs, results: results})
      {:ok, results}
    end
  end

  defp insert_specs(on, [spec]) do
    with {:ok, id} <- Native.call(on, :enqueue, [spec]), do: {:ok, [enqueued: id]}
  end

  defp insert_specs(on, specs), do: Native.call(on, :enqueue_many, [specs])

  defp spec(on, {queue, payload, opts}) do
    with {:ok, o} <- Native.options(opts, [:run_at, :delay, :expires, :max_attempts, :metadata, priority: 0]),
         {:ok, text} <- Honker.JSON.encode(payload),
         {:ok, metadata} <- metadata(o[:metadata]) do
      max_attempts = o[:max_attempts] || Database.queue_options(on, queue).max_attempts
      {:ok, {queue, text, o[:run_at], o[:delay], o[:expires], o.priority, max_attempts, metadata}}
    end
  end

  defp spec(_on, other) do
    Error.invalid("a job is {queue, payload} or {queue, payload, options}, not #{inspect(other)}")
  end

  # Settings of a queue may stand where only what concerns enqueueing counts.
  defp queue_options(opts) do
    with {:ok, o} <- Native.options(opts, [:visibility_timeout_s, :max_attempts]),
         do: {:ok, if(o[:max_attempts], do: [max_attempts: o.max_attempts], else: [])}
  end

  defp metadata(none) when none == nil or none == %{}, do: {:ok, nil}
  defp metadata(map) when is_map(map) and not is_struct(map), do: Honker.JSON.encode(map)
  defp metadata(other), do: Error.invalid("metadata has to be a map of texts, not #{inspect(other)}")

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
    options = %{visibility_timeout_s: Database.queue_options(db, queue).visibility_timeout_s, heartbeat: 0}
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

  for {name, n} <- forms ++ [purge_dead: 1] do
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

  @doc "Makes a dead job live again, with no attempts used; false if there is none of that id."
  @spec requeue_dead(on, integer) :: {:ok, boolean} | {:error, Error.t()}
  def requeue_dead(on, id), do: Native.changed?(Native.call(on, :dead_requeue, [id]))

  @doc "Deletes the dead of a queue, or of all for nil, that died more than so many seconds ago; how many that were."
  @spec purge_dead(on, String.t() | nil, integer) :: {:ok, non_neg_integer} | {:error, Error.t()}
  def purge_dead(on, queue, older_than_s), do: Native.call(on, :dead_purge, [queue, older_than_s])

  defp rows(json), do: Honker.JSON.decode_rows(Honker.JSON.decode(json))
end
