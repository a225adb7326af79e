defmodule Honker.Batch do
  @moduledoc """
  Jobs that belong together, and what is enqueued when all of them have ended.

      {:ok, batch} =
        Honker.batch(db, [on_finished: {"reports", %{of: "the import"}}], fn batch ->
          for file <- files, do: MyApp.Import.enqueue!(db, %{file: file}, batch: batch)
        end)

      {:ok, %{"total" => 3, "pending" => 2, "done" => 1}} = Honker.Batch.get(db, batch)

  A batch is known by its id. Jobs of any queues join it by the option `batch:` of an enqueue, until it is sealed; after that
  only a member of it that is running may add some, with `member: job`, its own batch being the default of `batch:`. When it
  is sealed and the last of its jobs has ended (done, dead or cancelled), what `on_finished:` says is enqueued with the same
  commit, exactly once, whichever process dies when; if all are done, what `on_success:` says as well.
  """

  alias Honker.{Database, Error, JobOptions, JSON, Native, Transaction}

  use Honker.Bang, [:create, :seal, :get, :run]

  @type on :: Database.named() | Transaction.t()

  @doc """
  Creates a batch, to be filled and then sealed by `seal/2`; or both by `run/3`.

  Options: `on_finished:` and `on_success:`, each a job as `Honker.Queue.enqueue_all/2` takes it, `{queue, payload, options}` or
  what `new/2` of a module with `use Honker.Job` makes; the id of the batch, as a text, is in its metadata under `"batch_id"`.
  `keep_s:`, for how many seconds the batch can be looked at after its end (default: a day).
  """
  @spec create(on, keyword) :: {:ok, integer} | {:error, Error.t()}
  def create(on, opts \\ []) do
    with {:ok, o} <- Native.options(opts, [:on_finished, :on_success, :keep_s]),
         {:ok, callbacks} <-
           Native.all(for({key, job} <- Map.delete(o, :keep_s), job != nil, do: {key, job}), &callback/1),
         options = if(o[:keep_s], do: %{keep_s: o.keep_s}, else: %{}),
         {:ok, json} <- JSON.encode(Map.merge(options, Map.new(callbacks))),
         do: Native.call(on, :batch_create, [json])
  end

  defp callback({key, job}) do
    with {:ok, callback} <- JobOptions.callback(job), do: {:ok, {key, callback}}
  end

  @doc "No job joins it from now on, but for those of running members; false if it was sealed before. It ends if none is pending."
  @spec seal(on, integer) :: {:ok, boolean} | {:error, Error.t()}
  def seal(on, id), do: Native.changed?(Native.call(on, :batch_seal, [id]))

  @doc """
  What is known of a batch: a map with the keys `"total"`, `"pending"`, `"done"`, `"dead"` and `"cancelled"`, numbers of jobs,
  `"sealed"` and `"finished_at"`, nil until then; or nil if there is none of that id (any more).
  """
  @spec get(on, integer) :: {:ok, map | nil} | {:error, Error.t()}
  def get(on, id), do: Native.or_nil(Native.call(on, :batch_get, [id]), &JSON.decode/1)

  @doc """
  Creates a batch, calls `fun` with its id, and seals it: the id. `Honker.batch/3` is the same.

  If `fun` returns `{:error, _}`, which is returned then, or raises, it is not sealed. What was enqueued by then stays, and the
  batch open; with a transaction in place of the database nothing of it has happened, if that is rolled back.
  """
  @spec run(on, keyword, (integer -> term)) :: {:ok, integer} | {:error, term}
  def run(on, opts \\ [], fun) when is_function(fun, 1) do
    with {:ok, id} <- create(on, opts) do
      with {:error, _} = error <- fun.(id) do
        error
      else
        _enqueued -> with {:ok, _} <- seal(on, id), do: {:ok, id}
      end
    end
  end
end
