# frozen_string_literal: true

module Honker
  # A queue, `_outbox:<name>`, and what delivers its payloads; made by {Database#outbox}. Any number of threads may use it, if
  # its delivery may be. A delivery may happen more than once: whoever receives it should be able to tell.
  class Outbox
    # @return [String]
    attr_reader :name
    # @return [Queue] the queue underneath
    attr_reader :queue

    # @private
    def initialize(database, name, delivery, visibility_timeout_s, max_attempts, base_backoff_s)
      raise ArgumentError, "delivery has to answer call" unless delivery.respond_to?(:call)

      @database = database
      @name = Value.utf8(name, "name")
      @delivery = delivery
      @with_job = (delivery.respond_to?(:arity) ? delivery : delivery.method(:call)).arity != 1
      @queue = database.queue("_outbox:#{@name}", visibility_timeout_s: visibility_timeout_s,
                                                  max_attempts: max_attempts)
      @base_backoff_s = Value.integer(base_backoff_s, "base_backoff_s")
    end

    # Adds what is to be delivered, as {Queue#enqueue} does: with `tx`, if and only if that is committed.
    #
    # @return [Integer, nil] the job's id; nil if a hook has held it back
    def enqueue(*payload, tx: nil, **options)
      @queue.enqueue(*payload, tx: tx, **options)
    end

    # Delivers one, without waiting. If the delivery raises it is tried again after `base_backoff_s` seconds,
    # twice as long each further time, and ends among the dead when its attempts are used up.
    #
    # @return [Boolean] whether there was one
    def run_once(worker)
      job = @queue.claim_one(worker)
      return false if job.nil?

      error = deliver(job)
      return job.ack || true if error.nil?

      courier = Courier.new(@queue, @name, worker, @base_backoff_s)
      courier.failed(job, error)
      true
    ensure
      courier&.close
    end

    # Delivers, and waits for what there is to deliver. Errors of the database end it, unless they may pass by
    # themselves: a locked file, a full disk.
    #
    # @param stop [#call, #stop?, nil] ends it after the delivery in hand
    # @param idle_sleep_s [Numeric] how often `stop` is asked while there is nothing to do; nothing is polled
    def run_worker(worker, stop: nil, idle_sleep_s: 0.1)
      stop = Stop.callable(stop)
      courier = Courier.new(@queue, @name, worker, @base_backoff_s)
      until stop&.call
        job = courier.take(stop, idle_sleep_s)
        next if job.nil?

        error = deliver(job)
        courier.settle(job, error, stop)
      end
    ensure
      courier&.close
    end

    private

    # The error's text; nil if it was delivered.
    def deliver(job)
      error = Handler.error { @with_job ? @delivery.call(job.payload, job) : @delivery.call(job.payload) }
      error && Handler.report(error)
    end
  end

  # What an {Outbox} works with.
  # @private
  class Courier < Waiter
    def initialize(queue, name, worker, base_backoff_s)
      @queue = queue
      @worker = Value.utf8(worker, "worker")
      super(queue.database, :honker_outbox_free) do |*at|
        opts = Native::OUTBOX_OPTS.pack(queue.visibility_timeout_s, base_backoff_s, WORKER_FALLBACK_MS)
        [:honker_outbox_new, queue.database.handle, *at, *Value.text(name, "name"),
         *Value.text(@worker, "worker"), opts]
      end
    end

    def take(stop, stop_check_s)
      despite_trouble(Log.new(nil), @worker, stop) do
        await(nil, stop: stop, stop_check_s: stop_check_s) do
          @database.owned(:honker_outbox_next, :honker_jobs_free, consumer, 0) do |jobs, status|
            @queue.read_jobs(jobs, @worker, 1).first if found?(status) && jobs
          end
        end
      end
    end

    # What was done would be done again if this gave up at once.
    def settle(job, error, stop)
      despite_trouble(Log.new(nil), @worker, stop, stop) do
        error ? failed(job, error) : use { @database.call(:honker_outbox_delivered, consumer, job.id) }
      end
    end

    def failed(job, error)
      use { @database.call(:honker_outbox_failed, consumer, job.id, job.attempts, *Value.error_text(error)) }
    end
  end
  private_constant :Courier
end
