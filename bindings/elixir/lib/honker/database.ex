defmodule Honker.Database do
  @moduledoc """
  An open database, from `Honker.open/2`. Any number of processes may use it at the same time; writes that meet share a
  commit. It is closed by `Honker.close/1`, or when no process has it any more.

  Wherever this package takes a database it takes the name of one that `Honker.start_link/1` has opened: an atom.

  `path`, `busy_timeout_ms`, `queues` (what `Honker.configure_queue/3` has set) and `warning` may be read. A `warning`,
  mostly nil, says that something else in this process has the file open in a way that would cost both their locks.
  """

  alias Honker.Error

  @enforce_keys [:ref, :path]
  defstruct [:ref, :path, :warning, busy_timeout_ms: 5000, queues: %{}, around_enqueue: [], options: []]

  @type t :: %__MODULE__{
          ref: reference | nil,
          path: Path.t(),
          warning: String.t() | nil,
          busy_timeout_ms: non_neg_integer,
          queues: %{optional(String.t()) => map},
          around_enqueue: [([tuple], ([tuple] -> term) -> term)],
          options: keyword
        }
  @typedoc "A database, or the name of one."
  @type named :: t | atom

  @doc false
  def queue_options(%__MODULE__{queues: queues}, name) do
    Map.get(queues, name, %{visibility_timeout_s: 300, max_attempts: nil})
  end

  def queue_options(on, name) do
    with {:ok, db} <- resolve(on),
         do: queue_options(db, name),
         else: (_ -> queue_options(%__MODULE__{ref: nil, path: ""}, name))
  end

  # --- Names: a process (`Honker.Instance`) opens the database, and says here which it is. ---

  @doc false
  @spec resolve(named | Honker.Transaction.t()) :: {:ok, t} | {:error, Error.t()}
  def resolve(%__MODULE__{} = db), do: {:ok, db}
  def resolve(%Honker.Transaction{db: db}), do: {:ok, db}
  def resolve(%Honker.Queue{db: db}), do: resolve(db)

  def resolve(name) when is_atom(name) do
    with nil <- :persistent_term.get({__MODULE__, name}, nil),
         do: {:error, Error.new(:closed_handle, "there is no database called #{inspect(name)}: Honker.start_link/1")}
  end

  def resolve(other), do: Error.invalid("a database is expected, or the name of one, not #{inspect(other)}")

  # What `resolve` answers from now on; nil takes the name back.
  @doc false
  def put(name, nil), do: :persistent_term.erase({__MODULE__, name})
  def put(name, answer), do: :persistent_term.put({__MODULE__, name}, answer)

  # The file of that name is another one, as `db` has found out: it is opened anew, unless that has happened.
  @doc false
  def renew(name, db) do
    GenServer.call(Honker.Instance.process(name), {:renew, db}, :infinity)
  catch
    :exit, _gone -> resolve(name)
  end
end

defimpl Inspect, for: Honker.Database do
  def inspect(db, _options), do: "#Honker.Database<#{Honker.Postgres.shown(db.path)}>"
end
