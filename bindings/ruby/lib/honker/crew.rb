# frozen_string_literal: true

module Honker
  # What becomes of a job; `status` is what the library has said of it, negative while it is not committed. Nothing here is for
  # users.
  # @private
  Settlement = Struct.new(:job, :kind, :delay_s, :error, :status) do
    # Of what a handler raised; nil if it returned.
    def self.of(job, error, retry_delay_s)
      case error
      when nil then new(job, Native::SETTLE_ACK, 0)
      when Snooze then new(job, Native::SETTLE_SNOOZE, Value.delay(error.delay_s, "delay_s"))
      when Cancelled then job.cancelled? ? released(job) : retried(job, Handler.message(error), retry_delay_s)
      when Retry then retried(job, Handler.message(error), error.delay_s || retry_delay_s)
      when Discard, ->(_) { job.final? } then new(job, Native::SETTLE_FAIL, 0, Handler.message(error))
      else retried(job, Handler.message(error), retry_delay_s)
      end
    rescue TypeError, RangeError => e # a delay that is none
      retried(job, "#{Handler.message(error)} (retried by the worker's backoff: #{e.message})", nil)
    end

    def self.released(job)
      new(job, Native::SETTLE_RELEASE, 0)
    end

    # `delay_s` is nil for the worker's backoff.
    def self.retried(job, text, delay_s)
      new(job, Native::SETTLE_RETRY, delay_s ? Value.delay(delay_s, "delay_s") : Native::NO_TIME, text)
    end

    # Without a worker, for tests: by itself, and by the default backoff.
    def apply
      case kind
      when Native::SETTLE_ACK then job.ack
      when Native::SETTLE_FAIL then job.fail(error: error)
      when Native::SETTLE_RETRY then job.retry(delay_s: by_backoff? ? Worker.backoff_s(job) : delay_s, error: error)
      else job.snooze(delay_s)
      end
    end

    def by_backoff?
      delay_s == Native::NO_TIME
    end

    # What is counted when this is committed.
    def becomes
      return :dead if dead?

      { Native::SETTLE_ACK => :done, Native::SETTLE_SNOOZE => :snoozed, Native::SETTLE_RETRY => :retried,
        Native::SETTLE_RELEASE => :released }.fetch(kind)
    end

    # Whether the job is dead when this is committed.
    def dead?
      kind == Native::SETTLE_FAIL || (kind == Native::SETTLE_RETRY && job.final?)
    end
  end
  private_constant :Settlement

  # The jobs that {Worker#run} has in hand, and the threads in which their handlers run. A thread is made when there is a job
  # for it, and stays. Nothing here is for users.
  #
  # Used by the thread of `run`, but for {#serve}. A job's slot is taken until its handler has returned, also if the job was
  # lost or given back before. No handler is ended from outside: it is told by {ClaimedJob#cancelled?}.
  # @private
  class Crew
    # @return [Exception, nil] what a handler raised to leave
    attr_reader :leaving
    # @return [Integer] how many handlers have not returned
    attr_reader :busy

    # `handler` is called with each job. The block is called, in the handler's thread, with its job, what it raised and the
    # settlement; `returned` when that can be taken.
    def initialize(size, retry_delay_s, handler, returned, &report)
      @size = size
      @retry_delay_s = retry_delay_s
      @handler = handler
      @returned = returned
      @report = report
      @running = {}
      @threads = {}
      @given = Thread::Queue.new
      @results = Thread::Queue.new
      @busy = 0
      @pid = Process.pid
    end

    def free
      @size - @busy
    end

    # How many threads have nothing to do.
    def waiting
      @threads.size - @busy
    end

    def idle?
      @running.empty?
    end

    # Starts jobs: those for which the system has no thread are given back as settlements, with its error.
    def start(jobs)
      jobs.each { |job| @running[job.serial] = job } # all of them are in hand, whatever happens to the first
      until jobs.empty?
        @threads[Thread.new { serve }] = true if @threads.size <= @busy
        @busy += 1
        @given << jobs.shift
      end
      nil
    rescue ThreadError => e
      jobs.each { |job| @running.delete(job.serial) }
      [jobs.map { |job| Settlement.released(job) }, e]
    end

    # A job of this serial is the worker's no more; the job, if it is still handled.
    def lost(serial, reason)
      @running[serial]&.tap { |job| job.cancel(reason) }
    end

    # What the handlers that have returned say of their jobs, unless those were given back already.
    def take
      settlements = []
      until @results.empty?
        job, settlement, leaving = @results.pop
        @busy -= 1
        @leaving ||= leaving
        next unless @running[job.serial].equal?(job) # given back; or of a file that was replaced

        @running.delete(job.serial)
        settlements << settlement if settlement
      end
      settlements
    end

    def stop
      @running.each_value(&:stop)
    end

    def cancel(reason)
      @running.each_value { |job| job.cancel(reason) }
    end

    # Gives up all that still runs; as settlements that give it back.
    def release
      given_up, @running = @running, {}
      given_up.values.map { |job| Settlement.released(job) }
    end

    # The threads end with the handlers that run.
    def close
      cancel(:stop)
      @given.close
    end

    private

    def serve
      while !forked? && (job = @given.pop)
        settlement = leaving = nil
        begin
          settlement = settle(job)
        rescue Exception => e # rubocop:disable Lint/RescueException -- it is raised in the thread of run
          raise if forked?

          leaving = e
        ensure
          returned(job, settlement, leaving) unless forked?
        end
      end
    end

    def returned(job, settlement, leaving)
      if settlement.nil? && leaving.nil?
        @threads.delete(Thread.current)
        settlement = Settlement.retried(job, "the handler has ended its thread", @retry_delay_s)
      end
      @results << [job, settlement, leaving]
      @returned.call
    end

    # Whether this is a child that the handler has made, which ends as it likes.
    def forked?
      Process.pid != @pid
    end

    def settle(job)
      error = error_of(job)
      settlement = Settlement.of(job, error, @retry_delay_s)
      Handler.error { @report.call(job, error, settlement) } unless error.nil? || error.is_a?(Snooze) || job.cancelled?
      settlement
    end

    # What its handler raised. Also what is no StandardError, since this thread is the worker's: an assertion of a test
    # framework, for instance. Who exits wants to leave.
    def error_of(job)
      Hooks.around(Hooks.around_job, job) { @handler.call(job) }
      nil
    rescue SystemExit, SignalException
      raise
    rescue Exception => e # rubocop:disable Lint/RescueException
      forked? ? raise : e
    end
  end
  private_constant :Crew
end
