# frozen_string_literal: true

module Honker
  # The jobs that {Worker#run} has in hand, and the threads in which their handlers run. A thread is made when there is a job
  # for it, and stays. Nothing here is for users.
  #
  # Used by the thread of `run`, but for {#serve}. A job's slot is taken until its handler has returned, also if the job was
  # lost before. No handler is ended from outside: it is told by {Job#cancelled?}.
  # @private
  class Crew
    # What becomes of a job.
    Settlement = Struct.new(:job, :kind, :delay_s, :error)

    # @return [Exception, nil] what a handler raised to leave
    attr_reader :leaving

    # `finished` is called, in the handler's thread, when there is something to be taken.
    def initialize(size, retry_delay_s, handler, report, finished)
      @size = size
      @retry_delay_s = retry_delay_s
      @handler = handler
      @report = report
      @finished = finished
      @running = {}
      @threads = {}
      @given = Thread::Queue.new
      @returned = Thread::Queue.new
    end

    def free
      @size - @running.size
    end

    def idle?
      @running.empty?
    end

    def start(job)
      @running[job.serial] = job
      @threads[Thread.new { serve }] = true if @threads.size < @running.size
      @given << job
    end

    # A job of this serial is the worker's no more.
    def lost(serial)
      @running[serial]&.cancel
    end

    # What the handlers that have returned say of their jobs, unless those were given back already.
    def take
      settlements = []
      until @returned.empty?
        job, settlement, leaving = @returned.pop
        @leaving ||= leaving
        settlements << settlement if @running.delete(job.serial) && settlement
      end
      settlements
    end

    def cancel
      @running.each_value(&:cancel)
    end

    # Gives up all that still runs: it is to be given back.
    def release
      given_up, @running = @running, {}
      given_up.values.map { |job| Settlement.new(job, Native::SETTLE_RELEASE, 0, nil) }
    end

    # The threads end with the handlers that run.
    def close
      cancel
      @given.close
    end

    private

    def serve
      while (job = @given.pop)
        settlement = leaving = nil
        begin
          settlement = settle(job)
        rescue Exception => e # rubocop:disable Lint/RescueException -- it is raised in the thread of run
          leaving = e
        ensure
          if settlement.nil? && leaving.nil?
            @threads.delete(Thread.current)
            settlement = Settlement.new(job, Native::SETTLE_RETRY, @retry_delay_s, "the handler has ended its thread")
          end
          @returned << [job, settlement, leaving]
          @finished.call
        end
      end
    end

    def settle(job)
      error = Handler.error { @handler.call(job) }
      return Settlement.new(job, Native::SETTLE_ACK, 0, nil) if error.nil?

      Handler.error { @report.call(job, error) } unless error.is_a?(Snooze) || error.is_a?(Cancelled)
      text = Handler.message(error)
      case error
      when Discard then Settlement.new(job, Native::SETTLE_FAIL, 0, text)
      when Snooze then Settlement.new(job, Native::SETTLE_SNOOZE, error.delay_s, nil)
      when Cancelled then Settlement.new(job, Native::SETTLE_RELEASE, 0, nil)
      when Retry then Settlement.new(job, Native::SETTLE_RETRY, error.delay_s || @retry_delay_s, text)
      else Settlement.new(job, Native::SETTLE_RETRY, @retry_delay_s, text)
      end
    end
  end
  private_constant :Crew
end
