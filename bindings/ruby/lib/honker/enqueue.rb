# frozen_string_literal: true

module Honker
  # A job that is about to be enqueued, for hooks ({Honker.around_enqueue}): the queue's name, the payload, and the options of
  # {Queue#enqueue} that were given. All may be changed.
  Enqueue = Struct.new(:queue, :payload, :options) do
    # @private
    def self.of(database, queue:, payload:, **options)
      queue = database.queue(queue) unless queue.is_a?(Queue)
      new(queue.name, payload, { max_attempts: queue.max_attempts, **options.compact }.compact)
    end

    # @return [Hash] the job's metadata, which may be added to
    def metadata
      options[:metadata] = (options[:metadata] || {}).transform_keys(&:to_s) # never the caller's own
    end
  end

  # What became of a job that was to be enqueued: its id, and `:enqueued`; or the id of the job that has its unique key, and
  # `:exists` if that stays as it is, `:replaced` if it has become this one.
  Enqueued = Struct.new(:id, :status) do
    def enqueued?
      status == :enqueued
    end

    def exists?
      status == :exists
    end

    def replaced?
      status == :replaced
    end
  end

  # How jobs are written to the library. Nothing here is for users.
  # @private
  class EnqueueCall
    STATUSES = { Native::OK => :enqueued, Native::EXISTS => :exists, Native::REPLACED => :replaced }.freeze
    UNTIL = { settled: Native::UNIQUE_SETTLED, claimed: Native::UNIQUE_CLAIMED }.freeze
    ON_CONFLICT = { keep: Native::CONFLICT_KEEP, replace: Native::CONFLICT_REPLACE }.freeze
    # What is called otherwise in JSON.
    JSON_NAMES = { delay: :delay_s, expires: :expires_s }.freeze
    # How those are read that are numbers.
    NUMBERS = { run_at: :moment, delay: :optional_integer, expires: :optional_integer, priority: :integer,
                max_attempts: :optional_integer, unique_for_s: :positive, max_run_s: :positive }.freeze

    # Of {Enqueue}s, in one commit.
    def self.many(database, jobs, transaction)
      kept = []
      specs = jobs.map do |job|
        opts = memory(kept, **job.options)
        queue, queue_place = Value.bytes(job.queue, "queue")
        payload, payload_place = Value.bytes(Codec.encode(job.payload), "payload")
        kept << queue << payload
        Native::JOB_SPEC.pack(*queue_place, *payload_place, opts.address)
      end.join
      result = Native::ENQUEUE_RESULT
      results = FFI::MemoryPointer.new(:char, [jobs.size * result.size, 1].max)
      database.call(:honker_enqueue_many, database.handle, transaction, specs, jobs.size, results)
      Array.new(jobs.size) do |i|
        id, status = result.read(results + (i * result.size))
        Enqueued.new(id, STATUSES.fetch(status))
      end
    ensure
      kept&.clear # until here the library read it
    end

    # What the library is given as options. Its texts go to `kept`.
    def self.options(kept, max_attempts: nil, delay: nil, run_at: nil, priority: 0, expires: nil, metadata: nil,
                     concurrency_key: nil, batch: nil, member: nil, unique_key: nil, unique_until: :settled, unique_for_s: nil,
                     on_conflict: :keep, max_run_s: nil)
      member ||= batch.member if batch.is_a?(Batch)
      member_id, member_worker = member(member)
      text = ->(value, what) { place(kept, value, what) }
      Native::ENQUEUE_OPTS.pack(
        Value.moment(run_at, "run_at"), Value.optional_integer(delay, "delay"), Value.optional_integer(expires, "expires"),
        Value.integer(priority, "priority"), Value.optional_integer(max_attempts, "max_attempts"),
        *text[metadata && Codec.encode(metadata), "metadata"], *text[concurrency_key, "concurrency_key"],
        batch_id(batch), member_id, *text[member_worker, "member"], *text[unique_key, "unique_key"],
        Value.choice(UNTIL, unique_until, "unique_until"), Value.choice(ON_CONFLICT, on_conflict, "on_conflict"),
        *[[unique_for_s, "unique_for_s"], [max_run_s, "max_run_s"]].map { |value, what| value ? Value.positive(value, what) : 0 }
      )
    end

    # The same in memory of its own.
    def self.memory(kept, **options)
      memory = FFI::MemoryPointer.new(:char, Native::ENQUEUE_OPTS.size).put_bytes(0, options(kept, **options))
      kept << memory
      memory
    end

    # The same as `options_json` of honker_enqueue_with.
    def self.json(batch: nil, member: nil, **options)
      member ||= batch.member if batch.is_a?(Batch)
      options = options.compact.to_h do |name, value|
        read = NUMBERS[name]
        [JSON_NAMES.fetch(name, name), read ? Value.public_send(read, value, name) : Codec.plain(value)]
      end
      options[:batch_id] = batch_id(batch) if batch
      options[:member] = %i[job_id worker_id].zip(member(member)).to_h if member
      options
    end

    class << self
      private

      # Where a text is; empty, for the library, is one that is not given.
      def place(kept, value, what)
        memory, place = Value.bytes(value, what)
        raise InvalidError, "#{what} must not be empty" if memory && place.last.zero?

        kept << memory
        place
      end

      def batch_id(batch)
        return 0 if batch.nil?

        batch.is_a?(Batch) ? batch.id : Value.positive(batch, "batch")
      end

      def member(job)
        case job
        when nil then [0, nil]
        when ClaimedJob then [job.id, job.worker_id]
        else raise TypeError, "member has to be a Honker::ClaimedJob, not #{job.class}"
        end
      end
    end
  end
  private_constant :EnqueueCall
end
