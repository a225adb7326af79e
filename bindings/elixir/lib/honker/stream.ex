defmodule Honker.StreamEvent do
  @moduledoc """
  An event of a stream: `offset`, `topic`, `key` (or nil), `payload` (decoded), `created_at` (Unix seconds) and `raw`, the
  payload as it is stored.
  """

  @enforce_keys [:offset, :topic]
  defstruct [:offset, :topic, :key, :payload, :created_at, :raw]

  @type t :: %__MODULE__{
          offset: integer,
          topic: String.t(),
          key: String.t() | nil,
          payload: term,
          created_at: integer,
          raw: binary
        }

  @doc false
  def from_native({offset, topic, key, raw, created_at}) do
    payload = Honker.JSON.decode(raw)
    %__MODULE__{offset: offset, topic: topic, key: key, payload: payload, created_at: created_at, raw: raw}
  end
end

defmodule Honker.Stream do
  @moduledoc """
  Events that stay. A consumer has an offset for each topic, which only goes forward.

  Three ways to receive them as they come, each of which waits without blocking anything:

    * `events/3` - an enumerable, for a process that does nothing else
    * `subscribe/3` - messages to the calling process
    * `subscription/3` - a `Honker.Consumer`, for loops of your own

  An event is finished when the next one is asked for, or when it is acknowledged. Only the offset of finished events is
  saved: a consumer that dies in the middle of one sees it again. A transaction may stand where a database does.
  """

  alias Honker.{Consumer, Database, Error, Feed, Native, StreamEvent, Transaction}

  use Honker.Bang,
      ~w(publish publish_tx configure trim read_since read_from_consumer save_offset save_offset_tx get_offset subscription subscribe ack save
         offset)a

  @type on :: Database.named() | Transaction.t()

  @doc "Appends an event: its offset. Option: `key:`."
  @spec publish(on, String.t(), term, keyword) :: {:ok, integer} | {:error, Error.t()}
  def publish(on, topic, payload, opts \\ []) do
    with {:ok, options} <- Native.options(opts, [:key]),
         {:ok, text} <- Honker.JSON.encode(payload) do
      Native.call(on, :stream_publish, [topic, options[:key], text])
    end
  end

  @doc """
  Sets what is kept of a topic: `keep_s:`, for how many seconds an event is, and `keep_n:`, how many are, the newest ones. What is
  not given stays as it is; nil: all of them. The others are removed within a minute by whatever works or leads schedules, but
  none that a consumer which has saved an offset has not finished.
  """
  @spec configure(on, String.t(), keyword) :: :ok | {:error, Error.t()}
  def configure(on, topic, opts) do
    with {:ok, o} <- Native.options(opts, [:keep_s, :keep_n]),
         {:ok, json} <- Honker.JSON.encode(o),
         do: Native.done(Native.call(on, :stream_configure, [topic, json]))
  end

  @doc """
  Removes the events of a topic that are not kept any more; how many that were. `keep_s:` and `keep_n:` instead of the topic's
  own (`configure/3`); `past_consumers: true` removes what a consumer has not finished as well. In a transaction at most 1,000
  are removed: call it until it answers 0.
  """
  @spec trim(on, String.t(), keyword) :: {:ok, non_neg_integer} | {:error, Error.t()}
  def trim(on, topic, opts \\ []) do
    with {:ok, o} <- Native.options(opts, [:keep_s, :keep_n, :past_consumers]),
         {:ok, json} <- Honker.JSON.encode(o),
         do: Native.call(on, :stream_trim, [topic, json])
  end

  @doc "As `publish/4`, in a transaction: seen with its commit."
  @spec publish_tx(Transaction.t(), String.t(), term, keyword) :: {:ok, integer} | {:error, Error.t()}
  def publish_tx(%Transaction{} = tx, topic, payload, opts \\ []), do: publish(tx, topic, payload, opts)

  @doc "The events after `offset`, oldest first, at most `limit` unless that is negative."
  @spec read_since(on, String.t(), integer, integer) :: {:ok, [StreamEvent.t()]} | {:error, Error.t()}
  def read_since(on, topic, offset, limit \\ -1) do
    Native.list(Native.call(on, :stream_read_since, [topic, offset, limit]), &StreamEvent.from_native/1)
  end

  @doc "The events after the offset that `consumer` has saved. It does not move that."
  @spec read_from_consumer(on, String.t(), String.t(), integer) :: {:ok, [StreamEvent.t()]} | {:error, Error.t()}
  def read_from_consumer(on, topic, consumer, limit \\ -1) do
    with {:ok, offset} <- get_offset(on, consumer, topic), do: read_since(on, topic, offset, limit)
  end

  @doc "Records that `consumer` has finished everything up to `offset`; false if it was that far already."
  @spec save_offset(on, String.t(), String.t(), integer) :: {:ok, boolean} | {:error, Error.t()}
  def save_offset(on, consumer, topic, offset) do
    Native.changed?(Native.call(on, :stream_save_offset, [consumer, topic, offset]))
  end

  @doc "As `save_offset/4`, in the transaction that does what the events ask for: each has its effect exactly once."
  @spec save_offset_tx(Transaction.t(), String.t(), String.t(), integer) :: {:ok, boolean} | {:error, Error.t()}
  def save_offset_tx(%Transaction{} = tx, consumer, topic, offset), do: save_offset(tx, consumer, topic, offset)

  @doc "The offset that `consumer` last saved; 0 if it never did."
  @spec get_offset(on, String.t(), String.t()) :: {:ok, integer} | {:error, Error.t()}
  def get_offset(on, consumer, topic), do: Native.call(on, :stream_get_offset, [consumer, topic])

  @doc """
  A consumer whose items are the events of a topic: see `Honker.Consumer`.

  Options: `consumer:`, whose offset is read and saved, nil (the default) saves nothing; `from_offset:`, to begin after
  that instead of the saved one; `save_every_n:` (default 1000 events) and `save_every_ms:` (default 1000), when the offset
  is saved, 0 for never; with both 0 it is saved by `save/1` only, otherwise also when the subscription is closed.
  """
  @spec subscription(Database.named(), String.t(), keyword) :: {:ok, Consumer.t()} | {:error, Error.t()}
  def subscription(db, topic, opts \\ []) do
    with {:ok, o} <- Native.options(opts, [:consumer, :from_offset, save_every_n: 1000, save_every_ms: 1000]) do
      options = [o[:consumer], o[:from_offset], o.save_every_n, o.save_every_ms]
      Consumer.new(db, :subscription, topic, options, saves?: o.save_every_n != 0 or o.save_every_ms != 0)
    end
  end

  @doc """
  The events of a topic as an enumerable that has no end: where there are no more it waits. Options as for
  `subscription/3`. An error, and the end of the database, are raised.

      for event <- Honker.Stream.events(db, "orders", consumer: "mailer"), do: handle(event)
  """
  @spec events(Database.named(), String.t(), keyword) :: Enumerable.t()
  def events(db, topic, opts \\ []) do
    Elixir.Stream.resource(
      fn -> subscription!(db, topic, opts) end,
      fn subscription ->
        case Consumer.next(subscription) do
          {:ok, event} -> {[event], subscription}
          {:error, error} -> raise error
          :closed -> raise Error.new(:closed_handle, "the database was closed")
          :woken -> {:halt, subscription}
        end
      end,
      &Consumer.close/1
    )
  end

  @doc """
  Sends the events of a topic to the calling process, as `{:honker, subscription, %Honker.StreamEvent{}}`, one at a time:
  the next one comes after `ack/1`. Options as for `subscription/3`.

  It ends with the calling process, or by `unsubscribe/1`; the event in hand then counts as not finished. When the database
  is closed the process is sent `{:honker, subscription, {:closed, reason}}`.
  """
  @spec subscribe(Database.named(), String.t(), keyword) :: {:ok, pid} | {:error, Error.t()}
  def subscribe(db, topic, opts \\ []) do
    case Feed.start(fn -> subscription(db, topic, opts) end, true) do
      {:error, {:shutdown, error}} -> {:error, error}
      started -> started
    end
  end

  @doc "Ends what `subscribe/3` began, saving the offset of the last finished event."
  @spec unsubscribe(pid) :: :ok
  def unsubscribe(subscription) when is_pid(subscription), do: Honker.Until.end_it(subscription)

  @doc "The event in hand is finished. With a subscription of `subscribe/3` the next one is sent."
  @spec ack(pid | Consumer.t()) :: :ok | {:error, Error.t()}
  def ack(subscription) when is_pid(subscription), do: Feed.ack(subscription)
  def ack(%Consumer{kind: :subscription} = subscription), do: Native.done(Consumer.act(subscription, :ack))

  @doc "Saves the offset of the last finished event now."
  @spec save(Consumer.t()) :: :ok | {:error, Error.t()}
  def save(%Consumer{kind: :subscription} = subscription), do: Native.done(Consumer.act(subscription, :save))

  @doc "The offset of the last event that was given; where the subscription began if there was none."
  @spec offset(Consumer.t()) :: {:ok, integer} | {:error, Error.t()}
  def offset(%Consumer{kind: :subscription} = subscription), do: Consumer.act(subscription, :offset)
end
