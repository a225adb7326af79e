defmodule Honker.Consumer do
  @moduledoc """
  What waits: a worker (`Honker.Queue.worker/3`), a listener (`Honker.listener/2`), a subscription
  (`Honker.Stream.subscription/3`), or for any commit at all (`Honker.updates/1`).

  Waiting is an Elixir process in `receive`: no scheduler and no thread is blocked, however many wait. A commit to the file,
  by anyone in any process, is noticed within a millisecond or so.

  A consumer ends with the process that made it. One process at a time may wait with it (others are told `:misuse`); any may
  wake or close it.
  """

  alias Honker.{Error, Job, Native}

  @enforce_keys [:ref, :db, :kind]
  defstruct [:ref, :db, :kind, saves?: false]
  @type t :: %__MODULE__{ref: reference, db: Honker.Database.t(), kind: atom, saves?: boolean}

  # The longest that a process can wait in one go.
  @receive_max_ms 4_294_967_295

  # What it claims or takes has to be decoded.
  @decoding [:worker, :listener, :subscription]

  @doc false
  def new(on, kind, name, options, fields \\ []) do
    Native.within(on, fn db ->
      with :ok <- if(kind in @decoding, do: Honker.JSON.check(), else: :ok),
           {:ok, ref} <- Native.run(db, fn -> Native.consumer_new(db.ref, kind, name, options) end) do
        {:ok, struct!(%__MODULE__{ref: ref, db: db, kind: kind}, fields)}
      end
    end)
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

  # Nothing is there at once, and nothing can come.
  def next(%__MODULE__{kind: :worker} = consumer, timeout, n) when is_integer(n) and n <= 0 and timeout != 0 do
    with :timeout <- next(consumer, 0, n), do: {:ok, []}
  end

  def next(%__MODULE__{} = consumer, timeout, n)
      when timeout == :infinity or (is_integer(timeout) and timeout >= 0) do
    deadline = if timeout != :infinity, do: Native.now_ms() + timeout
    wait = %{deadline: deadline, interrupts: Native.interrupts(consumer.db.ref), n: n}

    case ask(consumer, n) do
      :timeout -> wait(consumer, wait)
      :closed_before -> {:error, Error.new(:closed_handle, "it is closed")}
      # Nobody has waited.
      :closed when timeout == 0 -> {:error, Error.new(:closed_handle, "it is closed")}
      other -> other
    end
  end

  def next(_consumer, timeout, _n),
    do: Error.invalid("timeout has to be milliseconds or :infinity, not #{inspect(timeout)}")

  # Looks once, without waiting.
  @doc false
  def look(consumer, n), do: with(:closed_before <- ask(consumer, n), do: :closed)

  defp ask(consumer, n) do
    case Native.run(consumer.db, fn -> Native.consumer_next(consumer.ref, n) end) do
      {:ok, found} -> {:ok, item(consumer.kind, found)}
      other -> other
    end
  end

  defp wait(consumer, wait) do
    case left(wait.deadline) do
      0 -> :timeout
      left -> wait(consumer, wait, left, arm(consumer))
    end
  end

  defp wait(consumer, wait, left, {:ok, tag}) do
    # One that came before it was known that somebody waits.
    if Native.interrupts(consumer.db.ref) != wait.interrupts do
      disarm(consumer, tag)
      {:error, Native.interrupted()}
    else
      receive do
        {:honker_wait, ^tag, why} -> told(consumer, wait, why)
      after
        left -> told(consumer, wait, disarm(consumer, tag) || :over)
      end
    end
  end

  defp wait(consumer, wait, _left, told), do: told(consumer, wait, told)

  defp told(_consumer, _wait, :interrupted), do: {:error, Native.interrupted()}
  # The last look is right before the end.
  defp told(consumer, wait, why) when why in [:ready, :over],
    do: with(:timeout <- look(consumer, wait.n), do: wait(consumer, wait))

  defp told(_consumer, _wait, woken_closed_or_error), do: woken_closed_or_error

  defp left(nil), do: :infinity
  defp left(deadline), do: (deadline - Native.now_ms()) |> max(0) |> min(@receive_max_ms)

  # `{:ok, tag}`: the calling process is sent {:honker_wait, tag, why} once, where why is :ready, :woken, :interrupted or
  # :closed. Otherwise one of these, or an error, at once.
  @doc false
  def arm(consumer) do
    tag = make_ref()

    case Native.consumer_wait(consumer.ref, tag) do
      :ok ->
        {:ok, tag}

      {:dispatch, waiter} ->
        Honker.Dispatcher.start(waiter)
        {:ok, tag}

      other ->
        Native.read(other)
    end
  end

  # Nothing with the tag comes any more, nor is in the mailbox; why, if it had come.
  @doc false
  def disarm(consumer, tag) do
    Native.consumer_forget(consumer.ref)

    receive do
      {:honker_wait, ^tag, why} -> why
    after
      0 -> nil
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
        :subscription when consumer.saves? -> act(consumer, :save)
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
  def item(:worker, jobs), do: Enum.map(jobs, &Job.from_native/1)
  def item(:listener, found), do: Honker.Notification.from_native(found)
  def item(:subscription, found), do: Honker.StreamEvent.from_native(found)
  def item(:result, value), do: value
  def item(:leader, fires), do: Enum.map(fires, &Honker.Scheduler.fire/1)
  def item(:updates, _found), do: nil
end
