defmodule Honker.Job do
  @moduledoc """
  A claimed job: `id`, `queue`, `payload` (decoded, objects with binaries as keys), `worker_id`, `attempts` (this one
  included), `max_attempts`, `metadata` (the map it was enqueued with, empty without), `claim_expires_at` (the last second in
  which the claim is valid when it was made), `serial` (names this claim for `Honker.Worker`; 0 if no worker made it) and
  `raw`, the payload as it is stored.

  A job is its worker's until one of these functions ends it, or its time is over. They answer `{:ok, true}` if and only
  if they changed the file, and `{:ok, false}` if the claim was lost. Each takes a transaction in place of the database.
  """

  alias Honker.{Error, Native}

  @enforce_keys [:id, :queue, :worker_id]
  defstruct [
    :id,
    :queue,
    :payload,
    :worker_id,
    :attempts,
    :max_attempts,
    :claim_expires_at,
    :raw,
    serial: 0,
    metadata: %{}
  ]

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
  @type on :: Honker.Database.t() | Honker.Transaction.t()

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

  @doc "The job takes longer: its claim is valid for `seconds` from now."
  @spec heartbeat(on, t, integer) :: {:ok, boolean} | {:error, Error.t()}
  def heartbeat(on, %__MODULE__{} = job, seconds) do
    Native.changed?(Native.call(on, :heartbeat, [job.id, job.worker_id, seconds]))
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
