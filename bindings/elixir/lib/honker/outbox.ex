defmodule Honker.Outbox do
  @moduledoc """
  A queue and a function that delivers: what was committed with your data is delivered at least once, and tried again
  with growing pauses if that fails. Made by `Honker.outbox/4`.

  The function is given the decoded payload. `:ok`, `{:ok, _}` and what else is true is success, but for `:error` and for
  tuples that do not begin with `:ok`. These, nil, false and whatever it raises, throws or exits with are failures: it is called
  again after 5, 10, 20, … seconds, and after five failures the job is among the dead, with the error's text.
  """

  alias Honker.{Consumer, Database, Error, Handler, Queue, Transaction}

  use Honker.Bang, ~w(enqueue enqueue_tx run_once run)a

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
    Queue.enqueue_tx(on, "_outbox:" <> outbox.name, payload, opts, queue_opts)
  end

  @doc """
  Delivers one, if there is one that is due: whether there was. That the claim was lost meanwhile is the error `:lost`.
  """
  @spec run_once(t, String.t()) :: {:ok, boolean} | {:error, Error.t()}
  def run_once(%__MODULE__{} = outbox, worker) do
    with {:ok, consumer} <- consumer(outbox, worker) do
      try do
        case Consumer.look(consumer, 1) do
          {:ok, [job]} -> with :ok <- deliver(outbox, consumer, job, fn -> true end), do: {:ok, true}
          :timeout -> {:ok, false}
          {:error, _} = error -> error
          _ended -> {:error, Error.new(:closed_handle, "the database is closed")}
        end
      after
        Consumer.close(consumer)
      end
    end
  end

  @doc """
  Delivers, in the calling process, until `stop` returns true, which is asked ten times a second and after each delivery.
  It goes on when a claim was lost or somebody else keeps the file locked; any other error ends it.
  """
  @spec run(t, String.t(), (() -> boolean)) :: :ok | {:error, Error.t()}
  def run(%__MODULE__{} = outbox, worker, stop \\ fn -> false end) when is_function(stop, 0) do
    with {:ok, consumer} <- consumer(outbox, worker) do
      try do
        run_until(outbox, consumer, stop)
      after
        Consumer.close(consumer)
      end
    end
  end

  defp run_until(outbox, consumer, stop) do
    result =
      if stop.() do
        :stopped
      else
        case Consumer.next_until(consumer, :infinity, 1, stop) do
          {:ok, [job]} -> deliver(outbox, consumer, job, stop)
          other -> other
        end
      end

    case result do
      :stopped -> :ok
      {:closed, _} -> {:error, Error.new(:closed_handle, "the database was closed")}
      {:error, %Error{name: :busy}} -> Consumer.rest() && run_until(outbox, consumer, stop)
      {:error, %Error{name: name} = error} when name != :lost -> {:error, error}
      _ -> run_until(outbox, consumer, stop)
    end
  end

  defp consumer(outbox, worker) do
    options = [worker, outbox.visibility_timeout_s, outbox.base_backoff_s]
    Consumer.new(outbox.db, :outbox, outbox.name, options)
  end

  defp deliver(outbox, consumer, job, stop) do
    {what, arguments} =
      case outcome(elem(Handler.call(outbox.deliver, job.payload), 0)) do
        :ok -> {:delivered, [job.id]}
        {:error, text} -> {:failed, [job.id, job.attempts, text]}
      end

    case Handler.settle(fn -> Consumer.act(consumer, what, arguments) end, stop) do
      {:ok, _} -> :ok
      :lost -> {:error, Error.new(:lost, "the claim on job #{job.id} was lost while it was delivered")}
      error -> error
    end
  end

  # What a delivery says beyond success and failure is failure: its pauses are the outbox's.
  defp outcome({:retry, _delay_s, text}), do: {:error, text}
  defp outcome({:discard, text}), do: {:error, text}
  defp outcome({:snooze, _delay_s} = returned), do: {:error, "it returned #{inspect(returned)}"}
  defp outcome(outcome), do: outcome
end
