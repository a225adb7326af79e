# frozen_string_literal: true

module Honker
  # One event of a stream: its place, where and with what key it was published (nil for none), the decoded payload, and when.
  StreamEvent = Struct.new(:offset, :topic, :key, :payload, :created_at) do
    # @private
    def self.read(offset, topic, topic_length, key, key_length, payload, payload_length, created_at)
      new(offset, Native.text(topic, topic_length), key.zero? ? nil : Native.text(key, key_length),
          Codec.decode(Native.text(payload, payload_length)), created_at)
    end
  end

  # A stream of events, which stay; made by {Database#stream}. Any number of threads may use it at the same time.
  class Stream
    # @return [String]
    attr_reader :topic

    # @private
    def initialize(database, topic)
      @database = database
      @topic = Value.utf8(topic, "topic")
      @target = Value.text(@topic, "topic").freeze
    end

    # Appends an event.
    #
    # @return [Integer] its offset
    def publish(payload, key: nil, tx: nil)
      @database.number(:honker_stream_publish, @database.handle, Transaction.handle(tx), *@target,
                       *Value.optional_text(key, "key"), *Value.text(Codec.encode(payload), "payload"))
    end

    # The same as `publish(payload, key: key)`.
    def publish_with_key(key, payload, tx: nil)
      publish(payload, key: key, tx: tx)
    end

    # The same as `publish(payload, tx: tx)`.
    def publish_tx(tx, payload, key: nil)
      publish(payload, key: key, tx: Transaction.required(tx))
    end

    # The events after `offset`, oldest first, at most `limit`.
    #
    # @return [Array<StreamEvent>]
    def read_since(offset, limit = nil, tx: nil)
      @database.owned_list(:honker_stream_read_since, :events, Native::EVENT_VIEW, @database.handle,
                           Transaction.handle(tx), *@target, Value.integer(offset, "offset"),
                           Value.integer(limit || -1, "limit")) { |*event| StreamEvent.read(*event) }
    end

    # The events after the offset that `consumer` has saved.
    def read_from_consumer(consumer, limit = nil)
      read_since(get_offset(consumer), limit)
    end

    # Records that `consumer` has finished everything up to `offset`.
    #
    # @return [Boolean] false, and nothing changed, if it was that far already: an offset never goes back
    def save_offset(consumer, offset, tx: nil)
      @database.call?(:honker_stream_save_offset, @database.handle, Transaction.handle(tx),
                      *Value.text(consumer, "consumer"), *@target, Value.integer(offset, "offset"))
    end

    # The same as `save_offset(consumer, offset, tx: tx)`.
    def save_offset_tx(tx, consumer, offset)
      save_offset(consumer, offset, tx: Transaction.required(tx))
    end

    # @return [Integer] the offset that `consumer` last saved; 0 if it never did
    def get_offset(consumer)
      @database.number(:honker_stream_get_offset, @database.handle, 0, *Value.text(consumer, "consumer"), *@target)
    end

    # Sets what is kept of the topic, in every process from now on; nil keeps all, what is not given stays as it is. Workers and
    # schedulers remove the others within a minute, but none that a consumer which has saved an offset has not finished.
    #
    # @param options `keep_s`, for how many seconds an event is kept; `keep_n`, how many are, the newest ones
    def configure(tx: nil, **options)
      @database.call(:honker_stream_configure, @database.handle, Transaction.handle(tx), *@target,
                     *Value.text(Codec.options(options), "options"))
      nil
    end

    # Removes the events that are not kept any more. With a `tx` at most 1,000: call it until it answers 0.
    #
    # @param options `keep_s` and `keep_n`, by default the topic's own; `past_consumers: true` removes what a consumer has not
    #   finished as well
    # @return [Integer] how many that were
    def trim(tx: nil, **options)
      @database.number(:honker_stream_trim, @database.handle, Transaction.handle(tx), *@target,
                       *Value.text(Codec.options(options), "options"))
    end

    # Delivers the events in order, what there is and what comes. With a block for each of them, until that is left;
    # otherwise to be closed.
    #
    # @param consumer [String, nil] whose offset is read and saved; nil saves nothing
    # @param from_offset [Integer, nil] begins after it; by default after the consumer's offset, or at the beginning
    # @param save_every_n [Integer] saves after so many finished events; 0: not because of a number
    # @param save_every_s [Numeric] saves after so many seconds; 0: not because of the time
    # @return [Subscription]
    def subscribe(consumer: nil, from_offset: nil, save_every_n: 1000, save_every_s: 1.0, &block)
      Subscription.new(@database, @topic, consumer, from_offset, save_every_n, save_every_s).given_to(&block)
    end
  end

  # Delivers the events of a stream; made by {Stream#subscribe}. An event is finished when the next one is asked for, or with
  # {#ack}. Only finished events are saved: a consumer that dies in the middle of one sees it again.
  class Subscription < Waiter
    include Each

    # @private
    def initialize(database, topic, consumer, from_offset, save_every_n, save_every_s)
      save_every_s = Value.timeout(save_every_s, "save_every_s") || (Value::INTEGERS.max / 1000)
      memory, place = Value.bytes(consumer, "consumer")
      opts = Native::SUBSCRIPTION_OPTS.pack(*place, Value.optional_integer(from_offset, "from_offset"),
                                            Value.integer(save_every_n, "save_every_n"),
                                            [(save_every_s * 1000).ceil, Value::INTEGERS.max].min)
      saves = save_every_n != 0 || save_every_s.positive?
      super(database, :honker_subscription_free, saves ? :honker_subscription_save : nil) do |*at|
        [:honker_subscription_new, database.handle, *at, *Value.text(topic, "topic"), opts]
      end
      memory&.free
      @view = Native::EVENT_VIEW.view
    end

    # The next event, which finishes the one before.
    #
    # @param timeout [Numeric, nil] seconds; nil without end, 0 not at all
    # @return [StreamEvent, nil] nil if the time is over, or {#wake} was called
    def next(timeout: nil)
      await(timeout) do
        next unless found?(@database.call(:honker_subscription_next, consumer, 0, @view))

        StreamEvent.read(*Native::EVENT_VIEW.read(@view).drop(2))
      end
    end

    # The event in hand is finished.
    def ack
      use { @database.call(:honker_subscription_ack, consumer) }
      nil
    end

    # Saves the offset of the last finished event now.
    def save
      use { @database.call(:honker_subscription_save, consumer) }
      nil
    end

    # @return [Integer] that of the last event that was given; where it began if there was none
    def offset
      use { @database.number(:honker_subscription_offset, consumer) }
    end
  end
end
