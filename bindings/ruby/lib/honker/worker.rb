# frozen_string_literal: true

module Honker
  # Claims jobs of one queue, or waits for them; made by {Queue#worker}. It sleeps until something is committed, a delayed job
  # becomes due or a claim lapses, and looks every five seconds in any case.
  class Worker < Waiter
    # @return [String]
    attr_reader :worker_id

    # @private
    def initialize(queue, worker_id)
      @queue = queue
      @worker_id = Value.utf8(worker_id, "worker")
      super(queue.database, :honker_worker_free) do |waiter|
        name, place = Value.bytes(queue.name, "name")
        opts = Native::WORKER_OPTS.pack(queue.visibility_timeout_s, (WORKER_FALLBACK_S * 1000).to_i, Native::NO_TIME, 15, 3600,
                                        2.0, 0.1, 0, 0)
        [:honker_worker_new, queue.database.handle, waiter, 0, Native::WORKER_QUEUE.pack(*place, 1, -1), 1,
         *Value.text(@worker_id, "worker"), opts].tap { @name = name }
      end
    end

    # The next job, or nil if the time is over or {#wake} was called.
    #
    # @param timeout [Numeric, nil] seconds; nil without end, 0 not at all
    # @return [Job, nil]
    def next(timeout: nil)
      next_batch(1, timeout: timeout).first
    end

    # Up to `count` jobs, claimed in one commit, as soon as there is one.
    #
    # @return [Array<Job>] empty if the time is over, or {#wake} was called, or `count` is not positive
    def next_batch(count, timeout: nil)
      count = Value.integer(count, "count")
      return [] unless count.positive?

      await(timeout) { claim(count, nil) } || []
    end

    # Handles jobs, one after the other. When the block returns the job is done, and acked in the commit that claims the next;
    # when it raises the job is retried in `retry_delay_s` seconds with the error's text. The block may settle the job itself,
    # and has to prolong a claim that would lapse. What is raised to leave, as SystemExit and Interrupt are, ends it.
    #
    # Ends when `stop`, callable or answering `stop?`, says so, which is asked every 100 ms and after {#wake}; the job in hand
    # is settled first. While somebody else keeps the file locked it tries again. Any other error of the database ends it, and
    # leaves the job in hand to the end of its time, as a crash does.
    def run(stop: nil, retry_delay_s: 60, &block)
      stop = Stop.callable(stop)
      retry_delay_s = Value.integer(retry_delay_s, "retry_delay_s")
      settled = nil
      loop do
        job = turn(settled, stop)
        return if job.nil? && stop&.call

        settled = job && handle_job(job, retry_delay_s, &block)
      end
    end

    # @private
    def next_unless(stop, timeout)
      stop = Stop.callable(stop)
      timeout = Value.timeout(timeout)
      deadline = timeout && (now + timeout)
      late = deadline && -> { now >= deadline }
      despite_locks(stop, late) { await(deadline && [deadline - now, 0].max, stop: stop) { claim(1, nil) } }&.first
    end

    private

    # What is to be settled then.
    def handle_job(job, retry_delay_s)
      error = Handler.error { yield job }
      return [Native::SETTLE_ACK, job, 0, nil] if error.nil?

      [Native::SETTLE_RETRY, job, retry_delay_s, Handler.message(error)]
    end

    # Settles, and claims the next in the same commit, or waits for it. Nothing is claimed when it is to stop.
    def turn(settled, stop)
      # Until it has settled it does not stop, unless it cannot.
      despite_locks(stop, -> { settled && stop&.call }) do
        if settled && stop&.call
          use { claim(0, settled) }
          return nil
        end

        found = await(nil, stop: stop && -> { settled.nil? && stop.call }) do
          jobs = claim(1, settled)
          settled = nil
          jobs
        end
        found&.first
      end
    end

    def claim(count, settled)
      memory, kept = settlement(settled)
      @database.owned(:honker_worker_settle_next, :honker_jobs_free, consumer, memory, memory ? 1 : 0, count, 0) do |jobs, status|
        # Only jobs that were lost, which nobody asked for, are nothing.
        found?(status) && jobs ? @queue.read_jobs(jobs, @worker_id, count).then { |found| found unless found.empty? } : nil
      end
    ensure
      kept&.free
    end

    def settlement(settled)
      return if settled.nil?

      kind, job, delay_s, error = settled
      kept, place = Value.bytes(error, "error")
      packed = Native::SETTLEMENT.pack(kind, 0, job.id, job.serial, delay_s, *place)
      [FFI::MemoryPointer.new(:char, packed.bytesize).put_bytes(0, packed), kept]
    end
  end
end
