defmodule Honker.Lock do
  @moduledoc "Locks: they have a name, an owner and a time to live."

  alias Honker.{Database, Error, Native, Transaction}

  use Honker.Bang, ~w(try_acquire release heartbeat with_lock)a

  @enforce_keys [:name, :owner]
  defstruct [:name, :owner]
  @type t :: %__MODULE__{name: String.t(), owner: String.t()}
  @type on :: Database.named() | Transaction.t()

  @doc """
  Takes a lock for `owner`, for `ttl` seconds, if it is free or the time of who had it is over; nil if somebody else has it.
  The owner nil stands for a new name each time.
  """
  @spec try_acquire(on, String.t(), String.t() | nil, integer) :: {:ok, t | nil} | {:error, Error.t()}
  def try_acquire(on, name, owner \\ nil, ttl) do
    owner = if owner == nil, do: Base.encode16(:rand.bytes(16), case: :lower), else: owner

    case Native.call(on, :lock_acquire, [name, owner, ttl]) do
      {:ok, _} -> {:ok, %__MODULE__{name: name, owner: owner}}
      :held -> {:ok, nil}
      error -> error
    end
  end

  @doc "Gives a lock up; false if its owner did not have it any more."
  @spec release(t, on) :: {:ok, boolean} | {:error, Error.t()}
  def release(%__MODULE__{} = lock, on), do: Native.changed?(Native.call(on, :lock_release, [lock.name, lock.owner]))

  @doc "Prolongs a lock to `ttl` seconds from now; false if somebody else has it, or nobody."
  @spec heartbeat(t, on, integer) :: {:ok, boolean} | {:error, Error.t()}
  def heartbeat(%__MODULE__{} = lock, on, ttl) do
    Native.changed?(Native.call(on, :lock_renew, [lock.name, lock.owner, ttl]))
  end

  @doc "Runs `fun` with the lock, which is released whatever happens: `{:ok, result}`; the error `:held` if it is not free."
  @spec with_lock(Database.named(), String.t(), integer, (t -> result)) :: {:ok, result} | {:error, Error.t()}
        when result: term
  def with_lock(db, name, ttl, fun) when is_function(fun, 1) do
    case try_acquire(db, name, nil, ttl) do
      {:ok, nil} ->
        {:error, Error.new(:held, "somebody else has the lock #{name}")}

      {:ok, lock} ->
        try do
          {:ok, fun.(lock)}
        after
          release(lock, db)
        end

      error ->
        error
    end
  end
end
