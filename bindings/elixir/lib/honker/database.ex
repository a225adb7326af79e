defmodule Honker.Database do
  @moduledoc """
  An open database, from `Honker.open/2`. Any number of processes may use it at the same time; writes that meet share a
  commit. It is closed by `Honker.close/1`, or when no process has it any more.

  `path`, `busy_timeout_ms`, `queues` (what `Honker.configure_queue/3` has set) and `warning` may be read. A `warning`,
  mostly nil, says that something else in this process has the file open in a way that would cost both their locks.
  """

  @enforce_keys [:ref, :path]
  defstruct [:ref, :path, :warning, busy_timeout_ms: 5000, queues: %{}]

  @type t :: %__MODULE__{
          ref: reference | nil,
          path: Path.t(),
          warning: String.t() | nil,
          busy_timeout_ms: non_neg_integer,
          queues: %{optional(String.t()) => map}
        }

  @doc false
  def queue_options(%__MODULE__{queues: queues}, name) do
    Map.get(queues, name, %{visibility_timeout_s: 300, max_attempts: 3})
  end

  def queue_options(%Honker.Transaction{db: db}, name), do: queue_options(db, name)
end

defimpl Inspect, for: Honker.Database do
  def inspect(db, _options), do: "#Honker.Database<#{db.path}>"
end
