# frozen_string_literal: true

module Honker
  # Claims jobs of its queues, or waits for them; made by {Database#worker} and {Queue#worker}. It sleeps until something is
  # committed, a delayed job becomes due or a claim lapses, and looks every five seconds in any case.
  #
  # {#run} is for most: it handles jobs side by side and settles them. Who claims with {#next} has to settle each job, and to
  # prolong a claim that would lapse.
  class Worker < Waiter
    # For how long handlers may take to notice that they are cancelled.
    GRACE_S = 1.0
    # How many lost jobs are read with one call, and where in a view their serial is.
    LOST_ROOM = 16
    SERIAL = Native::LOST_JOB_VIEW.fields.keys.index(:serial)
    private_constant :GRACE_S, :LOST_ROOM, :SERIAL

    # @return [String]
    attr_reader :worker_id

    # @private
    def initialize(database, queues, worker_id, concurrency: 1, visibility_timeout_s: 300, max_run_s: nil, retry_base_s: 15,
                   retry_max_s: 3600, retry_factor: 2.0, retry_jitter: 0.1, logger: nil)
      @worker_id = Value.utf8(worker_id, "worker")
      @concurrency = Value.integer(concurrency, "concurrency")
      raise ArgumentError, "concurrency has to be positive: #{concurrency}" unless @concurrency.positive?

      @logger = logger
      @queues = {}
      weights = Worker.weights(queues).map do |queue, weight|
        queue = database.queue(queue, visibility_timeout_s: visibility_timeout_s) unless queue.is_a?(Queue)
        @queues[queue.name] = queue
        [queue.name, Value.integer(weight, "weight")]
      end
      options = [Value.integer(visibility_timeout_s, "visibility_timeout_s"), WORKER_FALLBACK_MS,
                 Value.optional_integer(max_run_s, "max_run_s"), Value.integer(retry_base_s, "retry_base_s"),
                 Value.integer(retry_max_s, "retry_max_s"), Float(retry_factor), Float(retry_jitter)]
      @new = [weights, options]
      super(database, :honker_worker_free) { native(false) }
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

      await(timeout) { claim(count) } || []
    end

    # Handles jobs, as many side by side as the worker's `concurrency` says, each in a thread of the worker's. When the block
    # returns the job is done. When it raises the job is retried, in `retry_delay_s` seconds or by the worker's backoff, with
    # the error's text; {Retry}, {Discard} and {Snooze} say otherwise. The block may settle the job itself. What is finished
    # is settled, and what there is room for claimed, in one commit, which also prolongs the claims of the jobs in hand.
    #
    # A job that was lost, because somebody cancelled it or it ran for longer than `max_run_s`, is `cancelled?`, and its
    # {Job#check} raises: its handler should end. No handler is ended from outside, and its place stays taken until it returns.
    #
    # Ends when `stop`, callable or answering `stop?`, says so, which is asked every 100 ms and after {#wake}: no job is
    # claimed any more, those in hand have `shutdown_timeout_s` seconds, are then cancelled, and given back a second later. Any
    # exception that ends this call cancels them and gives them back at once. What is raised in the block to leave, as
    # SystemExit is, ends it as well; that job stays claimed to the end of its time, as after a crash.
    #
    # While somebody else keeps the file locked it says so once, on the `logger` or standard error, and tries again. Any other
    # error of the database ends it.
    #
    # @param shutdown_timeout_s [Numeric, nil] nil without end
    def run(stop: nil, retry_delay_s: nil, shutdown_timeout_s: 30, &block)
      raise ArgumentError, "run needs a block" unless block

      stop = Stop.callable(stop)
      limit_s = Value.timeout(shutdown_timeout_s, "shutdown_timeout_s")
      crew = Crew.new(@concurrency, Value.optional_integer(retry_delay_s, "retry_delay_s"), block, method(:failed),
                      @state.method(:wake))
      use { keep_claims && work(crew, stop, limit_s) }
      nil
    ensure
      crew&.close
    end

    # @private
    def next_unless(stop, timeout)
      stop = Stop.callable(stop)
      timeout = Value.timeout(timeout)
      deadline = timeout && (now + timeout)
      late = deadline && -> { now >= deadline }
      despite_locks(stop, late) { await(deadline && [deadline - now, 0].max, stop: stop) { claim(1) } }&.first
    end

    private

    # The call that makes the native part, and its arguments.
    def native(heartbeat)
      weights, options = @new
      @kept = []
      queues = weights.map do |name, weight|
        memory, place = Value.bytes(name, "name")
        @kept << memory
        Native::WORKER_QUEUE.pack(*place, weight, -1)
      end
      [:honker_worker_new, @database.handle, @dispatcher.waiter, @place.token, queues.join, queues.size,
       *Value.text(@worker_id, "worker"), Native::WORKER_OPTS.pack(*options, heartbeat ? 1 : 0, 0)]
    end

    # Who runs jobs keeps their claims. Who only asks for them may forget one.
    def keep_claims
      return true if @keeps_claims

      @state.replace(handle(*native(true)))
      @keeps_claims = true
    end

    def claim(count)
      loop do
        jobs = settle_next([], count) { nil }
        # Only jobs that were lost, which nobody asked for, are nothing.
        return jobs unless jobs&.empty?
      end
    end

    # The loop of {#run}: running, then stopping, then cancelled. `finished` is what has to be settled.
    def work(crew, stop, limit_s)
      interrupts = @database.interrupts
      finished = []
      phase = :running
      deadline = nil
      loop do
        @place.signalled = false
        finished.concat(crew.take)
        raise crew.leaving if crew.leaving

        phase, deadline = :stopping, limit_s && (now + limit_s) if phase == :running && stop&.call
        if deadline && now >= deadline
          raise @locked if phase == :released && @locked

          phase, deadline = phase == :stopping ? [:cancelled, now + GRACE_S] : [:released, now + GRACE_S]
          phase == :cancelled ? crew.cancel : finished.concat(crew.release)
        end
        return if phase != :running && finished.empty? && crew.idle?

        found = turn(crew, finished, phase == :running ? crew.free : 0)
        check(interrupts)
        rest([deadline, @again_at].compact.min, phase == :running ? stop : nil) unless found
        @place.take_wake
      end
    ensure
      give_back(crew, finished) if finished
    end

    # Settles and claims: whether there may be more.
    def turn(crew, finished, count)
      settles = !finished.empty?
      jobs = settle_next(finished, count) { |serial| crew.lost(serial) }
      @locked = @again_at = @pause = nil
      jobs&.each { |job| crew.start(job) }
      settles || !jobs.nil?
    rescue Error => e
      raise unless e.transient?

      say(:warn, "#{@worker_id} waits and tries again: #{e.message}") unless @locked
      @locked = e
      @pause = [(@pause || (LOCKED_PAUSE_MIN_S / 2)) * 2, LOCKED_PAUSE_MAX_S].min
      @again_at = now + @pause
      false
    end

    # One commit: settles what is finished, which is taken from `finished`, claims up to `count`, and yields the serials of
    # what was lost. The jobs; nil if there is nothing.
    def settle_next(finished, count, &block)
      memory, kept = settlements(finished)
      @database.owned(:honker_worker_settle_next, :honker_jobs_free, consumer, memory, finished.size, count, 0) do |jobs, status|
        next unless found?(status) && jobs

        lost(jobs, &block)
        @queues.each_value.first.read_jobs(jobs, @worker_id, count, @queues)
      end
    ensure
      if memory
        finished.reject!.with_index { |_, i| memory.get_int32((i * Native::SETTLEMENT.size) + 4) >= 0 }
        kept.clear # until here the library read it
      end
    end

    # Memory with settlements, none of which is committed, and what has to be kept until the call is over.
    def settlements(finished)
      return if finished.empty?

      kept = []
      packed = finished.map do |one|
        text, place = Value.bytes(one.error, "error")
        kept << text
        Native::SETTLEMENT.pack(one.kind, Native::BUSY, one.job.id, one.job.serial, one.delay_s, *place)
      end.join
      [FFI::MemoryPointer.new(:char, packed.bytesize).put_bytes(0, packed), kept]
    end

    def lost(jobs)
      first = 0
      views = Native::LOST_JOB_VIEW.view(LOST_ROOM)
      read = FFI::MemoryPointer.new(:size_t)
      loop do
        @database.call(:honker_jobs_lost, jobs, first, views, LOST_ROOM, read)
        count = read.read_uint64
        count.times { |i| yield Native::LOST_JOB_VIEW.read(views + (i * Native::LOST_JOB_VIEW.size))[SERIAL] }
        first += count
        return if count < LOST_ROOM
      end
    end

    # When {#run} is left otherwise than by its `stop`. One try: whoever ends it shall not wait for a lock.
    def give_back(crew, finished)
      crew.cancel
      finished.concat(crew.take, crew.release)
      return if finished.empty? || consumer.zero?

      memory, kept = settlements(finished)
      jobs = FFI::MemoryPointer.new(:uint64)
      Native.honker_worker_settle_next(consumer, memory, finished.size, 0, 0, jobs, nil)
      Native.honker_jobs_free(jobs.read_uint64) unless jobs.read_uint64.zero?
      kept.clear
    end

    def failed(job, error)
      return if @logger.nil?

      say(:error, "job #{job.id} of #{job.queue_name} failed, attempt #{job.attempts}: #{Handler.report(error)}")
    end

    def say(level, text)
      @logger ? @logger.public_send(level, "honker: #{text}") : Kernel.warn("honker: #{text}")
    end
  end
end
