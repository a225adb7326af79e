defmodule Honker.Jobs do
  @moduledoc """
  Jobs looked at, and acted on, many at a time: live, dead and done ones.

      Honker.Jobs.stream(db, queue: "emails", state: :dead, error: "timeout") |> Enum.take(10)
      {:ok, %{"changed" => _}} = Honker.Jobs.apply_all(db, [queue: "emails", state: :dead], :retry)

  ## Filters

  Keyword lists, all of which has to hold: `queue:`; `state:`, one or a list of `:due`, `:delayed`, `:processing`, `:blocked` (it
  waits for others of its concurrency key), `:dead` and `:done` (`keep_done_s:` of `Honker.Queue.configure/3`); `min_id:`,
  `max_id:`; `worker_id:`; `unique_key:`; `batch:`; `metadata:`, a map that is part of the job's; `error:`, a part of its text;
  `created_from:`, `created_to:`, and `ended_from:`, `ended_to:` of dead and done ones, Unix seconds. And how they are gone through:
  `order:`, by id, `:newest` (default) or `:oldest`; `page_size:`, how many a page has, 1 to 1,000 (default 100); `cursor:`, where the
  page before has ended. nil is as if it was not there, and `[]` all jobs.

  A call looks at 10,000 jobs at most: a page may be short, or empty, and have a cursor all the same. One without is the last.
  """

  import Kernel, except: [apply: 3]
  alias Honker.{Database, Error, JSON, Native, Transaction}

  use Honker.Bang, [:list, :apply, :apply_all]

  @type on :: Database.named() | Transaction.t()
  @type action :: :retry | :run_now | :cancel | :delete | {:move, String.t()} | {:priority, integer}

  @filter ~w(queue state min_id max_id worker_id unique_key batch metadata error created_from created_to ended_from ended_to
             order page_size cursor)a

  @doc """
  A page of jobs, and its cursor, nil with the last. Each is a map with the keys `"id"`, `"queue"`, `"payload"`, `"state"`,
  `"priority"`, `"run_at"`, `"worker_id"`, `"claim_expires_at"`, `"attempts"`, `"max_attempts"`, `"created_at"`, `"expires_at"`,
  `"last_error"`, `"died_at"`, `"finished_at"`, `"result"`, `"metadata"`, `"unique_key"`, `"concurrency_key"`, `"batch_id"` and
  `"raw"`, the payload as it is stored; what it does not have is nil.
  """
  @spec list(on, keyword) :: {:ok, {[map], integer | nil}} | {:error, Error.t()}
  def list(on, filter \\ []) do
    with {:ok, json} <- filter(filter), {:ok, text} <- Native.call(on, :job_list, [json]) do
      %{"jobs" => jobs, "cursor" => cursor} = JSON.decode(text)
      {:ok, {JSON.decode_rows(jobs), cursor}}
    end
  end

  @doc "All of them, a page at a time as they are asked for. An error is raised."
  @spec stream(on, keyword) :: Enumerable.t()
  def stream(on, filter \\ []) do
    page = fn
      nil ->
        {:halt, nil}

      filter ->
        {jobs, cursor} = list!(on, filter)
        {jobs, cursor && Keyword.put(filter, :cursor, cursor)}
    end

    Stream.resource(fn -> filter end, page, fn _filter -> :ok end)
  end

  @doc """
  Does something to a page of jobs, in one transaction:

  | action | of |
  | --- | --- |
  | `:retry` | the dead: live again, with all attempts |
  | `:run_now` | delayed ones |
  | `:cancel` | live ones |
  | `:delete` | all |
  | `{:move, queue}` | those that wait, and the dead |
  | `{:priority, n}` | live ones |

  Others are left alone. The answer is a map with the keys `"changed"`; `"conflicts"`, how many were passed over because another
  job has their unique key, or because the file refuses the change; `"left"`, nil where that would have to be counted; and
  `"cursor"`.
  """
  @spec apply(on, keyword, action) :: {:ok, map} | {:error, Error.t()}
  def apply(on, filter, action) do
    with {:ok, action} <- action(action), {:ok, json} <- filter(filter), do: apply_page(on, json, action)
  end

  @doc """
  As `apply/3`, to all that the filter finds, page after page, with the sums of the pages. Without a transaction each page is a
  commit, others write in between, and an error leaves what the pages before have done.
  """
  @spec apply_all(on, keyword, action) :: {:ok, map} | {:error, Error.t()}
  def apply_all(on, filter, action), do: apply_all(on, filter, action, %{"changed" => 0, "conflicts" => 0})

  defp apply_all(on, filter, action, before) do
    with {:ok, page} <- apply(on, filter, action) do
      sums = Map.merge(page, before, fn _key, here, before -> here + before end)

      if cursor = page["cursor"],
        do: apply_all(on, Keyword.put(filter, :cursor, cursor), action, Map.take(sums, Map.keys(before))),
        else: {:ok, sums}
    end
  end

  defp apply_page(on, json, action) do
    with {:ok, text} <- Native.call(on, :job_apply, [json, action]), do: {:ok, JSON.decode(text)}
  end

  defp action(name) when name in [:retry, :run_now, :cancel, :delete], do: {:ok, to_string(name)}
  defp action({:move, queue}) when is_binary(queue), do: JSON.encode(%{move: queue})
  defp action({:priority, n}) when is_integer(n), do: JSON.encode(%{priority: n})
  defp action(other), do: Error.invalid("there is no action #{inspect(other)} on jobs")

  defp filter(filter) do
    with {:ok, o} <- Native.options(filter, @filter),
         {:ok, conditions} <-
           Native.all(for({key, value} <- o, Keyword.has_key?(filter, key), do: {key, value}), &condition/1),
         do: JSON.encode(Map.new(conditions))
  end

  # Some are atoms in Elixir, and texts in JSON, whatever its module makes of atoms.
  defp condition({:state, states}) when is_list(states) do
    with {:ok, texts} <- Native.all(states, &condition({:state, &1})),
         do: {:ok, {:state, Enum.map(texts, &elem(&1, 1))}}
  end

  defp condition({key, name}) when key in [:state, :order] and is_atom(name), do: {:ok, {key, to_string(name)}}
  defp condition({:cursor, nil}), do: {:ok, {:cursor, nil}}
  defp condition({key, name}) when is_atom(name), do: Error.invalid("#{key} cannot be #{inspect(name)}")
  defp condition({:batch, id}), do: {:ok, {:batch_id, id}}
  defp condition({:page_size, n}), do: {:ok, {:limit, n}}
  defp condition(other), do: {:ok, other}
end
