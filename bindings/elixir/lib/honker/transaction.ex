defmodule Honker.Transaction do
  @moduledoc """
  Your own SQL and honker's operations, committed together or not at all.

      Honker.Transaction.transaction(db, fn tx ->
        with {:ok, [[id]]} <- Honker.query(tx, "INSERT INTO orders (total) VALUES (?) RETURNING id", [99]) do
          Honker.Queue.enqueue(tx, "emails", %{order_id: id})
        end
      end)

  A transaction holds the only writer of the file: keep it short. Wherever this package takes a database it takes a
  transaction too. What a process writes without it while it has one open is `:misuse`, since it would wait for itself.

  One process uses it at a time. It is rolled back when the process that began it ends, however it ends.

  In SQL, parameters are `nil`, booleans (1 and 0), integers of 64 bits, floats, binaries (text, UTF-8) and
  `{:blob, binary}`; results are the same.
  """

  alias Honker.{Error, Native}

  use Honker.Bang, ~w(begin transaction execute update query query_maps query_row commit rollback)a

  @enforce_keys [:ref, :db]
  defstruct [:ref, :db]
  @type t :: %__MODULE__{ref: reference, db: Honker.Database.t()}
  @type value :: nil | boolean | integer | float | binary | {:blob, binary}

  @doc """
  Begins a transaction (`BEGIN IMMEDIATE`), waiting for as long as the busy timeout for those that others have open.
  To be ended with `commit/1` or `rollback/1`.
  """
  @spec begin(Honker.Database.named()) :: {:ok, t} | {:error, Error.t()}
  def begin(on) do
    Native.within(on, fn db ->
      with {:ok, ref} <- Native.call(db, :tx_begin, []), do: {:ok, %__MODULE__{ref: ref, db: db}}
    end)
  end

  @doc """
  Runs `fun` with a transaction, and commits: `{:ok, what fun returned}`.

  If `fun` returns `{:error, _}` the transaction is rolled back, and that returned. If it raises, throws or exits the
  transaction is rolled back, and that goes on.
  """
  @spec transaction(Honker.Database.named(), (t -> result)) :: {:ok, result} | {:error, term} when result: term
  def transaction(on, fun) when is_function(fun, 1) do
    with {:ok, tx} <- begin(on) do
      try do
        fun.(tx)
      catch
        kind, reason ->
          rollback(tx)
          :erlang.raise(kind, reason, __STACKTRACE__)
      else
        {:error, _} = error ->
          rollback(tx)
          error

        result ->
          with :ok <- commit(tx), do: {:ok, result}
      end
    end
  end

  @doc "Runs one statement."
  @spec execute(t, String.t(), [value]) :: :ok | {:error, Error.t()}
  def execute(%__MODULE__{} = tx, sql, params \\ []), do: Native.done(update(tx, sql, params))

  @doc "Runs one statement: how many rows it inserted, updated or deleted."
  @spec update(t, String.t(), [value]) :: {:ok, non_neg_integer} | {:error, Error.t()}
  def update(%__MODULE__{} = tx, sql, params \\ []), do: Native.call(tx, :tx_execute, [sql, params])

  @doc """
  The rows of a statement, each a list. With a database in place of the transaction the statement may only read, and sees
  what is committed.
  """
  @spec query(t | Honker.Database.named(), String.t(), [value]) :: {:ok, [[value]]} | {:error, Error.t()}
  def query(on, sql, params \\ []) do
    with {:ok, {_columns, rows}} <- rows(on, sql, params), do: {:ok, rows}
  end

  @doc "As `query/3`, each row a map with the names of the columns."
  @spec query_maps(t | Honker.Database.named(), String.t(), [value]) :: {:ok, [map]} | {:error, Error.t()}
  def query_maps(on, sql, params \\ []) do
    with {:ok, {columns, rows}} <- rows(on, sql, params) do
      {:ok, Enum.map(rows, &Map.new(Enum.zip(columns, &1)))}
    end
  end

  # SQLite says of a connection that reads what it says of a file that nobody may write.
  defp rows(on, sql, params) do
    with {:error, %Error{name: :readonly} = error} when not is_struct(on, __MODULE__) <-
           Native.call(on, :query, [sql, params]) do
      said = "a query without a transaction only reads; write in one (Honker.transaction/2, Honker.execute/3)"
      {:error, %{error | message: "#{said}: #{error.message}"}}
    end
  end

  @doc "The first row, or nil."
  @spec query_row(t | Honker.Database.named(), String.t(), [value]) :: {:ok, [value] | nil} | {:error, Error.t()}
  def query_row(on, sql, params \\ []) do
    with {:ok, rows} <- query(on, sql, params), do: {:ok, List.first(rows)}
  end

  @doc "Commits. On an error nothing of the transaction has happened; either way it is over."
  @spec commit(t) :: :ok | {:error, Error.t()}
  def commit(%__MODULE__{} = tx), do: Native.done(Native.call(tx, :tx_commit, []))

  @doc "Rolls back: nothing of the transaction has happened, and it is over."
  @spec rollback(t) :: :ok | {:error, Error.t()}
  def rollback(%__MODULE__{} = tx), do: Native.done(Native.call(tx, :tx_rollback, []))
end
