# frozen_string_literal: true

module Honker
  # What the application hangs around its jobs, in this process. Register while it starts; the calls are made in the order of
  # registration, the first is the outermost.
  module Hooks
    @around_job = [].freeze
    @around_enqueue = [].freeze
    @on_error = [].freeze

    class << self
      # @private
      attr_reader :around_job, :around_enqueue, :on_error

      # @private
      def add(list, hook)
        raise ArgumentError, "a hook has to answer call" unless hook.respond_to?(:call)

        instance_variable_set("@#{list}", [*instance_variable_get("@#{list}"), hook].freeze)
        hook
      end

      # Takes a hook away, for tests.
      def remove(hook)
        %i[around_job around_enqueue on_error].each do |list|
          instance_variable_set("@#{list}", instance_variable_get("@#{list}").reject { |one| one.equal?(hook) }.freeze)
        end
      end

      # @private
      # Calls the block within the hooks; what the block gives.
      def around(hooks, subject)
        result = nil
        hooks.reverse.inject(-> { result = yield }) { |inner, hook| -> { hook.call(subject, inner) } }.call
        result
      end

      # @private
      def failed(error, job)
        @on_error.each do |hook|
          wrong = Handler.error { hook.call(error, job) }
          Log.new(nil).error("an on_error hook has failed: #{Handler.report(wrong, for_log: true)}") if wrong
        end
      end
    end
  end

  class << self
    # A worker as a program of its own: as {Worker#run}, of the file at `path`, which is waited for if it is not there yet.
    #
    #     Honker.work("app.db", { "emails" => 3, "reports" => 1 }, concurrency: 8) { |job| handle(job) }
    #
    # @param queues as for {Database#worker}
    # @param worker [String] its name
    # @param database [Hash] options of {Database#initialize}
    # @param options those of {Worker#run} and of {Database#worker}
    def work(path, queues, worker = Worker.some_name, database: {}, **options, &block)
      how = options.slice(*Run::OPTIONS)
      options = Worker.options(options.reject { |name, _| how.key?(name) })
      open = -> { Database.existing(path, **database) }
      make = ->(db) { db.worker(queues, worker, **options) }
      Run.new(nil, open, make, block || Job.method(:perform), worker, options[:concurrency], Log.new(options[:logger]),
              **how).call
      nil
    end

    # Where workers, outboxes and schedulers say what happens: failures at level error, what they wait for at level warn, how
    # they ended at level info. By default standard error; under Rails its logger. A worker may have its own (`logger:`).
    #
    # @return [Logger]
    def logger
      @logger ||= Logger.new($stderr)
    end

    # nil for none.
    def logger=(logger)
      @logger = logger || Logger.new(nil)
    end

    # Calls `hook` (or the block) with each job that {Worker#run} handles and with what handles it, which it has to `call`:
    #
    #     Honker.around_job { |job, perform| Metrics.time(job.queue_name) { perform.call } }
    #
    # It runs in the handler's thread. What it raises is a failure of the job.
    def around_job(hook = nil, &block)
      Hooks.add(:around_job, hook || block)
    end

    # Calls `hook` (or the block) with each {Enqueue} and with what does it, which it has to `call`; what it raises is raised by
    # `enqueue`, and nothing is enqueued. It may add metadata, which the {ClaimedJob} will have:
    #
    #     Honker.around_enqueue { |job, enqueue| job.metadata["tenant"] = Tenant.current.name and enqueue.call }
    def around_enqueue(hook = nil, &block)
      Hooks.add(:around_enqueue, hook || block)
    end

    # Calls `hook` (or the block) with what a handler raised and its job, after it was logged; also for {Retry} and {Discard}.
    # What it raises itself is logged.
    #
    #     Honker.on_error { |error, job| Sentry.capture_exception(error, extra: { job: job.id }) }
    def on_error(hook = nil, &block)
      Hooks.add(:on_error, hook || block)
    end
  end
end
