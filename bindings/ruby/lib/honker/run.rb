# frozen_string_literal: true

module Honker
  # One call of {Worker#run} or {Honker.work}: its loop, from the first claim to the line in the log that says how it ended.
  # Nothing here is for users.
  #
  # It is running, then stopping (what runs may finish), then cancelled (what runs has been told), then released (what still
  # runs is given back). A second signal jumps to the last. Of the thread that called it; handlers run in those of the {Crew}.
  # @private
  class Run
    include Clock

    OPTIONS = %i[stop signals retry_delay_s stop_timeout_s schedules].freeze
    # For how long handlers may take to notice that they are cancelled, and for how long the last settlements are tried.
    GRACE_S = 1.5
    # How often a pause looks whether it is to end.
    LOOK_S = 0.05

    # With a worker whose database is open. Without one, or for a file that was replaced, `open` gives a database, and `make` a
    # worker of that.
    def initialize(worker, open, make, handler, name, concurrency, log,
                   stop: nil, signals: nil, retry_delay_s: nil, stop_timeout_s: 8, schedules: nil)
      @given = @worker = worker
      @open = open
      @make = make
      @name = name
      @log = log
      @stop = Stop.callable(stop)
      @signals = signals.nil? ? Thread.current == Thread.main : signals
      @signalled = 0
      @stop_timeout_s = Value.timeout(stop_timeout_s, "stop_timeout_s")
      retry_delay_s &&= Value.delay(retry_delay_s, "retry_delay_s")
      @schedules = schedules&.map { |schedule| { **schedule } }
      @crew = Crew.new(concurrency, retry_delay_s, handler, -> { @worker&.nudge }, &method(:failed))
      @trouble = Trouble.new(log, name)
      @crowded = Trouble.new(log, name)
      @finished = []
      @counts = Hash.new(0)
      @phase = :running
    end

    def call
      @signals ? Signals.during(method(:signal)) { serve } : serve
      raise UnfinishedError.new("#{@name}: #{@crew.busy} handlers have not returned", running: @crew.busy) if @crew.busy.positive?
    ensure
      @crew.close
      disown
    end

    private

    # In a trap, where no lock may be taken.
    def signal
      @signalled += 1
      @worker&.nudge
    end

    # With the file that is at the path now, again and again if it is replaced.
    def serve
      loop do
        @worker ||= opened
        @worker&.hold { serve_file }
        break if @worker || told?
      end
    ensure
      say_how_it_ended
    end

    def serve_file
      @worker.keep_claims
      firing = fire_schedules
      work
    rescue WatcherError => e
      replaced(e)
    ensure
      give_back
      firing&.close
    end

    # What fires the schedules; nil without.
    def fire_schedules
      return if @schedules.nil?

      database = @worker.database
      add_schedules(database.scheduler)
      Firing.new(database, @log, -> { @phase != :running })
    end

    def add_schedules(scheduler)
      @schedules.each { |schedule| scheduler.add(**schedule) }
    rescue Error => e
      raise unless e.transient?

      pause(@trouble.met(e))
      retry unless told?
    end

    # A worker of its own database; nil if it is told to stop before there is one.
    def opened
      until told?
        begin
          @own = @open.call
          worker = @make.call(@own)
          @trouble.over
          return worker
        rescue Error => e
          disown
          raise unless e.transient? || e.is_a?(WatcherError)

          pause(@trouble.met(e))
        end
      end
    end

    def disown
      own, @own = @own, nil
      own&.close
    end

    # What it has in hand cannot be settled any more.
    def replaced(error)
      @crew.cancel(:replaced)
      @crew.release
      @finished.clear
      @worker = nil
      disown
      @log.warn("#{@name} cancels the #{@crew.busy} jobs that run and opens the file anew: #{Handler.message(error)}")
      pause(Trouble::PAUSE_MIN_S)
    end

    def work
      interrupts = @worker.database.interrupts
      loop do
        @worker.expect_signals # before it is looked for what they tell
        return if over?

        more = turn
        raise InterruptedError, "ended by interrupt" if interrupts != @worker.database.interrupts

        @worker.rest_until([@deadline, @crowded_until].compact.min, @phase == :running ? asked : nil) unless more
      end
    end

    def over?
      @finished.concat(@crew.take)
      raise @crew.leaving if @crew.leaving

      advance
      raise @trouble.error if @phase == :released && now >= @deadline && @trouble.error

      @phase != :running && @finished.empty? && @crew.idle?
    end

    def advance
      if @phase == :running
        return unless told?

        @crew.stop
        enter(:stopping, @stop_timeout_s)
      elsif @phase != :released && (@signalled > 1 || (@deadline && now >= @deadline))
        @crew.cancel(:stop)
        return enter(:cancelled, GRACE_S) if @phase == :stopping && @signalled < 2

        @finished.concat(@crew.release)
        enter(:released, GRACE_S)
      end
    end

    def enter(phase, limit_s)
      @phase = phase
      @deadline = limit_s && (now + limit_s)
    end

    # Whether to stop.
    def told?
      raise ClosedError, "#{@name} has been closed" if @given&.closed?

      @signalled.positive? || (@stop&.call ? true : false)
    end

    # What has to be asked now and then. A signal wakes this, and so does the worker that was given when it is closed; unless
    # another works in its place by now.
    def asked
      method(:told?) if @stop || (@given && !@worker.equal?(@given))
    end

    # One commit of what is finished and of new claims: whether there may be more at once, or more has to be done.
    def turn
      @crowded_until = nil if @crowded_until && now >= @crowded_until
      settles = !@finished.empty?
      free = @crowded_until ? @crew.waiting : @crew.free
      jobs, refusal, rests = @worker.turn(@finished, @phase == :running ? free : 0, &method(:lost))
      wrong = settled(refusal)
      start(jobs) if jobs && !jobs.empty?
      wrong ? pause(@trouble.met(wrong)) : @trouble.over
      !@finished.empty? || (@phase == :running ? !rests : settles || !jobs.nil?)
    rescue Error => e
      raise unless e.transient?

      settled
      pause(@trouble.met(e))
      true
    end

    def lost(serial, reason)
      job = @crew.lost(serial, reason)
      return if job.nil?

      what = reason == :timeout ? "ran for too long and is retried" : "is not this worker's any more (#{reason})"
      @log.warn("job #{job.id} of #{job.queue_name}, attempt #{job.attempts} of #{job.max_attempts}, #{what}; " \
                "its handler is told")
    end

    # Counts what is settled and keeps what may be, later; an error of those. What the file refuses for good is let go of: it
    # lapses, and must not keep the others waiting. `refusal` says why.
    def settled(refusal = nil)
      left, done = @finished.partition { |one| one.status.nil? || one.status.negative? }
      done.each { |one| @counts[one.becomes] += 1 }
      errors = left.group_by { |one| one.status && @worker.database.error_of(one.status, 0) }
      @finished = []
      errors.map do |error, settlements|
        next @finished.concat(settlements) && error if error.nil? || error.transient?

        settlements.each { |one| refused(one, refusal || error) }
        nil
      end.compact.first
    end

    def refused(settlement, error)
      job = settlement.job
      @log.error("job #{job.id} of #{job.queue_name} could not be settled, its claim lapses, and it will be " \
                 "tried again: #{Handler.message(error)}")
      @worker.put_down(job)
    rescue Error => e
      raise unless e.transient? # then its claim is extended until somebody settles or cancels it
    end

    def start(jobs)
      given_back, error = @crew.start(jobs)
      return @crowded_until || @crowded.over if error.nil?

      @finished.concat(given_back)
      @crowded_until = now + @crowded.met(error)
    end

    # When it is left otherwise than by being told to, as well. In the little time that whoever ends it may have to wait.
    def give_back
      return if @worker.nil?

      @crew.cancel(:stop)
      @finished.concat(@crew.take, @crew.release)
      latest = now + GRACE_S
      until @finished.empty?
        @worker.settle(@finished)
        settled
        return if @finished.empty? || now >= latest || @worker.closed?

        sleep LOOK_S
      end
    end

    def pause(seconds)
      latest = [now + seconds, @deadline].compact.min
      signalled = @signalled
      until now >= latest || @signalled > signalled || @worker&.closed? || (@phase == :running && told?)
        sleep([LOOK_S, latest - now].min.clamp(0, nil))
      end
    end

    # In the handler's thread.
    def failed(job, error, settlement)
      again = settlement.by_backoff? ? backoff(job) : settlement.delay_s
      @log.error("job #{job.id} of #{job.queue_name} failed, attempt #{job.attempts} of #{job.max_attempts}, " \
                 "#{settlement.dead? ? "it is dead now" : "next try in #{again} s"}: #{Handler.report(error, for_log: true)}")
      Hooks.failed(error, job)
    end

    def backoff(job)
      "about #{@worker&.backoff_s(job)}"
    rescue Error # nobody knows while the file cannot be read
      "some"
    end

    def say_how_it_ended
      @crew.take
      counts = %i[done snoozed retried dead released].map { |what| "#{@counts[what]} #{what}" }
      @log.info("#{@name} ended: #{counts.join(", ")}, #{@crew.busy} running")
    end
  end
  private_constant :Run
end
