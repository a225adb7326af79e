defmodule Honker do
  @moduledoc """
  Durable job queues, event streams, notifications, locks, rate limits, results, outboxes and a cron scheduler in the
  SQLite file that your application already has.

      defmodule MyApp.SendEmail do
        use Honker.Job, queue: "emails", max_attempts: 10

        @impl true
        def perform(%Honker.Job{payload: %{"to" => to}}), do: MyApp.Mailer.send(to)
      end

      children = [
        {Honker, name: MyApp.Honker, path: "app.db", jobs: [MyApp.SendEmail], concurrency: 10}
      ]

      {:ok, _id} = MyApp.SendEmail.enqueue(MyApp.Honker, %{to: "alice"})

  `start_link/1` has what it may be given. Wherever this package takes a database it takes such a name, a database of
  `open/2`, or a transaction (`Honker.Transaction`).

  Functions return `{:ok, value}`, or `:ok` where there is nothing to say, and `{:error, %Honker.Error{}}`; those with a `!`
  return the value itself, and raise the error. An operation that
  fails has done nothing; one that has returned is committed. Should the emulator be killed in the middle of one, it has
  happened completely or not at all, and what was claimed or locked is free again after its time.

  Times are Unix seconds, durations that reach the file seconds, waits milliseconds. Names are any text (UTF-8, no NUL).
  """

  alias Honker.{Batch, Consumer, Database, Error, Feed, Library, Native, Outbox, Postgres, Queue, Transaction}

  use Honker.Bang,
      ~w(open close interrupt status metrics queues batch transaction execute query notify notify_tx listen listener updates
         prune_notifications configure_notifications save_result get_result wait_result sweep_results try_rate_limit sweep_rate_limits outbox version)a

  @type on :: Database.named() | Transaction.t()

  @durability %{normal: 0, full: 1}
  @journal_mode %{wal: 0, delete: 1, truncate: 2, persist: 3}

  @doc """
  Opens a SQLite file, creating it if need be, and brings honker's tables in it up to date; or a Postgres database, if `path` is
  its URL, `postgres://…`, for which the options say nothing but for `busy_timeout_ms:` and `readers_max:`, the number of connections.

  Options:

    * `library_path:` - where libhonker is; see `Honker.Library` for where it is looked for otherwise. `extension_path:` is an
      alias
    * `busy_timeout_ms:` - how long a call waits for a lock that others hold. Default 5000
    * `journal_mode:` - `:wal` (default), `:delete`, `:truncate` or `:persist`
    * `durability:` - `:normal` (default: a power cut may take the last commits back) or `:full`
    * `readers_max:` - how many reads may run at once. Default 8
    * `wal_autocheckpoint_pages:` - after how many pages the write-ahead log is written back. Default 10,000; 0 for never
    * `watcher_backend:` - how commits are noticed: `"auto"` (default), `"polling"`, `"kernel"` or `"shm"`
    * `watcher_poll_interval_ms:` - how often the back ends that poll look. Default 1
    * `around_enqueue:` - a function, or a list of them, the first outermost, that is given the jobs that are enqueued, a list of
      `{queue, payload, options}`, and the next, and calls that with them, or with others:
      `fn jobs, next -> for({q, p, o} <- jobs, do: {q, p, [priority: 5] ++ o}) |> next.() end`. The answer is that of
      `Honker.Queue.enqueue_all/2`

  In-memory databases are refused: nobody else could see them.
  """
  @spec open(Path.t(), keyword) :: {:ok, Database.t()} | {:error, Error.t()}
  def open(path, opts \\ []) do
    defaults = [
      :library_path,
      :extension_path,
      :watcher_backend,
      busy_timeout_ms: 5000,
      journal_mode: :wal,
      durability: :normal,
      readers_max: 8,
      wal_autocheckpoint_pages: 10_000,
      watcher_poll_interval_ms: 1,
      around_enqueue: []
    ]

    with {:ok, o} <- Native.options(opts, defaults),
         {:ok, journal_mode} <- one_of(:journal_mode, @journal_mode, o.journal_mode),
         {:ok, durability} <- one_of(:durability, @durability, o.durability),
         {:ok, backend} <- backend(o[:watcher_backend]),
         {:ok, around} <- Native.functions(:around_enqueue, o.around_enqueue, 2),
         true <- is_integer(o.busy_timeout_ms) || Error.invalid("busy_timeout_ms has to be an integer"),
         {:ok, _} <- Library.load(o[:library_path] || o[:extension_path]) do
      native = %{o | journal_mode: journal_mode, durability: durability}
      busy_ms = Postgres.native_busy_ms(path, native)
      native = Map.merge(native, %{watcher_backend: backend, busy_timeout_ms: busy_ms})
      rest = [busy_timeout_ms: o.busy_timeout_ms, around_enqueue: around, options: opts]
      unopened = struct!(%Database{ref: nil, path: path}, rest)

      with {:ok, {ref, warning}} <- Native.run(unopened, fn -> Native.open(path, native) end) do
        {:ok, %{unopened | ref: ref, warning: warning}}
      end
    end
  end

  defp one_of(name, values, value) do
    case values do
      %{^value => number} -> {:ok, number}
      _ -> Error.invalid("#{name} has to be one of #{inspect(Map.keys(values))}, not #{inspect(value)}")
    end
  end

  defp backend(nil), do: {:ok, nil}
  defp backend(name) when is_binary(name), do: {:ok, name}
  defp backend(other), do: Error.invalid("there is no watcher back end #{inspect(other)}")

  @doc """
  Starts a supervisor that opens a database under a name, and runs what works on it:

      children = [
        {Honker,
         name: MyApp.Honker,
         path: "app.db",
         jobs: [MyApp.SendEmail],
         concurrency: 10,
         schedules: [[name: "nightly", queue: "backups", schedule: "0 3 * * *"]]}
      ]

  The name stands wherever this package takes a database. Options:

    * `name:` - an atom; the supervisor is registered as that
    * `path:`, and `open:`, options of `open/2`. A file that cannot be opened yet is waited for, and one that was replaced is opened
      anew: calls with the name then work on the new one
    * `queues:`, `handler:` or `jobs:`, `concurrency:` and all others of `Honker.Worker` - for a worker; without a handler and
      jobs there is none
    * `workers:` - a list of such options, for several
    * `schedules:` - a list of options of `Honker.Scheduler.add/2`, which are added at the start; `job:`, a module that uses
      `Honker.Job`, and `args:` may stand for `queue:` and `payload:`. The process then leads, or stands by:
      `Honker.Scheduler.run/3`. `[]` for a scheduler without further schedules
    * `outboxes:` - a list of `{name, function}` or `{name, function, options of outbox/4}`, which are delivered

  What waits for a file that is replaced (a listener, a subscription) ends with that as its error, and is to be made anew.

  It stops in this order, with `:init.stop` or SIGTERM as well: workers (which finish, `shutdown:` of `Honker.Worker`), outboxes,
  which do so too, the scheduler, which gives its lead away, and the database.
  """
  @spec start_link(keyword) :: Supervisor.on_start()
  defdelegate start_link(opts), to: Honker.Instance, as: :start_supervisor

  @doc false
  def child_spec(opts) do
    %{id: {Honker, opts[:name]}, start: {Honker, :start_link, [opts]}, type: :supervisor}
  end

  @doc """
  Closes a database. Calls and waits of other processes end, an open transaction is rolled back, and when this returns the
  file is nobody's. Everything that came from the database answers the error `:closed_handle` from then on. Closing twice
  does no harm.
  """
  @spec close(Database.t()) :: :ok | {:error, Error.t()}
  def close(%Database{} = db) do
    case Native.done(Native.read(Native.close(db.ref))) do
      {:error, %Error{name: :closed_handle}} -> :ok
      closed -> closed
    end
  end

  @doc "Ends every call and wait of other processes on this database with the error `:interrupted`. Later ones are not affected."
  @spec interrupt(Database.named()) :: :ok | {:error, Error.t()}
  def interrupt(on), do: Native.done(Native.within(on, &Native.read(Native.interrupt(&1.ref))))

  @doc """
  The state of the database, for people and monitoring: a map with the keys `"file"`, `"connections"`, `"versions"` and
  `"watcher"`, nil before anybody has waited, with its `"warnings"`, and `"warnings"` of schedules that a leader here could
  not fire, and of jobs that a worker has passed over. Keys may be added. It waits for nobody.
  """
  @spec status(Database.named()) :: {:ok, map} | {:error, Error.t()}
  def status(on), do: Native.or_nil(Native.within(on, &Native.read(Native.status(&1.ref))), &Honker.JSON.decode/1)

  @doc """
  What is known of each queue: a list of maps with the keys `"queue"`; `"counts"` of `"enqueued"`, `"claimed"`, `"done"`,
  `"retried"`, `"released"`, `"dead"` and `"cancelled"` jobs; `"wait"` (from due to claimed) and `"run"` (from claimed to settled),
  each with `"sum_s"` and `"buckets"` of `"up_to_s"` (nil: more) and `"count"`; and `"depth"`, with `"due"`, `"delayed"`,
  `"processing"`, `"blocked"`, `"expired"`, `"dead"` and `"oldest_due_age_s"`.

  Each process counts what its calls have committed, and adds it to the file every ten seconds and when it closes that: counts
  are late by that much, miss what a killed process had not added, and do not know of what SQL has inserted. The depth is that
  of now.
  """
  @spec metrics(on) :: {:ok, [map]} | {:error, Error.t()}
  def metrics(on), do: Native.or_nil(Native.call(on, :metrics, []), &Honker.JSON.decode(&1)["queues"])

  @doc """
  Every queue that has settings, or a job, by name: maps with the key `"queue"` and those of `Honker.Queue.settings/2`.
  """
  @spec queues(on) :: {:ok, [map]} | {:error, Error.t()}
  def queues(on), do: Native.or_nil(Native.call(on, :queues, []), &Honker.JSON.decode/1)

  @doc """
  A batch of jobs: calls the function with its id, for the option `batch:` of enqueueing, and seals it. See `Honker.Batch.run/3`.

      Honker.batch(db, [on_success: {"reports", %{of: "the import"}}], fn batch ->
        Honker.Queue.enqueue_many(db, "imports", files, batch: batch)
      end)
  """
  @spec batch(on, keyword, (integer -> term)) :: {:ok, integer} | {:error, term}
  def batch(on, opts \\ [], fun), do: Batch.run(on, opts, fun)

  @doc """
  The database, with defaults for what this process does with one queue: `visibility_timeout_s:`, for how long a claim is its
  worker's (default 300), and `max_attempts:`, how often a job may be claimed that is enqueued through it. What is to hold for
  every process is set by `Honker.Queue.configure/3`.
  """
  @spec configure_queue(Database.t(), String.t(), keyword) :: Database.t()
  def configure_queue(%Database{} = db, name, opts) do
    opts = Keyword.validate!(opts, [:visibility_timeout_s, :max_attempts])
    %{db | queues: Map.put(db.queues, name, Map.merge(Database.queue_options(db, name), Map.new(opts)))}
  end

  @doc "A queue, to be used in place of a database and a name. Options as for `configure_queue/3`."
  @spec queue(Database.named(), String.t(), keyword) :: Queue.t()
  def queue(db, name, opts \\ [])
  def queue(%Database{} = db, name, opts), do: %Queue{db: configure_queue(db, name, opts), name: name}
  def queue(named, name, []), do: %Queue{db: named, name: name}

  @doc "Text that is stored as it is, where a payload is expected."
  @spec raw(binary) :: Honker.Raw.t()
  def raw(text) when is_binary(text), do: %Honker.Raw{text: text}

  # --- SQL ---

  @doc "See `Honker.Transaction.transaction/2`."
  defdelegate transaction(db, fun), to: Transaction

  @doc "See `Honker.Transaction.execute/3`."
  @spec execute(Transaction.t(), String.t(), [Transaction.value()]) :: :ok | {:error, Error.t()}
  def execute(tx, sql, params \\ []), do: Transaction.execute(tx, sql, params)

  @doc "The rows of a statement that only reads, each a list. See `Honker.Transaction.query/3`."
  @spec query(on, String.t(), [Transaction.value()]) :: {:ok, [[Transaction.value()]]} | {:error, Error.t()}
  def query(on, sql, params \\ []), do: Transaction.query(on, sql, params)

  # --- Notifications ---

  @doc "Sends a notification to whoever listens on the channel: its id."
  @spec notify(on, String.t(), term) :: {:ok, integer} | {:error, Error.t()}
  def notify(on, channel, payload) do
    with {:ok, text} <- Honker.JSON.encode(payload), do: Native.call(on, :notify, [channel, text])
  end

  @doc "As `notify/3`, in a transaction: sent with its commit."
  @spec notify_tx(Transaction.t(), String.t(), term) :: {:ok, integer} | {:error, Error.t()}
  def notify_tx(%Transaction{} = tx, channel, payload), do: notify(tx, channel, payload)

  @doc """
  Sends what is notified on a channel from now on to the calling process, as `{:honker, listener, %Honker.Notification{}}`.

  It ends with the calling process, or by `unlisten/1`. When the database is closed the process is sent
  `{:honker, listener, {:closed, reason}}`. Nothing waits for a slow process, whose mailbox grows; `listener/2` asks for one at a
  time.
  """
  @spec listen(Database.named(), String.t()) :: {:ok, pid} | {:error, Error.t()}
  def listen(db, channel) do
    case Feed.start(fn -> listener(db, channel) end, false) do
      {:error, {:shutdown, error}} -> {:error, error}
      started -> started
    end
  end

  @doc "Ends what `listen/2` began."
  @spec unlisten(pid) :: :ok
  def unlisten(listener) when is_pid(listener), do: Honker.Until.end_it(listener)

  @doc "A consumer whose items are the notifications of a channel from now on: see `Honker.Consumer`."
  @spec listener(Database.named(), String.t()) :: {:ok, Consumer.t()} | {:error, Error.t()}
  def listener(db, channel), do: Consumer.new(db, :listener, channel, [])

  @doc "A consumer that waits for any commit, by anyone in any process: see `Honker.Consumer`."
  @spec updates(Database.named()) :: {:ok, Consumer.t()} | {:error, Error.t()}
  def updates(db), do: Consumer.new(db, :updates, "", [])

  @doc """
  Deletes the notifications that are older than so many seconds, and with `max_keep:` all but that many of the newest; how
  many that were. nil leaves the age out.
  """
  @spec prune_notifications(on, integer | nil, keyword) :: {:ok, non_neg_integer} | {:error, Error.t()}
  def prune_notifications(on, older_than_s, opts \\ []) do
    with {:ok, o} <- Native.options(opts, [:max_keep]) do
      Native.call(on, :notifications_prune, [older_than_s, o[:max_keep]])
    end
  end

  @doc "Sets for how many seconds notifications are kept, `keep_s:`; nil, the default: until somebody prunes them."
  @spec configure_notifications(on, keyword) :: :ok | {:error, Error.t()}
  def configure_notifications(on, opts) do
    with {:ok, o} <- Native.options(opts, [:keep_s]),
         {:ok, json} <- Honker.JSON.encode(o),
         do: Native.done(Native.call(on, :notifications_configure, [json]))
  end

  # --- Results ---

  @doc """
  Saves the result of a job, a binary, as it is; it expires after `ttl` seconds, or never if that is 0. A worker does so before
  it acks.
  """
  @spec save_result(on, integer, binary, integer) :: :ok | {:error, Error.t()}
  def save_result(on, id, value, ttl \\ 0), do: Native.done(Native.call(on, :result_save, [id, value, ttl]))

  @doc "The result of a job; nil if there is none (yet, or any more)."
  @spec get_result(on, integer) :: {:ok, binary | nil} | {:error, Error.t()}
  def get_result(on, id), do: Native.or_nil(Native.call(on, :result_get, [id]), & &1)

  @doc "The result of a job, waiting for it for `timeout` milliseconds or `:infinity`; `:timeout` if there is none by then."
  @spec wait_result(Database.named(), integer, timeout) :: {:ok, binary} | :timeout | {:error, Error.t()}
  def wait_result(db, id, timeout \\ :infinity) do
    with {:ok, consumer} <- Consumer.new(db, :result, "", [id]) do
      try do
        with :closed <- Consumer.next(consumer, timeout),
             do: {:error, Error.new(:closed_handle, "the database was closed")}
      after
        Consumer.close(consumer)
      end
    end
  end

  @doc "Deletes expired results; how many that were."
  @spec sweep_results(on) :: {:ok, non_neg_integer} | {:error, Error.t()}
  def sweep_results(on), do: Native.call(on, :result_sweep, [])

  # --- Rate limits ---

  @doc "Counts one use of `name` if there were fewer than `limit` in the current window of `per` seconds; false otherwise."
  @spec try_rate_limit(on, String.t(), integer, integer) :: {:ok, boolean} | {:error, Error.t()}
  def try_rate_limit(on, name, limit, per), do: Native.changed?(Native.call(on, :rate_limit_try, [name, limit, per]))

  @doc "Deletes the counts of windows that began more than so many seconds ago; how many that were."
  @spec sweep_rate_limits(on, integer) :: {:ok, non_neg_integer} | {:error, Error.t()}
  def sweep_rate_limits(on, older_than_s), do: Native.call(on, :rate_limit_sweep, [older_than_s])

  # --- Outboxes ---

  @doc """
  An outbox: see `Honker.Outbox`. Options: `visibility_timeout_s:`, how long a delivery may take before it is somebody else's
  (default 60); `max_attempts:` (default 5); `base_backoff_s:`, how long the first retry waits, each further one twice as
  long as the one before (default 5; 0: no wait).
  """
  @spec outbox(Database.named(), String.t(), (term -> term), keyword) :: {:ok, Outbox.t()} | {:error, Error.t()}
  def outbox(db, name, deliver, opts \\ [])

  def outbox(db, name, deliver, opts) when is_binary(name) and is_function(deliver, 1) do
    with {:ok, o} <- Native.options(opts, visibility_timeout_s: 60, max_attempts: 5, base_backoff_s: 5) do
      case Enum.reject(o, fn {_, value} -> is_integer(value) end) do
        [] -> {:ok, struct!(Outbox, Map.merge(o, %{db: db, name: name, deliver: deliver}))}
        [{option, value} | _] -> Error.invalid("#{option} has to be an integer, not #{inspect(value)}")
      end
    end
  end

  def outbox(_db, name, deliver, _opts) do
    Error.invalid("an outbox has a name and a function of one argument, not #{inspect(name)} and #{inspect(deliver)}")
  end

  @doc "The version of the libhonker that is loaded, or can be."
  @spec version() :: {:ok, String.t()} | {:error, Error.t()}
  def version do
    with {:ok, library} <- Library.load(), do: {:ok, library.version}
  end
end
