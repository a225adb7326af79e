# frozen_string_literal: true

require "active_job"
require "honker"

module ActiveJob
  module QueueAdapters
    # Runs ActiveJob on honker: `config.active_job.queue_adapter = :honker`, and `bundle exec honker-worker`.
    #
    # Where ActiveRecord's connection is one to the file of `Honker.database` (under Rails it is, unless `config.honker.database`
    # says otherwise), a job is enqueued on it, in the model's transaction: it is there if and only if that is committed.
    # Elsewhere it has a commit of its own.
    #
    # Retries are ActiveJob's (`retry_on`). What it lets pass ends among honker's dead, with the error. A job whose process dies
    # is run again, ten times at most. The smaller a `priority`, the sooner, as in Rails' own adapters.
    class HonkerAdapter < (const_defined?(:AbstractAdapter) ? const_get(:AbstractAdapter) : Object)
      MAX_ATTEMPTS = 10
      HELD_BACK = "a hook of Honker.around_enqueue has held it back"
      private_constant :MAX_ATTEMPTS, :HELD_BACK

      # What honker performs. Other programs may enqueue one, too.
      class JobWrapper
        include Honker::Job

        def perform(_data)
          job.final!
          Thread.current[:honker_job] = job
          data = JSON.parse(job.payload_text).fetch("args").first # plain Hashes
          Base.execute(data.merge("provider_job_id" => job.id))
        ensure
          Thread.current[:honker_job] = nil
        end
      end

      # @raise [EnqueueError] if a hook has held it back; then `perform_later` returns false. (Before ActiveJob 7 the job has no
      #   `provider_job_id`.)
      def enqueue(job)
        enqueue_at(job, job.scheduled_at)
      end

      # @param timestamp [Numeric, nil] Unix seconds
      def enqueue_at(job, timestamp)
        put([job], timestamp)
        raise EnqueueError, HELD_BACK if job.provider_job_id.nil? && defined?(EnqueueError)
      end

      # All or none, in one commit; ActiveJob 7.1's perform_all_later calls it. Jobs that a hook has held back are not
      # `successfully_enqueued?`.
      #
      # @return [Integer] how many that were
      def enqueue_all(jobs)
        put(jobs, nil)
        jobs.count(&:provider_job_id)
      end

      # Whether the worker of the job that this thread performs has been told to stop: then ActiveJob 8.1's continuations go on
      # elsewhere.
      def stopping?(_job = nil)
        Thread.current[:honker_job]&.stopping? || false
      end

      # ActiveJob 7.2 and newer: whether to wait for the end of the model's transaction.
      def enqueue_after_transaction_commit?
        Honker::Connection.models.nil?
      end

      private

      def put(jobs, timestamp)
        specs = jobs.map { |job| spec(job, timestamp || job.scheduled_at) }
        (on = Honker::Connection.models) ? insert(on, jobs, specs) : enqueue_many(jobs, specs)
      end

      def insert(connection, jobs, specs)
        Honker::Connection.with_models(connection) do
          enqueued(jobs, specs.map { |spec| insert_one(connection, **spec) })
        end
      end

      def insert_one(connection, queue:, payload:, **options)
        Honker.enqueue_on(connection, queue, payload, **options)
      end

      def enqueue_many(jobs, specs)
        enqueued(jobs, Honker.database.enqueue_many(specs).map { |one| one&.id })
      end

      def enqueued(jobs, ids)
        jobs.zip(ids) do |job, id|
          job.provider_job_id = id
          job.successfully_enqueued = !id.nil? if job.respond_to?(:successfully_enqueued=)
          job.enqueue_error = EnqueueError.new(HELD_BACK) if id.nil? && job.respond_to?(:enqueue_error=)
        end
      end

      def spec(job, timestamp)
        { queue: job.queue_name, payload: { class: JobWrapper.name, args: [job.serialize], kwargs: {} },
          max_attempts: MAX_ATTEMPTS, priority: -(job.priority || 0), run_at: timestamp&.to_f&.ceil }
      end
    end
  end
end
