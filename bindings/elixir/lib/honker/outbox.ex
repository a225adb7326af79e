defmodule Honker.Outbox do
  @moduledoc """
  A queue and a function that delivers: what was committed with your data is delivered at least once, and tried again
  with growing pauses if that fails. Made by `Honker.outbox/4`.

  The function is given the decoded payload. What it returns and raises decides as for the handler of a `Honker.Worker`: `:ok`,
  `{:ok, _}` and what else is true is success. `{:error, reason}` and other tuples, `:error`, nil, false and whatever it raises,
  throws or exits with are failures: it is called again after 5, 10, 20, … seconds, and after five failures the job is among
  the dead, with the error's text. Failures are logged.
  """

  alias Honker.{Database, Error, Handler, Queue, Transaction, Worker}

  use Honker.Bang, ~w(enqueue enqueue_tx run_once run)a

  # A thousand years: doubling has no end of its own.
  @backoff_max_s 1000 * 366 * 86_400

  @enforce_keys [:db, :name, :deliver]
  defstruct [:db, :name, :deliver, visibility_timeout_s: 60, max_attempts: 5, base_backoff_s: 5]

  @type t :: %__MODULE__{
          db: Database.t(),
          name: String.t(),
          deliver: (term -> term),
          visibility_timeout_s: integer,
          max_attempts: integer,
          base_backoff_s: integer
        }

  @doc "Adds something to be delivered: the id of its job. Options as for `Honker.Queue.enqueue/4`."
  @spec enqueue(t, term, keyword) :: {:ok, integer} | {:error, Error.t()}
  def enqueue(%__MODULE__{} = outbox, payload, opts \\ []), do: add(outbox, outbox.db, payload, opts, [])

  @doc "As `enqueue/3`, in a transaction. `queue_opts` may have `max_attempts:`."
  @spec enqueue_tx(t, Transaction.t(), term, keyword, keyword) :: {:ok, integer} | {:error, Error.t()}
  def enqueue_tx(%__MODULE__{} = outbox, %Transaction{} = tx, payload, opts \\ [], queue_opts \\ []) do
    add(outbox, tx, payload, opts, queue_opts)
  end

  defp add(outbox, on, payload, opts, queue_opts) do
    queue_opts = Keyword.put_new(queue_opts, :max_attempts, outbox.max_attempts)
    Queue.enqueue_tx(on, queue(outbox), payload, opts, queue_opts)
  end

  @doc """
  Delivers one, in the calling process, if there is one that is due: whether there was. That the claim was lost meanwhile is
  the error `:lost`.
  """
  @spec run_once(t, String.t()) :: {:ok, boolean} | {:error, Error.t()}
  def run_once(%__MODULE__{} = outbox, worker) do
    with {:ok, o} <- Worker.Options.read(options(outbox, worker)), {:ok, done} <- Handler.run_one(outbox.db, o) do
      case done do
        nil -> {:ok, false}
        {job, :lost} -> {:error, Error.new(:lost, "the claim on job #{job.id} was lost while it was delivered")}
        _delivered_or_failed -> {:ok, true}
      end
    end
  end

  @doc """
  Delivers, one after the other, each in a process of its own, until `stop` returns true, which is asked ten times a second. It is
  a `Honker.Worker`: it goes on after errors that may pass, and when it is stopped, or the calling process or the script
  ends, the delivery in hand has 8 seconds to finish, and is given back otherwise. Any other error ends it.
  """
  @spec run(t, String.t(), (() -> boolean)) :: :ok | {:error, Error.t()}
  def run(%__MODULE__{} = outbox, worker, stop \\ fn -> false end) when is_function(stop, 0) do
    Honker.Until.run(Worker.start(options(outbox, worker), self()), stop)
  end

  # Those of the worker that delivers. A delivery has so much time, and no more.
  @doc false
  def options(outbox, worker_id) do
    [
      db: outbox.db,
      queue: queue(outbox),
      handler: &outbox.deliver.(&1.payload),
      worker_id: worker_id,
      concurrency: 1,
      heartbeat: false,
      rescue: false,
      visibility_timeout_s: outbox.visibility_timeout_s,
      retry_base_s: max(outbox.base_backoff_s, 0),
      retry_max_s: @backoff_max_s,
      retry_jitter: 0
    ]
  end

  defp queue(outbox), do: "_outbox:" <> outbox.name
end
