# frozen_string_literal: true

require "io/wait"

module Honker
  # The one native waiter of a database: its consumers wait here. Nothing here is for users.
  #
  # No thread does nothing else. Of the threads and fibers that wait, one polls the waiter's descriptor; the others sleep, each
  # at a condition of its own. Who polls asks the library which consumers have work, and wakes those that sleep. When it
  # leaves, also by Timeout or Thread#kill, one of the others polls.
  #
  # Invariants:
  # - While anybody waits, somebody polls or has been woken to. Timeout and Thread#kill are held off for the moments in which
  #   that changes, and not in the waits, where a caller's own masks stay as they are.
  # - A place that is signalled stays so until its consumer looks again.
  # - The native waiter is freed when the database is closed and nobody polls its descriptor any more.
  #
  # `wake` takes no lock: it may be called from signal traps.
  # @private
  class Dispatcher
    include Clock

    # How many consumers are named by one call. More stay ready.
    TOKENS = 64

    # A consumer's place.
    class Place
      attr_reader :condition, :token
      attr_writer :signalled

      def initialize(token)
        @token = token
        @condition = ConditionVariable.new
        @signalled = @woken = false
      end

      def signalled?
        @signalled
      end

      def woken!
        @woken = true
      end

      # Whether somebody has woken it since this was last asked.
      def take_wake
        woken, @woken = @woken, false
        woken
      end
    end

    attr_reader :waiter, :io

    def initialize(waiter, descriptor)
      @waiter = waiter
      @pid = Process.pid
      @io = IO.for_fd(descriptor, "r", autoclose: false)
      @lock = Mutex.new
      @places = {}
      @last_token = 0
      @sleeping = []
      @poller = nil
      @closed = false
      @tokens = FFI::MemoryPointer.new(:uint64, TOKENS)
      @count = FFI::MemoryPointer.new(:size_t)
    end

    def enter
      @lock.synchronize do
        place = Place.new(@last_token += 1)
        @places[place.token] = place
      end
    end

    # Also in a finalizer, where no lock may be waited for.
    def leave(place)
      @places.delete(place.token)
    end

    # Waits until the place is signalled, at most until `deadline` (of the monotonic clock; nil: without end). What the
    # library has to say against waiting is given to the block: status and error.
    def wait(place, deadline, &block)
      until place.signalled? || @closed || over?(deadline)
        if exclusively { polls?(place) }
          exclusively { dispatch(&block) } if @io.wait_readable(left(deadline))
        else
          sleep_at(place, deadline)
        end
      end
    ensure
      @poller = nil if @poller.equal?(place)
      exclusively { step_out(place) }
    end

    # Takes what was committed, without waiting.
    def look(&block)
      exclusively { dispatch(&block) unless @closed }
    end

    # The places whose consumers have something, and have not looked yet.
    def signalled
      @places.values.select(&:signalled?)
    end

    # Ends the wait of these, or their next one.
    def wake(*places)
      places.each { |place| place.signalled = true }
      Native.honker_waiter_wake(@waiter, nil) unless @waiter.zero?
    end

    # The database is closed, or is about to be.
    def close
      return unless Process.pid == @pid # a child's is the parent's

      exclusively do
        @closed = true
        unused? ? release : wake(*@places.values)
        @sleeping.each { |place| place.condition.signal }
      end
    end

    # For a finalizer.
    def release
      waiter, @waiter = @waiter, 0
      Native.honker_waiter_free(waiter) unless waiter.zero? || Process.pid != @pid
    end

    private

    # Object, since a kill is no exception.
    def exclusively(&block)
      Thread.handle_interrupt(Object => :never) { @lock.synchronize(&block) }
    end

    # Whether it is this one that polls; otherwise it is among those that sleep.
    def polls?(place)
      @poller ||= place
      if @poller.equal?(place)
        @sleeping.delete(place)
        true
      else
        @sleeping << place unless @sleeping.include?(place)
        false
      end
    end

    def sleep_at(place, deadline)
      @lock.synchronize do
        place.condition.wait(@lock, left(deadline)) unless @poller.nil? || place.signalled? || @closed
      end
    end

    # Somebody has to poll while others sleep.
    def step_out(place)
      @sleeping.delete(place)
      @sleeping.first&.condition&.signal unless @poller
      release if @closed && unused?
    end

    def unused?
      @poller.nil? && @sleeping.empty?
    end

    # Signals those that have work. If that cannot be found out all look, and each has its own error.
    def dispatch
      error = FFI::MemoryPointer.new(:uint64)
      status = Native.honker_waiter_ready(@waiter, @tokens, TOKENS, @count, error)
      if status.negative? || status == Native::CLOSED
        @places.values.each { |place| place.signalled = true } # rubocop:disable Style/HashEachMethods -- finalizers delete
      else
        @tokens.read_array_of_uint64(@count.read_uint64).each { |token| @places[token]&.signalled = true }
      end
      @sleeping.each { |place| place.condition.signal if place.signalled? }
      yield status, error.read_uint64 if status.negative? && !@closed
    ensure
      Calls.free_error(error)
    end

    def over?(deadline)
      deadline && now >= deadline
    end

    def left(deadline)
      deadline && [deadline - now, 0].max
    end
  end
  private_constant :Dispatcher
end
