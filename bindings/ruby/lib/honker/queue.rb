# frozen_string_literal: true

module Honker
  # A queue of jobs; made by {Database#queue}. Any number of threads may use it at the same time. Whatever takes a `tx` is
  # part of that transaction, and otherwise committed when it returns.
  class Queue
    # @return [String]
    attr_reader :name
    # @return [Integer] for how many seconds a claimed job is its worker's
    attr_reader :visibility_timeout_s
    # @return [Integer] how often a job may be claimed
    attr_reader :max_attempts
    # @private
    attr_reader :database

    # @private
    def initialize(database, name, visibility_timeout_s, max_attempts)
      @database = database
      @name = Value.utf8(name, "name")
      @visibility_timeout_s = Value.integer(visibility_timeout_s, "visibility_timeout_s")
      @max_attempts = Value.positive(max_attempts, "max_attempts")
      @target = Value.text(@name, "name").freeze
      @opts = EnqueueCall.options([], max_attempts: @max_attempts).freeze
    end

    MISSING = Object.new.freeze
    OPTIONS = %i[delay run_at priority expires max_attempts metadata].freeze
    private_constant :MISSING, :OPTIONS

    # @private
    # Ruby takes a Hash without braces for options.
    def self.missing(options)
      keys = options.keys - OPTIONS
      raise ArgumentError, "the payload is missing" if keys.empty?

      raise ArgumentError, "the payload needs braces: enqueue({ #{keys.map { |key| "#{key}: …" }.join(", ")} })"
    end

    # Adds a job.
    #
    # @param payload [Object] what JSON can write; a {RawText} is stored as it is
    # @param tx [Transaction, nil]
    # @param delay [Integer, nil] in how many seconds it becomes due
    # @param run_at [Integer, Time, nil] when it becomes due; not looked at if `delay` is given
    # @param priority [Integer] larger is sooner
    # @param expires [Integer, nil] after how many seconds from now it may not be claimed any more
    # @param max_attempts [Integer, nil] how often it may be claimed; nil for the queue's. With less than 1 it is never claimed,
    #   and dead as soon as somebody tries
    # @param metadata [Hash, nil] texts that come back with the job, at most 8 kB as JSON
    # @return [Integer, nil] its id; nil if a hook has held it back
    def enqueue(payload = MISSING, tx: nil, **options)
      Queue.missing(options) if MISSING.equal?(payload)
      return put(payload, tx, options) if Hooks.around_enqueue.empty?

      job = Enqueue.new(@name, payload, options)
      Hooks.around(Hooks.around_enqueue, job) { put(job.payload, tx, job.options, job.queue) }
    end

    # The same as `enqueue(payload, tx: tx)`.
    def enqueue_tx(tx, payload = MISSING, **options)
      enqueue(payload, tx: Transaction.required(tx), **options)
    end

    # Adds a job for each of the payloads, all or none, in one commit, with the same options. {Database#enqueue_many} has some
    # for each job.
    #
    # @param payloads [Array]
    # @return [Array<Integer, nil>] their ids, which increase; nil for a job that a hook has held back
    def enqueue_many(payloads, tx: nil, **options)
      jobs = payloads.map { |payload| { queue: self, payload: payload, **options } }
      @database.enqueue_many(jobs, tx: tx).map { |enqueued| enqueued&.id }
    end

    # Claims one job for `worker`, highest priority first, then oldest.
    #
    # @return [ClaimedJob, nil]
    def claim_one(worker)
      claim_batch(worker, 1).first
    end

    # Claims up to `count` jobs in one commit.
    #
    # @return [Array<ClaimedJob>]
    def claim_batch(worker, count)
      count = Value.integer(count, "count")
      return [] unless count.positive?

      worker = Value.utf8(worker, "worker")
      @database.owned(:honker_claim, :honker_jobs_free, @database.handle, 0, *@target, *Value.text(worker, "worker"),
                      count, @visibility_timeout_s) { |jobs, _| jobs ? read_jobs(jobs, worker, count) : [] }
    end

    # Claims jobs for `worker`, one after the other, and waits for them: with a block until that is left, without one as an
    # Enumerator. Each has to be settled; one that is not goes to the next worker when its time is over.
    #
    #     q.claim("worker-1") { |job| handle(job); job.ack }
    #
    # @param timeout [Numeric, nil] ends it when there was no job for so many seconds; nil never
    # @param stop [#call, #stop?, nil] ends it; asked every 100 ms, and before each job
    def claim(worker, timeout: nil, stop: nil)
      return enum_for(:claim, worker, timeout: timeout, stop: stop) unless block_given?

      waiter = self.worker(worker)
      while (job = waiter.next_unless(stop, timeout))
        yield job
      end
    ensure
      waiter&.close
    end

    # What handles jobs of this queue, or waits for them. To be closed. The name and the options are those of {Database#worker}.
    #
    # @return [Worker]
    def worker(worker = Worker.some_name, **options)
      Worker.new(@database, self, worker, visibility_timeout_s: @visibility_timeout_s, **options)
    end

    def inspect
      "#<#{self.class} #{@name.inspect} of #{@database.path}>"
    end

    # @private
    # The same queue of another database.
    def on(database)
      Queue.new(database, @name, @visibility_timeout_s, @max_attempts)
    end

    # Removes jobs that `worker` still holds, in one commit.
    #
    # @return [Integer] how many that were
    def ack_batch(ids, worker, tx: nil)
      raise TypeError, "ids has to be an Array, not #{ids.class}" unless ids.is_a?(Array)

      ids = ids.dup # another thread may change it
      @database.number(:honker_ack_batch, @database.handle, Transaction.handle(tx), Value.integers(ids, "id"), ids.size,
                       *Value.text(worker, "worker"))
    end

    # Removes a job, pending or claimed.
    #
    # @return [Boolean] false if there is no such job
    def cancel(id, tx: nil)
      @database.call?(:honker_cancel, @database.handle, Transaction.handle(tx), Value.integer(id, "id"))
    end

    # A job, pending or claimed, with the keys id, queue, payload, state, priority, run_at, worker_id, claim_expires_at,
    # attempts, max_attempts, created_at and expires_at.
    #
    # @return [Payload, nil]
    def get_job(id)
      @database.json(:honker_get_job, @database.handle, 0, Value.integer(id, "id"))
    end

    # Moves expired jobs that nobody holds to the dead.
    #
    # @return [Integer] how many that were
    def sweep_expired(tx: nil)
      @database.number(:honker_sweep_expired, @database.handle, Transaction.handle(tx), *@target)
    end

    # When, in Unix seconds, time alone makes a job claimable.
    #
    # @return [Integer, nil] nil if there is nothing to wait for
    def next_claim_at
      @database.number(:honker_queue_next_claim_at, @database.handle, 0, *@target)
    end

    # How many jobs there are, with the keys queue, pending, delayed, claimed, expired and dead. It reads them all.
    #
    # @return [Payload]
    def stats
      @database.json(:honker_queue_stats, @database.handle, 0, *@target)
    end

    # The dead, newest first, with the keys id, queue, payload, priority, run_at, attempts, max_attempts, last_error,
    # created_at and died_at.
    #
    # @param limit [Integer, nil] at most so many
    # @return [Array<Payload>]
    def dead(limit: nil)
      @database.json(:honker_dead_list, @database.handle, 0, *@target, Value.integer(limit || -1, "limit"))
    end

    # Makes a dead job live again: pending, due now, with no attempts used.
    #
    # @return [Boolean] false if there is no such dead job
    def requeue(id, tx: nil)
      @database.call?(:honker_dead_requeue, @database.handle, Transaction.handle(tx), Value.integer(id, "id"))
    end

    # Deletes the dead that died more than `older_than_s` seconds ago.
    #
    # @return [Integer] how many that were
    def purge_dead(older_than_s:, tx: nil)
      @database.number(:honker_dead_purge, @database.handle, Transaction.handle(tx), *@target,
                       Value.integer(older_than_s, "older_than_s"))
    end

    # How many jobs are read with one call.
    WINDOW = 100
    # Where in a view is what is not known already.
    WORDS = Native::JOB_VIEW.words
    ID, QUEUE, PAYLOAD, ATTEMPTS, EXPIRES_AT, SERIAL, MAX_ATTEMPTS, METADATA =
      %i[id queue payload attempts claim_expires_at serial max_attempts metadata].map { |name| Native::JOB_VIEW.word(name) }
    private_constant :WINDOW, :WORDS, :ID, :QUEUE, :PAYLOAD, :ATTEMPTS, :EXPIRES_AT, :SERIAL, :MAX_ATTEMPTS, :METADATA

    # The one place where a microsecond for each job is too much: one call for many, no general reader, no object for a field,
    # and one Claim for all jobs that can share it. `count` is how many were asked for; `queues`, by
    # name, are those that they may come from, if there are others.
    # @private
    def read_jobs(jobs, worker, count, queues = nil)
      queues = nil if queues&.size == 1
      room = count.clamp(1, WINDOW)
      views = Native::JOB_VIEW.view(room)
      jobs_read = FFI::MemoryPointer.new(:size_t)
      found = []
      loop do
        @database.call(:honker_jobs_views, jobs, found.size, views, room, jobs_read)
        read = jobs_read.read_int64
        append(found, views.get_array_of_int64(0, WORDS * read), worker, queues)
        return found if read < room || found.size >= count
      end
    end

    private

    # The jobs of views, which are given as all of their words.
    def append(found, words, worker, queues)
      claim = nil
      queue = self
      at = 0
      while at < words.size
        queue = queues.fetch(Native.text(words[at + QUEUE], words[at + QUEUE + 1])) if queues
        unless claim&.shared_by?(queue, words[at + ATTEMPTS], words[at + EXPIRES_AT], words[at + MAX_ATTEMPTS])
          claim = Claim.new(queue, worker, words[at + ATTEMPTS], words[at + EXPIRES_AT], words[at + MAX_ATTEMPTS])
        end
        length = words[at + METADATA + 1]
        found << ClaimedJob.new(claim, words[at + ID], Native.text(words[at + PAYLOAD], words[at + PAYLOAD + 1]),
                                words[at + SERIAL], length.zero? ? nil : Native.text(words[at + METADATA], length))
        at += WORDS
      end
    end

    def put(payload, transaction, options, name = @name)
      packed = options.empty? ? @opts : EnqueueCall.options(kept = [], max_attempts: @max_attempts, **options.compact)
      @database.number(:honker_enqueue, @database.handle, Transaction.handle(transaction),
                       *(name.equal?(@name) ? @target : Value.text(name, "queue")), *Value.text(Codec.encode(payload), "payload"),
                       packed)
    ensure
      kept&.clear # until here the library read it
    end
  end
end
