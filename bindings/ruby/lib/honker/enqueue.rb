# frozen_string_literal: true

module Honker
  # A job that is about to be enqueued, for hooks ({Honker.around_enqueue}): the queue's name, the payload, and the options of
  # {Queue#enqueue} that were given. All may be changed.
  Enqueue = Struct.new(:queue, :payload, :options) do
    # @private
    def self.of(database, queue:, payload:, **options)
      queue = database.queue(queue) unless queue.is_a?(Queue)
      new(queue.name, payload, { max_attempts: queue.max_attempts, **options.compact })
    end

    # @return [Hash] the job's metadata, which may be added to
    def metadata
      options[:metadata] = (options[:metadata] || {}).transform_keys(&:to_s) # never the caller's own
    end
  end

  # What became of one of {Database#enqueue_many}: its id, and `:enqueued` (or, for what other programs enqueue uniquely,
  # `:exists` or `:replaced`).
  Enqueued = Struct.new(:id, :status)

  # How jobs are written to the library. Nothing here is for users.
  # @private
  class EnqueueCall
    STATUSES = { Native::OK => :enqueued, Native::EXISTS => :exists, Native::REPLACED => :replaced }.freeze

    # Of {Enqueue}s, in one commit.
    def self.many(database, jobs, transaction)
      kept = []
      specs = jobs.map do |job|
        opts = FFI::MemoryPointer.new(:char, Native::ENQUEUE_OPTS.size).put_bytes(0, options(kept, **job.options))
        queue, queue_place = Value.bytes(job.queue, "queue")
        payload, payload_place = Value.bytes(Codec.encode(job.payload), "payload")
        kept << opts << queue << payload
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
    def self.options(kept, max_attempts:, delay: nil, run_at: nil, priority: 0, expires: nil, metadata: nil)
      memory, place = Value.bytes(metadata && Codec.encode(metadata), "metadata")
      kept << memory
      Native::ENQUEUE_OPTS.pack(Value.moment(run_at, "run_at"), Value.optional_integer(delay, "delay"),
                                Value.optional_integer(expires, "expires"), Value.integer(priority, "priority"),
                                Value.integer(max_attempts, "max_attempts"), *place)
    end
  end
  private_constant :EnqueueCall
end
