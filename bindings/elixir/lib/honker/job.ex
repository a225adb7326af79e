defmodule Honker.Job do
  @moduledoc """
  A kind of job, as a module, and a claimed job, as a struct.

      defmodule MyApp.SendEmail do
        use Honker.Job, queue: "emails"

        @impl true
        def perform(%Honker.Job{payload: %{"to" => to}}), do: MyApp.Mailer.send(to)
      end

      MyApp.SendEmail.enqueue(MyApp.Honker, %{to: "alice"})

  ## A kind of job

  Options of `use`: `queue:`; `name:`, by which its jobs are known, the module's name by default (a name of its own outlives
  the renaming of the module); and what stands for each job unless it says otherwise: `max_attempts:` (10), `priority:`,
  `delay:`, `expires:`, `max_run_s:`, `unique_until:`, `unique_for_s:`, `on_conflict:`.

  Functions `unique_key/1` and `concurrency_key/1` may make these options of the arguments; nil for none:

      use Honker.Job, queue: "invoices", unique_until: :claimed

      def unique_key(%{customer: id}), do: "customer:\#{id}"

  What `perform/1` returns decides as for `Honker.Worker`, one of whose options is `jobs: [MyApp.SendEmail]`. The payload that
  it is given is what was enqueued, decoded: objects have binaries as keys. A function `decode/1` may make of that what the
  module wants, `{:ok, args}`, or say `{:error, reason}`.

  In the file the payload is a task as the packages for Python, Ruby, Java and Kotlin have it,
  `{"__honker_task__": {"task": "MyApp.SendEmail", "args": [], "kwargs": {"to": "alice"}}}`, so that these may enqueue it as
  well: a map is what they call named arguments, anything else the only one. With `name: nil` the payload is the
  arguments as they are; there is one such module for a queue at most. A job whose payload is no JSON, names no task that the
  worker knows, or cannot be decoded, is dead, with the reason.

  `use` defines `enqueue(on, args, opts)`, as `Honker.Queue.enqueue/4`, and `new(args, opts)`, the job as
  `Honker.Queue.enqueue_all/2` takes it; `opts` may be left out.

  ## A claimed job

  It has an `id`, `queue`, `payload` (decoded, objects with binaries as keys), `worker_id` (who holds it; of `Honker.Worker` that is
  its `worker_id:`, `@` and 32 digits, which name this process of the operating system), `attempts` (this one included),
  `max_attempts`, `metadata` (the map it was enqueued with, empty without), `claim_expires_at` (the last second in which the
  claim is valid when it was made), `serial` (names this claim for `Honker.Worker`; 0 if no worker made it) and `raw`, the
  payload as it is stored.

  A job is its worker's until one of these functions ends it, or its time is over. They answer `{:ok, true}` if and only
  if they changed the file, and `{:ok, false}` if the claim was lost. Each takes a transaction in place of the database.
  """

  alias Honker.{Error, Native}

  use Honker.Bang, [:ack, :retry, :fail, :release, :heartbeat, :settled, :step]

  @enforce_keys [:id, :queue, :worker_id]
  defstruct ~w(id queue payload worker_id attempts max_attempts claim_expires_at raw)a ++ [serial: 0, metadata: %{}]

  @type t :: %__MODULE__{
          id: integer,
          queue: String.t(),
          payload: term,
          worker_id: String.t(),
          attempts: pos_integer,
          max_attempts: pos_integer,
          metadata: %{optional(String.t()) => String.t()},
          claim_expires_at: integer,
          raw: binary,
          serial: integer
        }
  @type on :: Honker.Database.named() | Honker.Transaction.t()

  @doc "Does the job. See `Honker.Worker` for what it may return."
  @callback perform(t) :: term
  @doc "Makes of decoded arguments what `perform/1` is given as payload."
  @callback decode(args :: term) :: {:ok, term} | {:error, term}
  @doc "Makes the option `unique_key:` of the arguments that are enqueued; nil for none."
  @callback unique_key(args :: term) :: String.t() | nil
  @doc "Makes the option `concurrency_key:` of the arguments that are enqueued; nil for none."
  @callback concurrency_key(args :: term) :: String.t() | nil
  @optional_callbacks decode: 1, unique_key: 1, concurrency_key: 1

  defmacro __using__(opts) do
    quote bind_quoted: [opts: opts] do
      @behaviour Honker.Job
      {kind, defaults} = Honker.Job.kind(__MODULE__, opts)
      @honker_kind kind
      @honker_defaults defaults

      @doc false
      def __honker__, do: @honker_kind

      @doc "Adds such a job: see `Honker.Queue.enqueue/4`."
      @spec enqueue(Honker.Job.on(), term, keyword) :: {:ok, integer} | {:error, term}
      def enqueue(on, args, opts \\ []) do
        {queue, payload, opts} = new(args, opts)
        Honker.Queue.enqueue(on, queue, payload, opts)
      end

      @doc "As `enqueue/3`: the id itself; an error is raised."
      @spec enqueue!(Honker.Job.on(), term, keyword) :: integer
      def enqueue!(on, args, opts \\ []), do: Honker.Bang.value(enqueue(on, args, opts))

      @doc "Such a job, for `Honker.Queue.enqueue_all/2`."
      @spec new(term, keyword) :: {String.t(), term, keyword}
      def new(args, opts \\ []) do
        {queue, name} = @honker_kind
        {queue, Honker.Job.envelope(name, args), Honker.Job.options(__MODULE__, @honker_defaults, args, opts)}
      end
    end
  end

  @of_unique ~w(unique_until unique_for_s on_conflict)a
  @defaults ~w(queue priority delay expires max_run_s)a ++ @of_unique

  @doc false
  def kind(module, opts) do
    {kind, defaults} =
      opts
      |> Keyword.validate!(@defaults ++ [name: inspect(module), max_attempts: 10])
      |> Keyword.split([:queue, :name])

    if not is_binary(kind[:queue]), do: raise(ArgumentError, "use Honker.Job needs queue:, a binary")
    {{kind[:queue], kind[:name]}, defaults}
  end

  # Those of one job: its own, and what its module says. What that says of a unique key is nothing to a job that has none.
  @doc false
  def options(module, defaults, args, opts) do
    keys =
      for key <- [:unique_key, :concurrency_key],
          function_exported?(module, key, 1),
          do: {key, apply(module, key, [args])}

    all = defaults |> Keyword.merge(keys) |> Keyword.merge(opts)

    if all[:unique_key],
      do: all,
      else: all |> Keyword.drop(@of_unique) |> Keyword.merge(Keyword.take(opts, @of_unique))
  end

  @envelope "__honker_task__"

  @doc false
  def envelope(nil, args), do: args

  def envelope(name, args) when is_map(args) and not is_struct(args),
    do: %{@envelope => %{"task" => name, "args" => [], "kwargs" => args}}

  def envelope(name, args), do: %{@envelope => %{"task" => name, "args" => [args], "kwargs" => %{}}}

  # Its name and arguments.
  defp opened(%{@envelope => %{"task" => name, "args" => [], "kwargs" => %{} = args}}), do: {name, {:ok, args}}

  defp opened(%{@envelope => %{"task" => name, "args" => [args], "kwargs" => kwargs}}) when kwargs == %{},
    do: {name, {:ok, args}}

  defp opened(%{@envelope => %{"task" => name}}), do: {name, {:error, "it takes one of them, or named ones"}}
  defp opened(_other), do: {nil, nil}

  # A handler for the jobs of these modules, and the queues that they are in.
  @doc false
  def handler(modules) when is_list(modules) and modules != [] do
    kinds = for module <- modules, Code.ensure_loaded?(module), function_exported?(module, :__honker__, 0), do: module
    known = Map.new(kinds, &{&1.__honker__(), &1})

    cond do
      kinds != modules -> Error.invalid("jobs: #{inspect(modules -- kinds)} do not use Honker.Job")
      map_size(known) < length(modules) -> Error.invalid("jobs: two of them have the same queue and name")
      true -> {:ok, &perform(&1, known), modules |> Enum.map(&elem(&1.__honker__(), 0)) |> Enum.uniq()}
    end
  end

  def handler(other), do: Error.invalid("jobs: has to be a list of modules, not #{inspect(other)}")

  # JSON never decodes to the text that it is.
  defp perform(%{payload: raw, raw: raw}, _known), do: {:discard, "the payload is not JSON"}

  defp perform(job, known) do
    {name, args} = opened(job.payload)
    named = known[{job.queue, name}]
    # It may look like a task.
    other = known[{job.queue, nil}]

    cond do
      name != nil and named != nil -> decoded(named, job, args)
      other != nil -> decoded(other, job, {:ok, job.payload})
      name == nil -> {:discard, plain(job)}
      true -> {:discard, "unknown task: #{name}. Registered tasks: [#{names(known)}]"}
    end
  end

  defp plain(job) do
    "raw (non-task) payload on a task queue: it names none of jobs:. To take such payloads, as packages for other languages " <>
      "and Honker.Queue.enqueue make them, give the worker a module with use Honker.Job, queue: #{inspect(job.queue)}, name: nil"
  end

  defp names(known), do: for({{_queue, name}, _} <- known, name, do: name) |> Enum.sort() |> Enum.join(", ")

  defp decoded(module, job, args) do
    with {:ok, args} <- args,
         {:ok, args} <- if(function_exported?(module, :decode, 1), do: module.decode(args), else: {:ok, args}) do
      module.perform(%{job | payload: args})
    else
      {:error, reason} -> {:discard, "its arguments cannot be decoded: #{Honker.Handler.text(reason)}"}
    end
  end

  @doc "The job is done."
  @spec ack(on, t) :: {:ok, boolean} | {:error, Error.t()}
  def ack(on, %__MODULE__{} = job), do: Native.changed?(Native.call(on, :ack, [job.id, job.worker_id]))

  @doc """
  The job could not be done now: it becomes due again in `delay` seconds or, if its attempts are used up, ends among the
  dead with the text `error`. Text that is not UTF-8 is made so: a worker should not die of an error that it reports.
  """
  @spec retry(on, t, integer, String.t()) :: {:ok, boolean} | {:error, Error.t()}
  def retry(on, %__MODULE__{} = job, delay, error) do
    Native.changed?(Native.call(on, :retry, [job.id, job.worker_id, delay, readable(error)]))
  end

  @doc "The job can never be done: it ends among the dead with the text `error`."
  @spec fail(on, t, String.t()) :: {:ok, boolean} | {:error, Error.t()}
  def fail(on, %__MODULE__{} = job, error) do
    Native.changed?(Native.call(on, :fail, [job.id, job.worker_id, readable(error)]))
  end

  @doc "Gives the job back: it becomes due again in `delay` seconds, and this attempt does not count."
  @spec release(on, t, integer) :: {:ok, boolean} | {:error, Error.t()}
  def release(on, %__MODULE__{} = job, delay \\ 0) do
    Native.changed?(Native.call(on, :release, [job.id, job.worker_id, delay]))
  end

  @doc """
  Does a part of a job once, however often the job is tried: `{:ok, value}`, what the function returned, which is kept with the
  job. If it has been done before, the function is not called, and the value is that of then.

      with {:ok, charge} <- Honker.Job.step(MyApp.Honker, job, "charge", fn -> MyApp.Bank.charge(job.payload) end),
           {:ok, _} <- Honker.Job.step(MyApp.Honker, job, "book", fn tx -> MyApp.Books.add(tx, charge) end),
           do: MyApp.Mailer.send(charge["receipt"])

  A function without an argument is called outside of any transaction: should the process be killed before its value is saved,
  it is called again. One with an argument is given a transaction, that which stands in place of the database, or one of its
  own: what it writes there and the value are committed together, and so done exactly once.

  The function returns a value that can be encoded as JSON, `{:ok, value}`, or `:ok`. `{:error, reason}` (`:error` is
  `{:error, :error}`) is returned as it is, nothing is kept, and its own transaction is rolled back; so it is when it raises. The
  value comes back as it does from JSON, also the first time: maps with binaries as keys. The error is `:lost` if the claim on
  the job was lost. It is `:unencodable` if the value has no JSON, a pid for instance, or more than SQLite takes (a gigabyte):
  nothing is kept, its own transaction is rolled back, and a job whose handler returns that, raises it or does not match it is
  dead, since another attempt would call the function again. Names are texts, each of which is one step of a job; what they keep
  goes with the job.
  """
  @spec step(on, t, String.t(), (() -> term) | (Honker.Transaction.t() -> term)) :: {:ok, term} | {:error, term}
  def step(on, %__MODULE__{} = job, name, fun) when is_function(fun, 0) or is_function(fun, 1),
    do: Honker.Step.run(on, job, name, fun)

  @doc "The job takes longer: its claim is valid for `seconds` from now."
  @spec heartbeat(on, t, integer) :: {:ok, boolean} | {:error, Error.t()}
  def heartbeat(on, %__MODULE__{} = job, seconds) do
    Native.changed?(Native.call(on, :heartbeat, [job.id, job.worker_id, seconds]))
  end

  @doc """
  For a handler that settles its job through another connection than this package's, before that is committed: the worker
  has it in hand no more, and does not end the handler for having lost it. False if it had not.
  """
  @spec settled(t) :: {:ok, boolean} | {:error, Error.t()}
  def settled(%__MODULE__{} = job) do
    case Process.get(:honker_worker) do
      nil -> Error.invalid("the process of a job's handler has to say this")
      worker -> Native.changed?(Honker.Consumer.act(worker, :settled, [job.id, job.serial]))
    end
  end

  @doc false
  def from_native({id, queue, raw, worker_id, attempts, claim_expires_at, serial, max_attempts, metadata}) do
    %__MODULE__{
      id: id,
      queue: queue,
      payload: Honker.JSON.decode(raw),
      worker_id: worker_id,
      attempts: attempts,
      max_attempts: max_attempts,
      metadata: if(metadata, do: Honker.JSON.decode(metadata), else: %{}),
      claim_expires_at: claim_expires_at,
      raw: raw,
      serial: serial
    }
  end

  # What is left of a text as UTF-8 without NUL.
  @doc false
  def readable(text) when is_binary(text) do
    text =
      if String.valid?(text),
        do: text,
        else: for(<<byte <- text>>, into: "", do: <<if(byte < 128, do: byte, else: ??)>>)

    String.replace(text, <<0>>, "?")
  end

  def readable(other), do: other
end
