# frozen_string_literal: true

module Honker
  # A queue of jobs; made by {Database#queue}. Any number of threads may use it at the same time. Whatever takes a `tx` is
  # part of that transaction, and otherwise committed when it returns.
  class Queue
    # @return [String]
    attr_reader :name
    # @return [Integer] for how many seconds a claimed job is its worker's
    attr_reader :visibility_timeout_s
    # @return [Integer, nil] how often a job may be claimed; nil for what {#configure} has set, or else 3
    attr_reader :max_attempts
    # @private
    attr_reader :database

    # @private
    def initialize(database, name, visibility_timeout_s, max_attempts)
      @database = database
      @name = Value.utf8(name, "name")
      @visibility_timeout_s = Value.integer(visibility_timeout_s, "visibility_timeout_s")
      @max_attempts = max_attempts && Value.positive(max_attempts, "max_attempts")
      @target = Value.text(@name, "name").freeze
      @opts = EnqueueCall.options([], max_attempts: @max_attempts).freeze
    end

    MISSING = Object.new.freeze
    OPTIONS = %i[delay run_at priority expires max_attempts metadata unique_key unique_until unique_for_s on_conflict
                 concurrency_key batch member max_run_s].freeze
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
    # @param unique_key [String, nil] of which there is one job in the queue. If another has it nothing is added, and the answer
    #   is that one's id ({#try_enqueue} tells)
    # @param unique_until [Symbol] `:settled`: the job has its key until it is done, dead or cancelled; `:claimed`: until it is
    #   claimed, and again while it waits for another attempt, unless another has it then
    # @param unique_for_s [Integer, nil] for how many seconds the key is taken at least, whatever becomes of the job
    # @param on_conflict [Symbol] `:keep`: the job that has the key stays as it is; `:replace`: it becomes this one if it still
    #   waits, and keeps its id
    # @param concurrency_key [String, nil] of which only so many jobs run at once as {#configure} says (`concurrency_per_key`)
    # @param batch [Batch, Integer, nil] which it joins
    # @param member [ClaimedJob, nil] a running member of the batch, for one that is sealed; {ClaimedJob#batch} has it with it
    # @param max_run_s [Integer, nil] after how many seconds {Worker#run} retries it and cancels its handler; nil for the worker's
    # @return [Integer, nil] its id; nil if a hook has held it back
    def enqueue(payload = MISSING, tx: nil, **options)
      add(payload, tx, options)&.id
    end

    # As {#enqueue}, for those who want to know what came of it.
    #
    # @return [Enqueued, nil] the id, and whether it was `enqueued?`, or another job has its unique key
    def try_enqueue(payload = MISSING, tx: nil, **options)
      add(payload, tx, options)
    end

    # The same as `enqueue(payload, tx: tx)`.
    def enqueue_tx(tx, payload = MISSING, **options)
      enqueue(payload, tx: Transaction.required(tx), **options)
    end

    # Adds a job for each of the payloads, all or none, in one commit, with the same options. {Database#enqueue_many} has some
    # for each job.
    #
    # @param payloads [Array]
    # @return [Array<Integer, nil>] their ids, as {#enqueue} answers them, increasing for those that are added; nil for a job that
    #   a hook has held back
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
      "#<#{self.class} #{@name.inspect} of #{Postgres.shown(@database.path)}>"
    end

    # @private
    # The same queue of another database.
    def on(database)
      Queue.new(database, @name, @visibility_timeout_s, @max_attempts)
    end

    # Sets what holds for the queue, in every process from the commit on. nil sets something back to its default; what is not
    # given stays as it is.
    #
    #     emails.configure(concurrency: 20, concurrency_per_key: 1, rate: { limit: 100, per_s: 60 })
    #
    # @param settings `paused: false`, as {#pause}; `concurrency: nil`, how many claims may be valid at once;
    #   `concurrency_per_key: nil`, how many of those with the same concurrency key; `rate: nil`, a Hash of `limit` and `per_s`:
    #   how many claims there may be in each window of so many seconds; `max_attempts: 3`, of jobs whose enqueue does not say;
    #   `retry: nil`, a Hash of `base_s: 15`, `factor: 2`, `max_s: 3600` and `jitter: 0.1`, which goes before the worker's own;
    #   `keep_done_s: 0` and `keep_dead_s: nil`, for how many seconds done and dead jobs are kept
    # @raise [InvalidError] if there is no such setting, or no such value of it; then nothing is set
    def configure(tx: nil, **settings)
      @database.call(:honker_queue_configure, @database.handle, Transaction.handle(tx), *@target,
                     *Value.text(Codec.options(settings), "settings"))
      nil
    end

    # What holds for the queue, with all keys of {#configure}.
    #
    # @return [Payload]
    def settings(tx: nil)
      @database.json(:honker_queue_settings, @database.handle, Transaction.handle(tx), *@target)
    end

    # Nobody claims jobs any more, in whichever process. What runs goes on, and what is enqueued waits.
    def pause(tx: nil)
      configure(tx: tx, paused: true)
    end

    # Ends that.
    def resume(tx: nil)
      configure(tx: tx, paused: nil)
    end

    # @return [Boolean]
    def paused?
      settings[:paused]
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

    # The dead by what they died of, as {Database#dead_groups}.
    #
    # @return [Array<Payload>]
    def dead_groups(tx: nil)
      @database.dead_groups(self, tx: tx)
    end

    # Makes a dead job live again: pending, due now, with its options and steps, and no attempts used.
    #
    # @return [Boolean] false if there is no such dead job, or if another job has its unique key
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
    ID, QUEUE, PAYLOAD, WORKER, ATTEMPTS, EXPIRES_AT, SERIAL, MAX_ATTEMPTS, METADATA =
      %i[id queue payload worker_id attempts claim_expires_at serial max_attempts metadata].map do |name|
        Native::JOB_VIEW.word(name)
      end
    private_constant :WINDOW, :WORDS, :ID, :QUEUE, :PAYLOAD, :WORKER, :ATTEMPTS, :EXPIRES_AT, :SERIAL, :MAX_ATTEMPTS, :METADATA

    # The one place where a microsecond for each job is too much: one call for many, no general reader, no object for a field,
    # and one Claim for all jobs that can share it. `worker` is who holds them, nil if only the library knows; `count` is how many
    # were asked for; `queues`, by name, are those that they may come from, if there are others.
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
        worker ||= Native.text(words[at + WORKER], words[at + WORKER + 1])
        unless claim&.shared_by?(queue, words[at + ATTEMPTS], words[at + EXPIRES_AT], words[at + MAX_ATTEMPTS])
          claim = Claim.new(queue, worker, words[at + ATTEMPTS], words[at + EXPIRES_AT], words[at + MAX_ATTEMPTS])
        end
        length = words[at + METADATA + 1]
        found << ClaimedJob.new(claim, words[at + ID], Native.text(words[at + PAYLOAD], words[at + PAYLOAD + 1]),
                                words[at + SERIAL], length.zero? ? nil : Native.text(words[at + METADATA], length))
        at += WORDS
      end
    end

    def add(payload, transaction, options)
      Queue.missing(options) if MISSING.equal?(payload)
      return put(payload, transaction, options) if Hooks.around_enqueue.empty?

      job = Enqueue.new(@name, payload, options)
      done = nil
      Hooks.around(Hooks.around_enqueue, job) { (done = put(job.payload, transaction, job.options, job.queue)).id }
      done
    end

    def put(payload, transaction, options, name = @name)
      packed = options.empty? ? @opts : EnqueueCall.options(kept = [], max_attempts: @max_attempts, **options.compact)
      id = FFI::MemoryPointer.new(:int64)
      status = @database.call(:honker_enqueue, @database.handle, Transaction.handle(transaction),
                              *(name.equal?(@name) ? @target : Value.text(name, "queue")),
                              *Value.text(Codec.encode(payload), "payload"), packed, id)
      Enqueued.new(id.read_int64, EnqueueCall::STATUSES.fetch(status))
    ensure
      kept&.clear # until here the library read it
    end
  end
end
