# frozen_string_literal: true

module Honker
  # What everything that waits has in common: {Worker}, {Listener}, {Subscription}, {Leader}, {Updates}.
  #
  # Waiting is Ruby's own, for a descriptor to become readable: signals are handled, Timeout and Thread#kill end it, and a
  # Fiber scheduler runs other fibers meanwhile. One thread or fiber uses it at a time; {#wake} and {#close} are for any.
  class Waiter
    include Clock

    # How often who claims looks without having been woken, and who reads.
    WORKER_FALLBACK_MS = 5000
    READER_FALLBACK_MS = 15_000
    # How often a `stop` is asked.
    STOP_CHECK_S = 0.1
    private_constant :WORKER_FALLBACK_MS, :READER_FALLBACK_MS, :STOP_CHECK_S

    # The native part, which a finalizer can free.
    # @private
    class State
      attr_reader :place
      attr_accessor :consumer, :busy, :closed

      # `parting` is the call that a consumer makes before it is freed, if it makes one.
      def initialize(database, free, parting)
        @states = database.states
        @dispatcher = database.dispatcher
        @free = free
        @parting = parting
        @pid = Process.pid
        @consumer = 0
        @busy = @closed = false
        @place = @dispatcher.enter
        database.synchronize { @states[self] = true }
      end

      # A free tries what it writes only for a moment, so that a finalizer keeps nobody waiting. Who closes waits for a lock.
      def part(database)
        database.call(@parting, @consumer) if @parting && !@busy && !@consumer.zero?
      rescue Error
        nil # in use, or closed meanwhile, or locked for too long: the free tries once more
      end

      # Another consumer in the place of this one.
      def replace(consumer)
        before, @consumer = @consumer, consumer
        Native.public_send(@free, before) unless before.zero?
      end

      # Also in a finalizer, where no lock may be waited for.
      def release
        @states.delete(self)
        @dispatcher.leave(@place)
        return @consumer = 0 unless @pid == Process.pid # a child's are the parent's

        replace(0)
      end

      # Ends it: at once, or when the wait that is running has noticed.
      def close
        @closed = true
        @busy ? wake : release
      end

      # Ends the wait that is running, or else the next one.
      def wake
        @dispatcher.wake(@place)
      end
    end

    # @private
    # Yields the waiter's handle and the token, for the consumer to be made with them: the call's name, and its arguments.
    def initialize(database, free, parting = nil)
      @database = database
      @dispatcher = database.dispatcher
      @state = State.new(database, free, parting)
      @place = @state.place
      ObjectSpace.define_finalizer(self, Waiter.finalizer(@state))
      @state.replace(handle(*yield(@dispatcher.waiter, @place.token)))
      database.register(@place.token, self)
    rescue StandardError
      @state&.release
      raise
    end

    # @private
    def self.finalizer(state)
      proc { state.release }
    end

    # Ends the wait that is running, or else the next one, which returns as if its time were over. Also for signal traps.
    def wake
      @database.check_pid
      raise closed_error if closed?

      @place.woken!
      @state.wake
      nil
    end

    # Ends the wait that is running, and all later calls, with {ClosedError}. Closing again does nothing.
    def close
      @state.part(@database)
      @database.synchronize { @state.close unless @state.closed }
      nil
    end

    # @return [Boolean]
    def closed?
      @state.closed || @database.closed?
    end

    def inspect
      "#<#{self.class} of #{Postgres.shown(@database.path)}#{" (closed)" if closed?}>"
    end

    private

    def handle(function, *args)
      out = FFI::MemoryPointer.new(:uint64)
      @database.call(function, *args, out)
      out.read_uint64
    end

    def consumer
      @state.consumer
    end

    def closed_error
      return @database.closed_error if @database.closed?

      ClosedError.new("this #{self.class} has been closed")
    end

    # A call of the library's that looks whether there is something, without waiting: true if there is.
    def found?(status)
      raise closed_error if status == Native::CLOSED

      status == Native::OK
    end

    # Calls the block until it finds something, and in between waits; nil if the time is over or somebody woke it. `stop` is
    # looked at every `stop_check_s`.
    def await(timeout, stop: nil, stop_check_s: STOP_CHECK_S)
      timeout = Value.timeout(timeout)
      deadline = timeout && (now + timeout)
      use do
        interrupts = @database.interrupts
        loop do
          return if stop&.call

          @place.signalled = false
          found = yield
          return found if found

          check(interrupts)
          return if @place.take_wake || (deadline && now >= deadline)
          return if rest(deadline, stop, stop_check_s) == :stop
        end
      end
    end

    # Waits for the next look.
    def rest(deadline, stop, stop_check_s = STOP_CHECK_S)
      loop do
        check_at = stop && (now + stop_check_s)
        @dispatcher.wait(@place, [deadline, check_at].compact.min) { |*failure| @database.fail_with(*failure) }
        return if @place.signalled? || closed?
        return :stop if stop&.call
        return if deadline && now >= deadline
      end
    end

    # Does what loops do: again and again while an error passes by itself. nil when it is to stop; but the error if `give_up`
    # says so.
    def despite_trouble(log, who, stop, give_up = nil)
      interrupts = @database.interrupts
      trouble = Trouble.new(log, who)
      begin
        yield.tap { trouble.over }
      rescue Error => e
        raise if !e.transient? || give_up&.call

        latest = now + trouble.met(e)
        until now >= latest
          return if stop&.call
          raise if give_up&.call

          sleep [STOP_CHECK_S, latest - now].min.clamp(0, nil)
          check(interrupts)
        end
        retry
      end
    end

    def check(interrupts)
      raise closed_error if closed?
      raise InterruptedError, "ended by interrupt" if interrupts != @database.interrupts
    end

    # One at a time: a second one would take the wakes of the first.
    def use
      mine = false
      @database.check_pid
      @database.synchronize do
        raise closed_error if closed?
        raise MisuseError, "another thread or fiber uses this #{self.class}" if @state.busy

        @state.busy = mine = true
      end
      yield
    rescue MisuseError
      raise closed_error if closed?

      raise
    ensure
      if mine
        @database.synchronize do
          @state.busy = false
          @state.release if closed?
        end
      end
    end
  end

  # What gives one after the other.
  module Each
    include Enumerable

    # Everything that comes, until {Waiter#wake} is called.
    def each
      return enum_for(:each) unless block_given?

      while (one = self.next)
        yield one
      end
    end

    # @private
    # With the block, for as long as that goes on; without one it is to be closed.
    def given_to(&block)
      return self unless block

      begin
        each(&block)
      ensure
        close
      end
    end
  end

  # Waits for commits to the file, by anyone in any process; made by {Database#updates}.
  class Updates < Waiter
    # @private
    def initialize(database)
      super(database, :honker_updates_free) { |*at| [:honker_updates_new, database.handle, *at] }
    end

    # Waits until something was committed, which may have been since the last time. It is a hint: there may be nothing new to
    # see.
    #
    # @param timeout [Numeric, nil] seconds; nil without end
    # @return [Boolean] false if the time is over, or {#wake} was called
    def next(timeout: nil)
      await(timeout) do
        # The library counts the commits that the waiter has taken.
        @dispatcher.look { |*failure| @database.fail_with(*failure) }
        found?(@database.call(:honker_updates_next, consumer, 0))
      end || false
    end
  end

  # A `stop` of the user's: callable, or answering `stop?`.
  # @private
  module Stop
    module_function

    def callable(stop)
      return stop if stop.nil? || stop.respond_to?(:call)
      return stop.method(:stop?) if stop.respond_to?(:stop?)

      raise ArgumentError, "stop has to answer call or stop?"
    end
  end
  private_constant :Stop
end
