# frozen_string_literal: true

# What a request of the suite says, and what the testee keeps for it.

# Ends a request with something else than `ok`.
class Otherwise < StandardError
  attr_reader :answer

  def initialize(**answer)
    super(answer.to_s)
    @answer = answer
  end
end

# Something done in one of the threads that were there from the beginning: Ruby keeps those that have ended for a while, and
# the suite counts them.
class Task
  WAITING = Thread::Queue.new
  24.times { Thread.new { loop { WAITING.pop.run } } }

  def initialize(&block)
    @block = block
    @done = false
    WAITING << self
  end

  def run
    @block.call
  rescue StandardError => e
    warn e.full_message
  ensure
    @done = true
  end

  def join
    until @done
      yield if block_given?
      sleep 0.005
    end
  end
end

# A loop that runs until it is closed.
class Runner
  def initialize
    @stop = false
    @task = Task.new { yield(-> { @stop }) }
  end

  def close
    @stop = true
    @task.join
  end
end

# A worker whose handler does what the script says, and what has happened to that.
class HandlerRun
  def initialize(worker, script)
    @seen = Thread::Queue.new
    @stop = false
    @calls = 0
    @script = script
    @task = Task.new { worker.run(stop: -> { @stop }, signals: false, stop_timeout_s: 0) { |job| handle(job) } }
  end

  def handle(job)
    what = @script[[@calls, @script.size - 1].min]
    @calls += 1
    say(job, what: "called")
    return if what == "ok"
    raise what unless what == "wait"

    sleep 0.0005 until job.cancelled?
    say(job, what: "told", reason: job.cancel_reason)
    job.check!
  end

  def say(job, **what)
    at_us = Process.clock_gettime(Process::CLOCK_REALTIME, :microsecond)
    @seen << { id: job.id, attempts: job.attempts, worker: job.worker_id, at_us: at_us, **what }
  end

  # nil if the time is over: older Rubies have no time for pop.
  def next(timeout)
    deadline = now + timeout
    sleep 0.001 while @seen.empty? && now < deadline
    @seen.pop unless @seen.empty?
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  def close
    @stop = true
    @task.join
  end
end

# An outbox whose deliveries go as the script says.
class ScriptedOutbox
  attr_reader :outbox, :calls

  def initialize(database, name, script, options)
    @calls = []
    @outbox = database.outbox(name, method(:deliver), **options)
  ensure
    @script = script
  end

  def deliver(payload)
    @calls << payload
    what = @script[[@calls.size, @script.size].min - 1]
    raise what unless what == "ok"
  end
end

# A transaction, whose block runs in the thread of `lane`.
OpenTransaction = Struct.new(:transaction, :lane, :open)

# How many attempts the jobs of a queue or an outbox have, if that is less than one.
NO_ATTEMPTS = ObjectSpace::WeakMap.new

# One request, with what most operations do with it.
class Request
  UNIQUE = %i[unique_key unique_until unique_for_s on_conflict].to_h { |name| [name, name] }.freeze

  attr_reader :keys, :testee

  def initialize(testee, keys)
    @testee = testee
    @keys = keys
  end

  def [](key)
    value(@keys.fetch(key))
  end

  def key?(key)
    @keys.key?(key)
  end

  # A value of the case: texts that are not UTF-8 are spelt out.
  def value(value)
    return value unless value.is_a?(Hash)
    return [value["$bytes"]].pack("H*").force_encoding(Encoding::UTF_8) if value.key?("$bytes")
    return [value["$hex"]].pack("H*") if value.key?("$hex")

    value
  end

  def payload(value = @keys.fetch("payload"))
    return value unless value.is_a?(Hash)

    text = value["$text"] || (value.key?("$bytes") && self.value(value))
    text ? Honker::RawText.new(text) : value
  end

  def result_text
    given = payload(@keys.fetch("value"))
    given.is_a?(Honker::RawText) ? String.new(given) : JSON.generate(given)
  end

  def on
    testee.handle(@keys.fetch("on"))
  end

  def transaction(name = @keys["tx"])
    testee.handle(name).transaction if name
  end

  def keep
    testee.drop(@keys.fetch("as"))
    made = yield
    testee.handles[@keys.fetch("as")] = made
    {}
  end

  # The arguments that were given, under the package's names.
  def options(**names)
    names.each_with_object({}) { |(name, key), given| given[name] = self[key.to_s] if key?(key.to_s) }
  end

  def within
    key?("tx") ? { tx: transaction } : {}
  end

  def enqueue_options
    options(delay: :delay_s, run_at: :run_at, priority: :priority, expires: :expires_s, metadata: :metadata,
            concurrency_key: :concurrency_key, batch: :batch_id, max_run_s: :max_run_s, **UNIQUE)
      .merge(within, { max_attempts: NO_ATTEMPTS[on], member: member }.compact)
  end

  def member
    return unless key?("member")

    testee.jobs.fetch(self["member"].values_at("job_id", "worker_id")) { raise Otherwise.new(unsupported: "by_id") }
  end

  def timeout
    ms = @keys.fetch("timeout_ms")
    ms.negative? ? nil : ms / 1000.0
  end

  def job
    queue = on
    testee.jobs.fetch([self["id"], self["worker"]]) do
      raise Otherwise.new(unsupported: "by_id") if queue
    end
  end

  def settled(done)
    raise Otherwise.new(outcome: "LOST") unless done

    {}
  end

  def give(jobs)
    jobs.each { |job| testee.jobs[[job.id, job.worker_id]] = job }
    { jobs: jobs.map do |job|
      given = { id: job.id, queue: job.queue_name, payload: Request.stored(job.payload), worker: job.worker_id,
                attempts: job.attempts }
      job.metadata.empty? ? given : given.merge(metadata: job.metadata)
    end }
  end

  def self.stored(payload)
    payload.is_a?(Honker::RawText) ? { "$text" => payload } : payload
  end

  def self.row(row)
    row&.merge("payload" => stored(row["payload"]))
  end

  def self.result(text)
    JSON.parse(text, max_nesting: false)
  rescue JSON::ParserError
    { "$text" => text }
  end

  # The status is only told of a fire that has enqueued no job.
  def self.fire(fire)
    fire.to_h.reject { |key, value| key == :status && value == :enqueued }
  end

  def self.event(event)
    event.to_h.merge(payload: stored(event.payload))
  end
end
