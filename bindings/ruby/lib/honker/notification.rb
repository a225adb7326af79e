# frozen_string_literal: true

module Honker
  # One notification: its id, where it was sent, the decoded payload, and when.
  Notification = Struct.new(:id, :channel, :payload, :created_at)

  # Delivers the notifications of a channel, from when it was made on, in order; made by {Database#listen}.
  class Listener < Waiter
    include Each

    # @return [String]
    attr_reader :channel

    # @private
    def initialize(database, channel)
      @channel = Value.utf8(channel, "channel")
      super(database, :honker_listener_free) do |*at|
        [:honker_listener_new, database.handle, *at, *Value.text(@channel, "channel"),
         READER_FALLBACK_MS]
      end
      @view = Native::NOTIFICATION_VIEW.view
    end

    # The next notification.
    #
    # @param timeout [Numeric, nil] seconds; nil without end, 0 not at all
    # @return [Notification, nil] nil if the time is over, or {#wake} was called
    def next(timeout: nil)
      await(timeout) do
        next unless found?(@database.call(:honker_listener_next, consumer, 0, @view))

        id, channel, channel_length, payload, length, created_at = Native::NOTIFICATION_VIEW.read(@view).drop(2)
        Notification.new(id, Native.text(channel, channel_length), Codec.decode(Native.text(payload, length)),
                         created_at)
      end
    end
  end
end
