# frozen_string_literal: true

module Honker
  # Claims jobs of its queues, or waits for them; made by {Database#worker} and {Queue#worker}. It sleeps until something is
  # committed, a delayed job becomes due or a claim lapses, and looks every five seconds in any case.
  #
  # {#run} is for most: it handles jobs side by side and settles them. Who claims with {#next} has to settle each job, and to
  # extend a claim that would lapse.
  class Worker < Waiter
    OPTIONS = { concurrency: 1, visibility_timeout_s: 300, max_run_s: nil, retry_base_s: 15, retry_max_s: 3600, retry_factor: 2.0,
                retry_jitter: 0.1, logger: nil }.freeze
    # How many lost jobs are read with one call, and why they are.
    LOST_ROOM = 16
    LOST = { Native::LOST_GONE => :gone, Native::LOST_LAPSED => :lapsed, Native::LOST_TAKEN => :taken,
             Native::LOST_TIMEOUT => :timeout }.freeze
    STATUS_AT = 4
    private_constant :OPTIONS, :LOST_ROOM, :LOST, :STATUS_AT

    # @return [String] its name. In {#run} it claims as `<name>@<instance>`, 32 hexadecimal digits by which others know its
    #   process: they have its jobs as soon as that is dead ({ClaimedJob#worker_id})
    attr_reader :worker_id
    # @private
    attr_reader :concurrency, :database

    # @private
    def initialize(database, queues, worker_id, **options)
      @options = Worker.options(options)
      @worker_id = Value.utf8(worker_id, "worker")
      @concurrency = @options[:concurrency]
      @shares = Worker.weights(queues).to_h do |queue, share|
        queue = database.queue(queue, visibility_timeout_s: @options[:visibility_timeout_s]) unless queue.is_a?(Queue)
        [queue, Worker.share(**share.is_a?(Hash) ? share : { weight: share })]
      end
      @queues = @shares.keys.to_h { |queue| [queue.name, queue] }
      super(database, :honker_worker_free) { native(false) }
    end

    # @private
    # With what is left out.
    def self.options(given)
      unknown = given.keys - OPTIONS.keys
      raise ArgumentError, "unknown keywords: #{unknown.join(", ")}" unless unknown.empty?

      OPTIONS.merge(given, concurrency: Value.positive(given.fetch(:concurrency, 1), "concurrency"))
    end

    # @private
    # One that no other worker has.
    def self.some_name
      "#{Process.pid}-#{SecureRandom.hex(8)}"
    end

    # @private
    # Queues, or their names, with what stands beside them in a Hash.
    def self.weights(queues)
      case queues
      when Hash then queues
      when Array then queues.map { |queue| [queue, 1] }
      else [[queues, 1]]
      end
    end

    # @private
    # How often a queue is asked first, and how many of its jobs may be in hand; nil for as many as the worker takes.
    def self.share(weight: 1, max_in_hand: nil)
      { weight: Value.integer(weight, "weight"), max_in_hand: max_in_hand && Value.positive(max_in_hand, "max_in_hand") }
    end

    # The next job, or nil if the time is over or {#wake} was called.
    #
    # @param timeout [Numeric, nil] seconds; nil without end, 0 not at all
    # @return [ClaimedJob, nil]
    def next(timeout: nil)
      next_batch(1, timeout: timeout).first
    end

    # Up to `count` jobs, claimed in one commit, as soon as there is one.
    #
    # @return [Array<ClaimedJob>] empty if the time is over, or {#wake} was called, or `count` is not positive
    def next_batch(count, timeout: nil)
      count = Value.integer(count, "count")
      return [] unless count.positive?

      await(timeout) { claim(count) } || []
    end

    # Handles jobs, as many side by side as the worker's `concurrency` says, each in a thread of the worker's: with the block,
    # or as their class says ({Job}). When that returns the job is done. When it raises the job is retried, in `retry_delay_s`
    # seconds or by the worker's backoff, with the error's text; {Retry}, {Discard} and {Snooze} say otherwise. The block may
    # settle the job itself. What is finished is settled, and what there is room for claimed, in one commit, which also
    # extends the claims of the jobs in hand.
    #
    # A job that was lost, because somebody cancelled it or it ran for longer than `max_run_s`, is `cancelled?`, and its
    # {ClaimedJob#check!} raises: its handler should end. No handler is ended from outside, and its place stays taken until it
    # returns.
    #
    # Ends on SIGTERM and SIGINT, and when `stop`, callable or answering `stop?`, says so, which is asked every 100 ms and after
    # {#wake}: no job is claimed any more, those in hand have `stop_timeout_s` seconds, are then cancelled, and given back 1.5
    # seconds later. A second signal gives them back at once. How many jobs were done, snoozed, retried, dead and released, and
    # how many are still running, is logged. Any exception that ends this call cancels the jobs in hand and gives them back at
    # once. What is raised in the block to leave, as SystemExit is, ends it as well; that job stays claimed to the end of its
    # time, as after a crash.
    #
    # A file that is locked, a full disk and other errors that pass by themselves ({Error#transient?}) are logged once and
    # waited out. A file that was replaced is opened anew, as a {Database} of the worker's own with the same options, once it is
    # there; what it had in hand of the old one is cancelled. Any other error of the database ends it.
    #
    # @param schedules [Array<Hash>, nil] what {Scheduler#add} is called with when it begins. They, and those that are in the
    #   file already, are fired while it runs, as {Scheduler#run} does; an empty Array is for the latter alone, nil for none
    # @param signals [Boolean, nil] whether SIGTERM and SIGINT are trapped while it runs, beside the program's own traps; nil
    #   for: if this is the main thread
    # @param stop_timeout_s [Numeric, nil] nil without end
    # @raise [UnfinishedError] if handlers have not returned when it ends
    def run(stop: nil, signals: nil, retry_delay_s: nil, stop_timeout_s: 8, schedules: nil, &block)
      Run.new(self, @database.method(:again), method(:on), block || Job.method(:perform), @worker_id, @concurrency, log,
              stop: stop, signals: signals, retry_delay_s: retry_delay_s, stop_timeout_s: stop_timeout_s,
              schedules: schedules).call
      nil
    end

    # @private
    # The same for another database.
    def on(database)
      Worker.new(database, @shares.transform_keys { |queue| queue.on(database) }, @worker_id, **@options)
    end

    # @private
    # Yields, as the one who uses it.
    def hold(&block)
      use(&block)
    end

    # @private
    # For who runs jobs. Who only asks for them may forget one.
    def keep_claims
      @state.replace(handle(*native(true))) unless @keeps_claims
      @keeps_claims = true
    end

    # @private
    # What is signalled from here on ends the next rest.
    def expect_signals
      @place.signalled = false
    end

    # @private
    # One commit: settles, claims up to `count`, and yields the serials of what was lost, with the reason. The jobs, nil if there
    # is nothing; the error of what was refused; and whether the library rests, after nothing or all that it was asked for, and
    # need not be asked again before it says so. Each settlement has its status afterwards.
    def turn(settlements, count, &block)
      memory, kept = pack(settlements)
      out = FFI::MemoryPointer.new(:uint64)
      refusal = nil
      status = @database.call(:honker_worker_settle_next, consumer, memory, settlements.size, count, 0, out) { |e| refusal = e }
      return [nil, refusal, refusal.nil?] unless found?(status) && !out.read_uint64.zero?

      told = lost(out.read_uint64, &block)
      jobs = @queues.each_value.first.read_jobs(out.read_uint64, nil, count, @queues)
      [jobs, refusal, count.positive? && jobs.size == count && told.zero? && refusal.nil?]
    ensure
      Native.honker_jobs_free(out.read_uint64) unless out.nil? || out.read_uint64.zero?
      read_statuses(memory, settlements)
      kept&.clear # until here the library read it
    end

    # @private
    # One try to settle, without an error and without waiting for a lock.
    def settle(settlements)
      return if consumer.zero?

      memory, kept = pack(settlements)
      jobs = FFI::MemoryPointer.new(:uint64)
      Native.honker_worker_settle_next(consumer, memory, settlements.size, 0, 0, jobs, nil)
      Native.honker_jobs_free(jobs.read_uint64) unless jobs.read_uint64.zero?
      read_statuses(memory, settlements)
      kept.clear
    end

    # @private
    # Its claim is left to lapse.
    def put_down(job)
      @database.call(:honker_worker_settled, consumer, job.id, job.serial)
    end

    # @private
    # Waits until there may be something to be claimed or told, or somebody wakes it.
    def rest_until(deadline, stop)
      rest(deadline, stop)
      @place.take_wake
    end

    # @private
    # Ends that, also in a signal trap.
    def nudge
      @state.wake
    end

    # @private
    # After how many seconds a job is tried again, without the jitter.
    def backoff_s(job)
      Worker.backoff_s(job, **@options)
    end

    # @private
    # As its queue is set, or else by the options of a worker.
    def self.backoff_s(job, retry_base_s: 15, retry_factor: 2.0, retry_max_s: 3600, **)
      set = job.database.queue(job.queue_name).settings[:retry]
      retry_base_s, retry_factor, retry_max_s = set.values_at(:base_s, :factor, :max_s) if set
      [retry_base_s * (retry_factor**(job.attempts - 1)), retry_max_s].min.round
    end

    # @private
    def next_unless(stop, timeout)
      stop = Stop.callable(stop)
      timeout = Value.timeout(timeout)
      deadline = timeout && (now + timeout)
      late = deadline && -> { now >= deadline }
      despite_trouble(log, @worker_id, stop, late) do
        await(deadline && [deadline - now, 0].max, stop: stop) { claim(1) }
      end&.first
    end

    private

    def log
      Log.new(@options[:logger])
    end

    # The call that makes the native part, and its arguments.
    def native(heartbeat)
      @kept = []
      queues = @shares.map do |queue, share|
        memory, place = Value.bytes(queue.name, "name")
        @kept << memory
        Native::WORKER_QUEUE.pack(*place, share[:weight], share[:max_in_hand] || -1)
      end
      [:honker_worker_new, @database.handle, @dispatcher.waiter, @place.token, queues.join, queues.size,
       *Value.text(@worker_id, "worker"), native_options(heartbeat)]
    end

    def native_options(heartbeat)
      seconds = ->(name) { Value.integer(@options[name], name) }
      Native::WORKER_OPTS.pack(seconds[:visibility_timeout_s], WORKER_FALLBACK_MS,
                               Value.optional_integer(@options[:max_run_s], "max_run_s"), seconds[:retry_base_s],
                               seconds[:retry_max_s], Float(@options[:retry_factor]), Float(@options[:retry_jitter]),
                               *[heartbeat ? 1 : 0] * 2)
    end

    def claim(count)
      loop do
        jobs, = turn([], count) { nil }
        # Only jobs that were lost, which nobody asked for, are nothing.
        return jobs unless jobs&.empty?
      end
    end

    # Memory with settlements, none of which is committed, and what has to be kept until the call is over.
    def pack(settlements)
      return if settlements.empty?

      kept = []
      packed = settlements.map do |one|
        text, place = Value.bytes(one.error, "error")
        kept << text
        Native::SETTLEMENT.pack(one.kind, Native::BUSY, one.job.id, one.job.serial, one.delay_s, *place)
      end.join
      [FFI::MemoryPointer.new(:char, packed.bytesize).put_bytes(0, packed), kept]
    end

    def read_statuses(memory, settlements)
      return if memory.nil?

      settlements.each_with_index { |one, i| one.status = memory.get_int32((i * Native::SETTLEMENT.size) + STATUS_AT) }
    end

    def lost(jobs)
      first = 0
      views = Native::LOST_JOB_VIEW.view(LOST_ROOM)
      read = FFI::MemoryPointer.new(:size_t)
      loop do
        @database.call(:honker_jobs_lost, jobs, first, views, LOST_ROOM, read)
        count = read.read_uint64
        count.times do |i|
          _, serial, reason = Native::LOST_JOB_VIEW.read(views + (i * Native::LOST_JOB_VIEW.size)).drop(2)
          yield serial, LOST.fetch(reason, :lost)
        end
        first += count
        return first if count < LOST_ROOM
      end
    end
  end
end
