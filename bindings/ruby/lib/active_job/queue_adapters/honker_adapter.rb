# frozen_string_literal: true

require "active_job"
require "honker"

module ActiveJob
  module QueueAdapters
    # Runs ActiveJob on honker: `config.active_job.queue_adapter = :honker`, and `bundle exec honker-worker`.
    #
    # Where ActiveRecord's connection is one to the database of `Honker.database` (under Rails it is, unless
    # `config.honker.database` says otherwise), a job is enqueued on it, in the model's transaction: it is there if and only if
    # that is committed. Elsewhere it has a commit of its own.
    #
    # Retries are ActiveJob's (`retry_on`). What it lets pass ends among honker's dead, with the error. A job whose process dies
    # is run again, ten times at most. The smaller a `priority`, the sooner, as in Rails' own adapters.
    #
    # A job may have options of {Honker::Queue#enqueue}, by a method of its own:
    #
    #     def honker_options
    #       { unique_key: "import #{arguments.first}", concurrency_key: "account #{arguments.last}", max_run_s: 600 }
    #     end
    #
    # Its key is taken until the job is claimed, unless `unique_until` says otherwise, since a retry of ActiveJob's is enqueued
    # while the job runs. A job whose key is taken is not enqueued: `perform_later` returns false, and the job's `enqueue_error`
    # says so.
    class HonkerAdapter < (const_defined?(:AbstractAdapter) ? const_get(:AbstractAdapter) : Object)
      MAX_ATTEMPTS = 10
      HELD_BACK = "a hook of Honker.around_enqueue has held it back"
      EXISTS = "another job has its unique key"
      private_constant :MAX_ATTEMPTS, :HELD_BACK, :EXISTS

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

      # @raise [EnqueueError] if a hook has held it back, or another job has its key; then `perform_later` returns false. (Before
      #   ActiveJob 7 the job has no `provider_job_id`.)
      def enqueue(job)
        enqueue_at(job, job.scheduled_at)
      end

      # @param timestamp [Numeric, nil] Unix seconds
      def enqueue_at(job, timestamp)
        problem, = put([job], timestamp)
        raise EnqueueError, problem if problem && defined?(EnqueueError)
      end

      # All or none, in one commit; ActiveJob 7.1's perform_all_later calls it. Jobs that a hook has held back, or whose key is
      # taken, are not `successfully_enqueued?`.
      #
      # @return [Integer] how many were enqueued
      def enqueue_all(jobs)
        put(jobs, nil).count(nil)
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

      # Of each what is wrong with it; nil if nothing is.
      def put(jobs, timestamp)
        specs = jobs.map { |job| spec(job, timestamp || job.scheduled_at) }
        (on = Honker::Connection.models) ? insert(on, jobs, specs) : enqueue_many(jobs, specs)
      end

      def insert(connection, jobs, specs)
        Honker::Connection.with_models(connection) do
          enqueued(jobs, specs.map { |spec| Honker::Connection.enqueue(connection, **spec) })
        end
      end

      def enqueue_many(jobs, specs)
        enqueued(jobs, Honker.database.enqueue_many(specs))
      end

      def enqueued(jobs, results)
        jobs.zip(results).map do |job, result|
          problem = result.nil? ? HELD_BACK : (EXISTS if result.exists?)
          job.provider_job_id = problem ? nil : result.id
          job.successfully_enqueued = problem.nil? if job.respond_to?(:successfully_enqueued=)
          job.enqueue_error = EnqueueError.new(problem) if problem && job.respond_to?(:enqueue_error=)
          problem
        end
      end

      def spec(job, timestamp)
        options = job.respond_to?(:honker_options) ? job.honker_options : {}
        options = { unique_until: :claimed, **options } if options[:unique_key]
        { max_attempts: MAX_ATTEMPTS, **options, priority: -(job.priority || 0), run_at: timestamp&.to_f&.ceil,
          queue: job.queue_name, payload: { class: JobWrapper.name, args: [job.serialize], kwargs: {} } }
      end
    end
  end
end
