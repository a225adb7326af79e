# frozen_string_literal: true

module Honker
  # A lock that {Database#try_lock} has taken. It ends by itself when its time is over, which is what happens after a crash,
  # and what {#heartbeat} is for. It guards nothing by force. Any number of threads may use it.
  class Lock
    # @return [String]
    attr_reader :name
    # @return [String]
    attr_reader :owner

    # @private
    def initialize(database, name, owner, ttl_s)
      @database = database
      @name = name
      @owner = owner
      @ttl_s = ttl_s
      @released = false
    end

    # Gives the lock up.
    #
    # @return [Boolean] false if it was not the owner's any more; whoever has it now is not disturbed
    def release
      released = @database.call?(:honker_lock_release, @database.handle, 0, *Value.text(@name, "name"),
                                 *Value.text(@owner, "owner"))
      @released = true
      released
    end

    # @return [Boolean] whether {#release} was called
    def released?
      @released
    end

    # Prolongs the lock to `ttl_s` seconds from now, by default as many as it was taken for.
    #
    # @return [Boolean] false if it is lost
    def heartbeat(ttl_s: nil)
      @database.call?(:honker_lock_renew, @database.handle, 0, *Value.text(@name, "name"),
                      *Value.text(@owner, "owner"), Value.integer(ttl_s || @ttl_s, "ttl_s"))
    end
  end
end
