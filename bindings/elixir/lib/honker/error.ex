defmodule Honker.Error do
  @moduledoc """
  What every function of this package returns as `{:error, error}`. It is an exception as well, for those who raise it.

    * `name` - what happened, for programs. From libhonker: `:busy`, `:constraint`, `:io`, `:corrupt`, `:full`,
      `:readonly`, `:cannot_open`, `:sql`, `:schema`, `:too_big`, `:aborted`, `:misuse`, `:utf8`, `:invalid`,
      `:not_found`, `:closed_handle`, `:forked`, `:unsupported`, `:interrupted`, `:watcher`, `:system`,
      `:too_old`, `:connection`, `:internal`, `:panic`;
      `:unknown` for what a newer libhonker may add. From this package: `:library`, no libhonker could be loaded, and
      `:lost` and `:held` where a claim or a lock that is somebody else's is no ordinary answer, `:unencodable`, what a step
      (`Honker.Job.step/4`) has returned cannot be kept, and `:rolled_back`, raised
      `Honker.transaction!/2`, `Honker.batch!/3` and `Honker.Job.step!/4` for an error that their function has returned
    * `message` - what happened, for people
    * `status` - the number that libhonker answered, 0 if it was not asked
    * `sqlite_code`, `sqlite_extended_code` - SQLite's result codes, 0 if it was not SQLite that refused

  An operation that failed has done nothing. A `:busy` one, for which somebody else had the file locked for longer than
  the busy timeout, may be tried again.
  """

  defexception [:name, :message, status: 0, sqlite_code: 0, sqlite_extended_code: 0]

  @type t :: %__MODULE__{
          name: atom,
          message: String.t(),
          status: integer,
          sqlite_code: integer,
          sqlite_extended_code: integer
        }

  @impl true
  def message(%__MODULE__{name: name, message: message}), do: "#{message} (#{name})"

  @doc false
  def from_native({status, message, code, extended}) do
    name = Honker.Status.name(status)
    %__MODULE__{name: name, message: message, status: status, sqlite_code: code, sqlite_extended_code: extended}
  end

  @doc false
  def new(name, message), do: %__MODULE__{name: name, message: message}

  @doc false
  def invalid(message),
    do: {:error, %__MODULE__{name: :invalid, message: message, status: Honker.Status.number(:invalid)}}
end
