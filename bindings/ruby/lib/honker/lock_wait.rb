# frozen_string_literal: true

require "fiber" # Fiber.current, before Ruby 3.1

module Honker
  # The wait of one call for a lock that somebody else holds. Nothing here is for users.
  #
  # A native call cannot be ended by Ruby: Timeout and Thread#kill would last until it returns, while Ruby sends its thread one
  # signal after the other. So the library waits for a slice only, which is long enough to take turns with the threads of this
  # process, and in between Ruby sleeps.
  # @private
  class LockWait
    include Clock

    SLICE_MS = 10
    PAUSE_MIN_S = 0.001
    PAUSE_MAX_S = 0.02

    # What the library is told of a busy timeout. With a rollback journal a commit waits for readers, who would never let it in
    # if it gave up in between; on a server what gives up costs the transaction that it is in. There the library waits for all
    # of it.
    def self.native_ms(busy_timeout_ms, journal, path)
      journal == Native::JOURNAL_WAL && !Postgres.url?(path) ? [busy_timeout_ms, SLICE_MS].min : busy_timeout_ms
    end

    # `interrupts` is how many the database had seen when the call was first made.
    def initialize(database, interrupts)
      @database = database
      @interrupts = interrupts
      @deadline = now + database.lock_wait_s
      @pause = PAUSE_MIN_S
    end

    # Whether a call that ended with this status is to be made again, now.
    def again?(status)
      case status
      when Native::BUSY then pause
      when Native::MISUSE then after_own_transaction?
      else false
      end
    end

    private

    # A transaction of this thread's that another fiber has begun, or that a Ruby thread has left which had this native thread
    # before. This fiber may wait for another if the two take turns.
    def after_own_transaction?
      open = @database.open_transaction
      return false if open.nil? || open.mine?

      open.end_if_abandoned || (Fiber.scheduler && !Fiber.current.blocking? && pause)
    end

    def pause
      left = @deadline - now
      return false unless left.positive?

      @database.open_transaction&.end_if_abandoned_for_long
      sleep([@pause, left].min)
      @pause = [@pause * 2, PAUSE_MAX_S].min
      raise InterruptedError, "ended by interrupt" if @interrupts != @database.interrupts

      true
    end
  end
  private_constant :LockWait
end
