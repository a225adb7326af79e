# frozen_string_literal: true

require "securerandom"

module Honker
  # One boundary that was fired: the schedule, where its job went, the boundary in Unix seconds, the job (nil if there is none),
  # and `:enqueued`, `:skipped` (the last one is live, and the schedule has `overlap: :skip`), or `:exists` or `:replaced` (the
  # job has the unique key).
  ScheduledFire = Struct.new(:name, :queue, :fire_at, :job_id, :status) do
    # @private
    def self.read(name, name_length, queue, queue_length, fire_at, job_id, status, _)
      new(Native.text(name, name_length), Native.text(queue, queue_length), fire_at, job_id.zero? ? nil : job_id,
          status == Native::EMPTY ? :skipped : EnqueueCall::STATUSES.fetch(status))
    end
  end

  # Jobs that are enqueued at times of the calendar, or at intervals; made by {Database#scheduler}. Any number of threads may
  # use it at the same time.
  class Scheduler
    UNSET = Object.new.freeze
    OVERLAPS = { allow: Native::OVERLAP_ALLOW, skip: Native::OVERLAP_SKIP }.freeze
    private_constant :UNSET, :OVERLAPS

    # @private
    def initialize(database)
      @database = database
    end

    # Adds a schedule, or replaces the one of that name. It is kept in the file, for all processes.
    #
    # @param schedule [String] five fields, six with seconds in front, `@daily` and the like, or `@every 5m`; `CRON_TZ=Europe/
    #   Berlin ` before it sets the time zone. `cron` is another word for it
    # @param queue [Queue, String]
    # @param expires_s [Integer, nil] after how many seconds from its boundary a job may not be claimed any more. `expires` is
    #   another word for it
    # @param overlap [Symbol] `:skip` enqueues nothing at a boundary while the schedule's last job is live; `:allow` always does
    # @param options others of {Queue#enqueue}, but for `run_at` and `member`, for its jobs. `delay` counts from when they are
    #   enqueued. With {Job::ClassMethods#spec} they are those of a class: `add(name: "digest", cron: "@daily", **Digest.spec)`
    def add(name:, queue:, payload: nil, schedule: nil, cron: nil, priority: 0, expires_s: nil, expires: nil, max_attempts: nil,
            overlap: :allow, **options)
      raise ArgumentError, "give schedule: or cron:, one of them" unless schedule.nil? ^ cron.nil?

      queue, max_attempts = queue.name, max_attempts || queue.max_attempts if queue.is_a?(Queue)
      options = options.compact
      job = EnqueueCall.memory(kept = [], **options) unless options.empty?
      opts = Native::SCHEDULE_OPTS.pack(Value.integer(priority, "priority"),
                                        Value.optional_integer(expires_s || expires, "expires_s"),
                                        Value.optional_integer(max_attempts, "max_attempts"),
                                        job ? job.address : 0, Value.choice(OVERLAPS, overlap, "overlap"), 0)
      @database.call(:honker_scheduler_register, @database.handle, 0, *Value.text(name, "name"),
                     *Value.text(queue, "queue"), *Value.text(schedule || cron, "schedule"),
                     *Value.text(Codec.encode(payload), "payload"), opts)
      nil
    ensure
      kept&.clear # until here the library read it
    end

    # Changes what is given, for the jobs to come. `expires_s: nil` takes the expiry away, `max_attempts: nil` means the queue's.
    #
    # @return [Boolean] false, and nothing changed, if there is no such schedule or nothing is given
    def update(name, schedule: nil, cron: nil, payload: UNSET, priority: nil, expires_s: UNSET, max_attempts: UNSET)
      raise ArgumentError, "give schedule: or cron:, not both" if schedule && cron

      expression = schedule || cron
      fields = (expression ? Native::UPDATE_EXPRESSION : 0) |
               (given(payload) ? Native::UPDATE_PAYLOAD : 0) | (priority ? Native::UPDATE_PRIORITY : 0) |
               (given(expires_s) ? Native::UPDATE_EXPIRES : 0) |
               (given(max_attempts) ? Native::UPDATE_MAX_ATTEMPTS : 0)
      kept_expression, expression = Value.bytes(expression, "schedule")
      kept_payload, payload = Value.bytes(given(payload) ? Codec.encode(payload) : nil, "payload")
      changes = Native::SCHEDULE_UPDATE.pack(
        fields, *expression, *payload, Value.integer(priority || 0, "priority"), number(expires_s, "expires_s"),
        number(max_attempts, "max_attempts")
      )
      @database.call?(:honker_scheduler_update, @database.handle, 0, *Value.text(name, "name"), changes)
    ensure
      [kept_expression, kept_payload].each { |kept| kept&.free }
    end

    # Removes a schedule; jobs it has enqueued stay.
    #
    # @return [Integer] how many there were: 1 or 0
    def remove(name)
      named(:honker_scheduler_unregister, name) ? 1 : 0
    end

    # @return [Boolean] false if there is none of that name, or it is paused already
    def pause(name)
      named(:honker_scheduler_pause, name)
    end

    # The boundaries it missed are fired by the next tick, 64 at most.
    #
    # @return [Boolean] false if there is none of that name, or it is not paused
    def resume(name)
      named(:honker_scheduler_resume, name)
    end

    # All schedules by name, with the keys name, queue, cron_expr, payload, priority, expires_s, next_fire_at, enabled and
    # max_attempts.
    #
    # @return [Array<Payload>]
    def list
      @database.json(:honker_scheduler_list, @database.handle, 0)
    end

    # The next boundary, in Unix seconds, of any schedule that is not paused; it may lie in the past.
    #
    # @return [Integer, nil]
    def soonest
      @database.number(:honker_scheduler_soonest, @database.handle, 0)
    end

    # Enqueues a job for every boundary up to `now` that nobody has fired yet. Any number of processes may.
    #
    # @param now [Integer, Time, nil] Unix seconds; nil for now
    # @return [Array<ScheduledFire>]
    def tick(now = nil, tx: nil)
      @database.owned_list(:honker_scheduler_tick, :fires, Native::FIRE_VIEW, @database.handle, Transaction.handle(tx),
                           Value.moment(now, "now")) { |*fire| ScheduledFire.read(*fire) }
    end

    # The first boundary of an expression after `from`, both in Unix seconds.
    def next_after(schedule, from)
      @database.number(:honker_cron_next_after, *Value.text(schedule, "schedule"), Value.integer(from, "from"))
    end

    # Fires what is due, when it is due. Every process may run it: one leads, the others stand by and take over when it stops,
    # or a minute after it died. Yields what was fired, if there is a block.
    #
    # @param owner [String] its name among them, which nobody else may have
    # @param stop [#call, #stop?, nil] ends it; asked every 100 ms
    def run(owner: SecureRandom.hex(16), stop: nil)
      stop = Stop.callable(stop)
      leader = self.leader(owner)
      until stop&.call
        fires = leader.turn(stop)
        yield fires if fires && block_given?
      end
      leader.resign
    ensure
      leader&.close
    end

    # A candidate, for those who need more than {#run}. To be closed.
    #
    # @return [Leader]
    def leader(owner = SecureRandom.hex(16))
      Leader.new(@database, owner)
    end

    private

    def given(value)
      !value.equal?(UNSET)
    end

    def number(value, what)
      Value.optional_integer(given(value) ? value : nil, what)
    end

    def named(function, name)
      @database.call?(function, @database.handle, 0, *Value.text(name, "name"))
    end
  end

  # One of those who may fire the schedules of a file; made by {Scheduler#leader}.
  class Leader < Waiter
    # @private
    def initialize(database, owner)
      super(database, :honker_leader_free, :honker_leader_resign) do |*at|
        [:honker_leader_new, database.handle, *at, *Value.text(owner, "owner")]
      end
    end

    # Leads, or stands by, until something was fired. To be called again and again: only in here leadership is kept, for which
    # it has to be called every 20 seconds.
    #
    # @return [Array<ScheduledFire>, nil] nil if the time is over, or {#wake} was called
    def next(timeout: nil)
      await(timeout) { fire }
    end

    # @return [Boolean] whether it leads, as far as it knows
    def leads?
      @database.number(:honker_leader_leads, consumer) == 1
    end

    # Gives leadership up, so that somebody who stands by takes over at once.
    def resign
      use { @database.call(:honker_leader_resign, consumer) }
      nil
    end

    # @private
    def turn(stop)
      despite_trouble(Log.new(nil), "the scheduler", stop) { await(nil, stop: stop) { fire } }
    end

    private

    def fire
      @database.owned(:honker_leader_next, :honker_fires_free, consumer, 0) do |fires, status|
        next unless found?(status) && fires

        @database.read_list(fires, :fires, Native::FIRE_VIEW) { |*fire| ScheduledFire.read(*fire) }
      end
    end
  end
end
