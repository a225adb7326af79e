# frozen_string_literal: true

module Honker
  # Jobs that are waited for together; made by {Database#batch}. Jobs join it with the option `batch:` of whatever enqueues.
  # Any number of threads may use it at the same time.
  class Batch
    # @return [Integer]
    attr_reader :id
    # @private
    # The running job on whose behalf others join, if there is one.
    attr_reader :member

    # @private
    def self.create(database, transaction, on_finished: nil, on_success: nil, keep_s: nil)
      options = { on_finished: callback(database, on_finished, "on_finished"),
                  on_success: callback(database, on_success, "on_success"), keep_s: keep_s }.compact
      new(database, database.number(:honker_batch_create, database.handle, Transaction.handle(transaction),
                                    *Value.text(Codec.options(options), "options")))
    end

    # @private
    # What is enqueued when it has finished, as the library reads it.
    def self.callback(database, job, name)
      return if job.nil?
      raise TypeError, "#{name} has to be a Hash with queue: and payload:, not #{job.class}" unless job.is_a?(Hash)

      job = Enqueue.of(database, **job)
      { queue: job.queue, payload: Codec.encode(job.payload), options: EnqueueCall.json(**job.options) }
    end

    # @private
    def initialize(database, id, member = nil)
      @database = database
      @id = id
      @member = member
    end

    # From now on only running members may add jobs to it ({ClaimedJob#batch}), and with the last of its jobs it is finished; at
    # once if none is pending.
    #
    # @return [Boolean] false if it was sealed before
    # @raise [InvalidError] if there is no such batch
    def seal(tx: nil)
      @database.call?(:honker_batch_seal, @database.handle, Transaction.handle(tx), @id)
    end

    # What is known of it: how many jobs (total, pending, done, dead, cancelled), whether it is sealed, and finished_at, which is
    # nil until then.
    #
    # @return [Payload, nil] nil if there is no such batch any more: it is kept for a day after it has finished, or for `keep_s`
    def get(tx: nil)
      @database.json(:honker_batch_get, @database.handle, Transaction.handle(tx), @id)
    end

    def inspect
      "#<#{self.class} #{@id} of #{Postgres.shown(@database.path)}>"
    end
  end
end
