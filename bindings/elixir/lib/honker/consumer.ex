defmodule Honker.Consumer do
  @moduledoc """
  What waits: a worker (`Honker.Queue.worker/3`), a listener (`Honker.listener/2`), a subscription
  (`Honker.Stream.subscription/3`), or for any commit at all (`Honker.updates/1`).

  Waiting is an Elixir process in `receive`: no scheduler and no thread is blocked, however many wait. A commit to the file,
  by anyone in any process, is noticed within a millisecond or so.

  A consumer ends with the process that made it. One process at a time may wait with it; any may wake or close it.
  """

  alias Honker.{Error, Job, Native}

  @enforce_keys [:ref, :db, :kind]
  defstruct [:ref, :db, :kind, save_ms: 0]
  @type t :: %__MODULE__{ref: reference, db: Honker.Database.t(), kind: atom, save_ms: integer}

  # How often to look without having been woken.
  @fallback_ms %{worker: 5000, outbox: 5000, leader: 2000, listener: 15_000, subscription: 15_000, updates: 15_000}
  # How often to look whether it should stop.
  @stop_ms 100

  @doc false
  def new(%Honker.Database{} = db, kind, name, options, save_ms \\ 0) do
    with {:ok, ref} <- Native.run(db, fn -> Native.consumer_new(db.ref, kind, name, options) end) do
      {:ok, %__MODULE__{ref: ref, db: db, kind: kind, save_ms: save_ms}}
    end
  end

  @doc """
  The next item, waiting for it for `timeout` milliseconds, 0 (not at all) or `:infinity`:

    * `{:ok, item}` - jobs (a list, of `n` at most), a `Honker.Notification`, a `Honker.StreamEvent` (which finishes the one
      before), or nil for any commit
    * `:timeout` - the time was over
    * `:woken` - somebody called `wake/1`
    * `:closed` - it was closed, or its database, while this waited
    * `{:error, error}` - `:closed_handle` if it was closed before, `:interrupted` by `Honker.interrupt/1`, …
  """
  @spec next(t, timeout, pos_integer) :: {:ok, term} | :timeout | :woken | :closed | {:error, Error.t()}
  def next(consumer, timeout \\ :infinity, n \\ 1)

  def next(%__MODULE__{} = consumer, timeout, n)
      when timeout == :infinity or (is_integer(timeout) and timeout >= 0) do
    case next_until(consumer, timeout, n, nil) do
      {:closed, :before} -> {:error, Error.new(:closed_handle, "it is closed")}
      {:closed, :meanwhile} -> :closed
      other -> other
    end
  end

  def next(_consumer, timeout, _n),
    do: Error.invalid("timeout has to be milliseconds or :infinity, not #{inspect(timeout)}")

  # As `next`; `:stopped` soon after `stop` returns true.
  @doc false
  def next_until(consumer, timeout, n, stop) do
    wait = %{
      deadline: if(timeout != :infinity, do: Native.now_ms() + timeout),
      interrupts: Native.interrupts(consumer.db.ref),
      stop: stop,
      n: n
    }

    case look(consumer, n) do
      {:timeout, at} -> wait(consumer, wait, fallback(consumer, at, consumer.save_ms))
      :closed -> {:closed, :before}
      other -> other
    end
  end

  defp look_again(consumer, wait) do
    case look(consumer, wait.n) do
      {:timeout, at} -> wait(consumer, wait, fallback(consumer, at, 0))
      :closed -> {:closed, :meanwhile}
      other -> other
    end
  end

  # Looks once, without waiting: as `next`, but `{:timeout, at}` with when to look again, or nil.
  @doc false
  def look(consumer, n) do
    case Native.run(consumer.db, fn -> Native.consumer_next(consumer.ref, n) end) do
      {:ok, found} -> {:ok, item(consumer.kind, found)}
      other -> other
    end
  end

  # For how long to wait for a wake at most. What is overdue is so because of a clock that somebody has set.
  @doc false
  def fallback(consumer, at, save_ms \\ 0) do
    fallback = Map.fetch!(@fallback_ms, consumer.kind)
    fallback = if save_ms > 0, do: min(fallback, save_ms), else: fallback

    case at && at * 1000 - System.os_time(:millisecond) do
      nil -> fallback
      left when left <= 0 -> 50
      left -> left |> min(1000) |> min(fallback)
    end
  end

  defp wait(consumer, wait, fallback_ms) do
    now = Native.now_ms()

    cond do
      wait.stop && wait.stop.() -> :stopped
      wait.deadline && now >= wait.deadline -> :timeout
      true -> wait(consumer, wait, now + fallback_ms, arm(consumer))
    end
  end

  defp wait(_consumer, _wait, _look_at, :closed), do: {:closed, :meanwhile}
  defp wait(_consumer, _wait, _look_at, {:error, _} = error), do: Native.read(error)

  defp wait(consumer, wait, look_at, {:ok, tag}) do
    if Native.interrupts(consumer.db.ref) != wait.interrupts do
      disarm(consumer, tag)
      {:error, Native.interrupted()}
    else
      until = if wait.deadline, do: min(look_at, wait.deadline), else: look_at
      left = max(until - Native.now_ms(), 0)

      receive do
        {:select, _consumer, ^tag, _what} ->
          selected(consumer, tag)
          look_again(consumer, wait)

        {:honker_wait, ^tag, _why} ->
          # Whether it was interrupted or closed is seen by whoever looks.
          disarm(consumer, tag)

          if Native.interrupts(consumer.db.ref) != wait.interrupts,
            do: {:error, Native.interrupted()},
            else: look_again(consumer, wait)
      after
        if(wait.stop, do: min(left, @stop_ms), else: left) ->
          disarm(consumer, tag)
          now = Native.now_ms()

          cond do
            wait.stop && wait.stop.() -> :stopped
            now < until -> wait(consumer, wait, look_at, arm(consumer))
            # The last look is right before the end.
            true -> look_again(consumer, wait)
          end
      end
    end
  end

  # The calling process is sent {:select, _, tag, _} or {:honker_wait, tag, _}, once.
  @doc false
  def arm(consumer) do
    tag = make_ref()

    case Native.consumer_select(consumer.ref, tag) do
      :ok -> {:ok, tag}
      other -> other
    end
  end

  # After {:select, _, tag, _} has come: nothing else with the tag comes, nor is in the mailbox.
  @doc false
  def selected(consumer, tag) do
    Native.consumer_cancel(consumer.ref)
    flush(tag, 0)
  end

  # The same at any time.
  @doc false
  def disarm(consumer, tag) do
    patience = if Native.consumer_cancel(consumer.ref) == :ok, do: 0, else: 10
    flush(tag, patience)
  end

  defp flush(tag, patience) do
    receive do
      {:honker_wait, ^tag, _} -> flush(tag, patience)
    after
      0 -> :ok
    end

    if patience > 0 do
      receive do
        {:select, _, ^tag, _} -> :ok
      after
        patience -> :ok
      end
    end
  end

  @doc "Ends the wait that is running, or else the next one, with `:woken`."
  @spec wake(t) :: :ok | {:error, Error.t()}
  def wake(%__MODULE__{} = consumer), do: Native.done(Native.read(Native.consumer_wake(consumer.ref)))

  @doc """
  Closes it; a wait that is running ends with `:closed`. A subscription saves the offset of its last finished event, jobs
  that a worker holds stay its own until their time is over. Closing twice does no harm.
  """
  @spec close(t) :: :ok | {:error, Error.t()}
  def close(%__MODULE__{kind: kind} = consumer) do
    # What closing would try only once is tried for as long as the busy timeout.
    before =
      case kind do
        :subscription when consumer.save_ms >= 0 -> act(consumer, :save)
        :leader -> act(consumer, :resign)
        _ -> :ok
      end

    Native.consumer_close(consumer.ref)

    case before do
      {:error, %Error{name: name} = error} when name not in [:closed_handle, :misuse] -> {:error, error}
      _ -> :ok
    end
  end

  @doc false
  def act(consumer, what, arguments \\ []) do
    Native.run(consumer.db, fn -> Native.consumer_do(consumer.ref, what, arguments) end)
  end

  @doc false
  def item(kind, jobs) when kind in [:worker, :outbox], do: Enum.map(jobs, &Job.from_native/1)
  def item(:listener, found), do: Honker.Notification.from_native(found)
  def item(:subscription, found), do: Honker.StreamEvent.from_native(found)
  def item(:leader, fires), do: Enum.map(fires, &Honker.Scheduler.fire/1)
  def item(:updates, _found), do: nil
end
