defmodule Honker.Postgres do
  @moduledoc """
  Enqueueing through a connection of your own to Postgres, in a transaction of your own: Ecto, Postgrex, any driver.

      Repo.transaction(fn ->
        Repo.insert!(%Order{id: 42})
        {:ok, _id} = Honker.Postgres.enqueue_on(Repo, "emails", %{to: "alice"}, unique_key: "order 42")
      end)

  It calls `honker.honker_enqueue`. The job is there when that transaction commits, and wakes workers in every process. It takes
  all options of `Honker.Queue.enqueue/4`; times are the server's. The schema `honker` has to be installed (`honker migrate`). What
  `around_enqueue:` says does not hold here.

  What honker refuses is a `Honker.Error`; any other error is the driver's own. After either only a rollback works.
  """

  alias Honker.{Error, Job, JobOptions, JSON, Native, Status}
  use Honker.Bang, [:enqueue, :enqueue_on, :ack, :ack_on]

  @typedoc """
  What runs a statement: a repository of Ecto's, a connection of Postgrex's, or a function that is given the statement and its
  parameters and answers `{:ok, rows}`, `{:ok, %{rows: rows}}` or `{:error, reason}`.
  """
  @type connection :: module | term | (String.t(), list -> {:ok, list | map} | {:error, term})

  # SQLSTATEs of honker's own.
  @names %{"HK001" => :invalid, "HK002" => :misuse, "HK003" => :too_old, "HK004" => :too_big, "HK005" => :moved}
  @columns [:run_at, :delay_s, :priority, :max_attempts, :expires_s]

  @doc """
  The statement that enqueues a job, with `$1`, `$2`, … for its parameters, and these: `{:ok, {sql, params}}`. It answers the id.
  A job of a module is given as that module's `new` makes it.
  """
  @spec enqueue({String.t(), term, keyword}) :: {:ok, {String.t(), list}} | {:error, Error.t()}
  def enqueue({queue, payload, opts}), do: enqueue(queue, payload, opts)

  @spec enqueue(String.t(), term, keyword) :: {:ok, {String.t(), list}} | {:error, Error.t()}
  def enqueue(queue, payload, opts \\ []) do
    with true <-
           (is_binary(queue) and String.valid?(queue)) || Error.invalid("queue has to be text: #{inspect(queue)}"),
         {:ok, %{payload: text, options: options}} <- JobOptions.sql({queue, payload, opts}) do
      if Enum.all?(Map.keys(options), &(&1 in @columns)) do
        values = Enum.map(@columns, &Map.get(options, &1))
        {:ok, {"SELECT honker.honker_enqueue($1::text, $2::text#{places(3..7)})", [queue, text | values]}}
      else
        with {:ok, json} <- JSON.encode(options) do
          call = "honker.honker_enqueue_with($1::text, $2::text, $3::text)"
          {:ok, {"SELECT (#{call}::json->>'id')::int8", [queue, text, json]}}
        end
      end
    end
  end

  defp places(numbers), do: Enum.map_join(numbers, &", $#{&1}::int8")

  @doc "Enqueues a job on a connection: `{:ok, id}`, or of a unique job that is there already that one's."
  @spec enqueue_on(connection, {String.t(), term, keyword}) :: {:ok, integer} | {:error, Error.t() | term}
  def enqueue_on(connection, {queue, payload, opts}), do: enqueue_on(connection, queue, payload, opts)

  @spec enqueue_on(connection, String.t(), term, keyword) :: {:ok, integer} | {:error, Error.t() | term}
  def enqueue_on(connection, queue, payload, opts \\ []) do
    with {:ok, {sql, params}} <- enqueue(queue, payload, opts), do: value(connection, sql, params)
  end

  @doc """
  The statement that acks a job in a transaction of your own, and its parameters. It answers 1, or 0 if the claim was lost: then
  roll back. In a handler of a worker, call `Honker.Job.settled/1` once your commit has succeeded.
  """
  @spec ack(Job.t()) :: {:ok, {String.t(), list}}
  def ack(%Job{} = job) do
    # The function knows the worker, not the claim: a worker may have claimed again what it had lost.
    claim = "EXISTS (SELECT FROM honker._honker_live WHERE id = $1::int8 AND attempts = $3::int8)"
    sql = "SELECT CASE WHEN #{claim} THEN honker.honker_ack($1::int8, $2::text) ELSE 0 END"
    {:ok, {sql, [job.id, job.worker_id, job.attempts]}}
  end

  @doc "Acks a job on a connection: `{:ok, true}`, or `{:ok, false}` if the claim was lost."
  @spec ack_on(connection, Job.t()) :: {:ok, boolean} | {:error, Error.t() | term}
  def ack_on(connection, %Job{} = job) do
    {:ok, {sql, params}} = ack(job)
    with {:ok, acked} <- value(connection, sql, params), do: {:ok, acked == 1}
  end

  defp value(connection, sql, params) do
    case run(connection, sql, params) do
      {:ok, %{rows: [[value]]}} -> {:ok, number(value)}
      {:ok, [[value]]} -> {:ok, number(value)}
      {:error, reason} -> {:error, error(reason) || reason}
    end
  end

  # Some drivers give texts.
  defp number(value) when is_binary(value), do: String.to_integer(value)
  defp number(value), do: value

  defp run(query, sql, params) when is_function(query, 2), do: query.(sql, params)

  defp run(repo, sql, params) when is_atom(repo) do
    if Code.ensure_loaded?(repo) and function_exported?(repo, :query, 2),
      do: repo.query(sql, params),
      else: postgrex(repo, sql, params)
  end

  defp run(connection, sql, params), do: postgrex(connection, sql, params)

  # Not known when this is compiled.
  defp postgrex(connection, sql, params), do: apply(Module.concat([Postgrex]), :query, [connection, sql, params])

  @doc """
  honker's own error for what a driver answers or raises (a `Postgrex.Error`, the fields of an error as a map or a list); nil if
  the error is Postgres's or the driver's.
  """
  @spec error(term) :: Error.t() | nil
  def error(%{postgres: fields}) when is_map(fields), do: error(fields)

  def error(fields) when is_map(fields),
    do: typed(fields[:pg_code] || fields[:code], fields[:message])

  def error([{_, _} | _] = fields), do: typed(fields[:code], fields[:message])
  def error(_other), do: nil

  defp typed(code, message) do
    with name when name != nil <- @names[code && to_string(code)],
         do: %Error{name: name, status: Status.number(name), message: to_string(message)}
  end

  # --- URLs, which stand where the name of a file does. ---

  @doc false
  def url?(path), do: is_binary(path) and String.starts_with?(path, ["postgres://", "postgresql://"])

  @doc false
  # For texts that people read: without a password, and without parameters, where one may be as well.
  def shown(path) do
    case url?(path) && Regex.run(~r{^(postgres(?:ql)?://)(?:([^:/?@]*)[^?]*@)?([^?]*)}, path) do
      [_, scheme, "", rest] -> scheme <> rest
      [_, scheme, user, rest] -> "#{scheme}#{user}@#{rest}"
      _file -> path
    end
  end

  @doc false
  # A table of honker's, as this package's SQL names it.
  def table(on, name) do
    case Honker.Database.resolve(on) do
      {:ok, %{path: path}} -> if url?(path), do: "honker.#{name}", else: to_string(name)
      _closed -> to_string(name)
    end
  end

  @doc false
  # What libhonker is told of a busy timeout: `Honker.Native.native_busy_ms/1`, but all of it for a server, where a statement that
  # gives up costs the transaction that it is in.
  def native_busy_ms(path, options),
    do: if(url?(path), do: options.busy_timeout_ms, else: Native.native_busy_ms(options))
end
