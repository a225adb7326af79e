defmodule Honker.SQL do
  @moduledoc """
  Enqueueing through a connection of your own, in a transaction of your own: Ecto, exqlite, any driver.

      {sql, params} = Honker.SQL.enqueue!("emails", %{to: "alice"}, max_attempts: 10)

      Repo.transaction(fn ->
        Repo.insert!(%Order{id: 42})
        Repo.query!(sql, params)
      end)

  or as a step of an `Ecto.Multi`:

      Multi.run(multi, :email, fn repo, _changes -> repo.query(sql, params) end)

  It is one INSERT with `?` for its parameters, and answers the id. The job is there when that transaction commits, and wakes
  workers in every process as any other does; nothing has to be loaded into the connection. The file has to have been opened by
  honker once before, which makes the tables. What `around_enqueue:` says does not hold here.

  Migrations of Ecto leave honker's tables alone; tools that compare schemas and drop what they do not know have to be told of
  tables whose names begin with `_honker_`.
  """

  alias Honker.{Error, JobOptions, Native}
  use Honker.Bang, [:enqueue]

  @insert "INSERT INTO _honker_live (queue, payload, priority, run_at, max_attempts, created_at, expires_at) " <>
            "SELECT queue, payload, priority, run_at, coalesce(max_attempts, (SELECT json_extract(settings, '$.max_attempts') " <>
            "FROM _honker_queues WHERE name = queue), 3), created_at, expires_at FROM (SELECT ? AS queue, ? AS payload, " <>
            "? AS priority, ? AS run_at, ? AS max_attempts, ? AS created_at, ? AS expires_at) WHERE true RETURNING id"

  @doc """
  The statement that enqueues a job, and its parameters: `{:ok, {sql, params}}`. Options as for `Honker.Queue.enqueue/4`, but
  for `metadata:`, unique jobs, batches and what else has tables of its own. A job of a module is given as that module's `new` makes it:
  `Honker.SQL.enqueue(MyApp.SendEmail.new(%{to: "alice"}))`.
  """
  @spec enqueue({String.t(), term, keyword}) :: {:ok, {String.t(), list}} | {:error, Error.t()}
  def enqueue({queue, payload, opts}), do: enqueue(queue, payload, opts)

  @spec enqueue(String.t(), term, keyword) :: {:ok, {String.t(), list}} | {:error, Error.t()}
  def enqueue(queue, payload, opts \\ []) do
    known = [:run_at, :delay, :expires, :metadata, :max_attempts, priority: 0]

    with {:ok, o} <- Native.options(opts, known ++ JobOptions.further()),
         :ok <- check(queue, o),
         {:ok, text} <- Honker.JSON.encode(payload) do
      # The connection's own clock may be another than that of the workers, and a default of the table is the connection's.
      now = System.os_time(:second)
      run_at = if o[:delay], do: now + o.delay, else: o[:run_at] || now
      expires_at = o[:expires] && now + o.expires
      {:ok, {@insert, [queue, text, o.priority, run_at, o[:max_attempts], now, expires_at]}}
    end
  end

  defp check(queue, o) do
    numbers = Map.take(o, [:run_at, :delay, :expires, :priority, :max_attempts])
    elsewhere = Enum.find([:metadata | JobOptions.further()], &(o[&1] not in [nil, %{}]))

    cond do
      not (is_binary(queue) and String.valid?(queue) and not String.contains?(queue, <<0>>)) ->
        Error.invalid("queue has to be text without NUL, not #{inspect(queue)}")

      elsewhere != nil ->
        Error.invalid(
          "#{elsewhere} has a table of its own: enqueue through the package, or with the extension's honker_enqueue_with"
        )

      wrong = Enum.find(numbers, fn {_, n} -> not (is_nil(n) or n in -0x7FFFFFFFFFFFFFFF..0x7FFFFFFFFFFFFFFF) end) ->
        Error.invalid("#{elem(wrong, 0)} has to be an integer of 64 bits")

      true ->
        :ok
    end
  end
end
