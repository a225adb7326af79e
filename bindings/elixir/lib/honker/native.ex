defmodule Honker.Native do
  @moduledoc false
  # The NIF (c_src), and how its answers are read. Nothing in it waits for longer than `native_busy_ms/1`: `run/2` waits
  # for the write lock and for other queries, Honker.Consumer for commits.

  alias Honker.Error

  @on_load :load_nif

  def load_nif do
    path = Path.join(to_string(:code.priv_dir(:honker)), "honker_nif")
    :erlang.load_nif(String.to_charlist(path), :erlang.system_info(:dirty_io_schedulers))
  end

  # Each takes a database, and a transaction or nil, first. c_src/nif.h has the table.
  @external_resource table = Path.join(__DIR__, "../../c_src/nif.h")
  @operations for [name, arity] <- Regex.scan(~r/ X\((\w+), (\d+), /, File.read!(table), capture: :all_but_first),
                  do: {String.to_atom(name), String.to_integer(arity)}

  @others [
    load: 1,
    open: 2,
    close: 1,
    interrupt: 1,
    interrupts: 1,
    status: 1,
    cron_next_after: 2,
    consumer_new: 4,
    consumer_next: 2,
    consumer_do: 3,
    consumer_wait: 2,
    consumer_forget: 1,
    consumer_wake: 1,
    consumer_close: 1,
    worker_turn: 3,
    dispatch: 1,
    waiter_ready: 1
  ]

  for {name, arity} <- @operations ++ @others do
    def unquote(name)(unquote_splicing(Macro.generate_arguments(arity, __MODULE__))) do
      :erlang.nif_error(:not_loaded)
    end
  end

  @busy Honker.Status.number(:busy)
  # How long to pause before each further try, as SQLite does it.
  @pauses_ms [1, 2, 5, 10, 15, 20, 25]

  # For how long libhonker itself may wait for the write lock: short, because a thread of the emulator waits with it, and
  # there are ten. Without a write-ahead log a commit waits for readers, and could not be tried again.
  def native_busy_ms(%{journal_mode: 0, busy_timeout_ms: busy_timeout_ms}), do: min(busy_timeout_ms, 20)
  def native_busy_ms(%{busy_timeout_ms: busy_timeout_ms}), do: busy_timeout_ms

  # An operation on what `on` is: a database, or a transaction.
  def call(%Honker.Transaction{db: db, ref: tx}, name, arguments) do
    read(apply(__MODULE__, name, [db.ref, tx | arguments]))
  end

  def call(%Honker.Queue{db: on}, name, arguments), do: call(on, name, arguments)

  def call(on, name, arguments) do
    within(on, fn db -> run(db, fn -> apply(__MODULE__, name, [db.ref, nil | arguments]) end) end)
  end

  # With the database that `on` is or names. If the file of a named one was replaced, or it was closed, nothing has
  # happened, and it happens in the database that is opened in its place.
  def within(%Honker.Transaction{}, _fun),
    do: Error.invalid("a database is expected, or the name of one, and not a transaction, which others wait for")

  def within(on, fun) do
    with {:ok, db} <- Honker.Database.resolve(on),
         {:error, %Error{name: name}} when is_atom(on) and name in [:watcher, :closed_handle] <- fun.(db),
         {:ok, db} <- Honker.Database.renew(on, db),
         do: fun.(db)
  end

  # Tries again while somebody else has the write lock, or too many queries run, until the busy timeout is over or the database is interrupted.
  def run(db, fun) do
    with {:error, {@busy, _, _, _}} = busy <- fun.() do
      try_again(db, fun, busy, db.ref && interrupts(db.ref), now_ms() + db.busy_timeout_ms, @pauses_ms)
    end
    |> read()
  end

  defp try_again(db, fun, busy, interrupts, deadline, [pause | pauses]) do
    left = deadline - now_ms()
    if left > 0, do: Process.sleep(min(pause, left))

    cond do
      left <= 0 ->
        busy

      db.ref && interrupts(db.ref) != interrupts ->
        {:error, interrupted()}

      true ->
        with {:error, {@busy, _, _, _}} = busy <- fun.(),
             do: try_again(db, fun, busy, interrupts, deadline, if(pauses == [], do: [pause], else: pauses))
    end
  end

  def interrupted, do: Error.from_native({Honker.Status.number(:interrupted), "the wait was interrupted", 0, 0})

  def now_ms, do: System.monotonic_time(:millisecond)

  def read({:error, error}) when is_tuple(error), do: {:error, Error.from_native(error)}
  def read(answer), do: answer

  # The answers of operations that may find nothing to do.
  def changed?({:ok, _}), do: {:ok, true}
  def changed?(outcome) when outcome in [:lost, :empty, :held, :limited, :exists], do: {:ok, false}
  def changed?(error), do: error

  def or_nil({:ok, value}, fun), do: {:ok, fun.(value)}
  def or_nil(:empty, _fun), do: {:ok, nil}
  def or_nil(error, _fun), do: error

  def list({:ok, values}, fun), do: {:ok, Enum.map(values, fun)}
  def list(:empty, _fun), do: {:ok, []}
  def list(error, _fun), do: error

  def done({:ok, _}), do: :ok
  def done(error), do: error

  # What `fun` makes of each, or the first error.
  def all([], _fun), do: {:ok, []}

  def all([one | more], fun) do
    with {:ok, value} <- fun.(one), {:ok, values} <- all(more, fun), do: {:ok, [value | values]}
  end

  # What goes around something else: one function of so many arguments, or a list of them.
  def functions(name, functions, arity) do
    functions = List.wrap(functions)

    if Enum.all?(functions, &is_function(&1, arity)),
      do: {:ok, functions},
      else: Error.invalid("#{name}: has to be a function of #{arity} arguments, or a list of them")
  end

  # A name that nobody else has.
  def unique(what) do
    {:ok, host} = :inet.gethostname()
    "honker-#{what}-#{host}-#{System.pid()}-#{System.unique_integer([:positive])}"
  end

  # Options that nobody knows are mistakes.
  def options(given, defaults) do
    with true <- Keyword.keyword?(given),
         {:ok, options} <- Keyword.validate(given, defaults) do
      {:ok, Map.new(options)}
    else
      false -> Error.invalid("options have to be a keyword list, not #{inspect(given)}")
      {:error, unknown} -> Error.invalid("there is no option #{Enum.map_join(unknown, ", ", &inspect/1)}")
    end
  end
end
