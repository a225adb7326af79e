# frozen_string_literal: true

# The operations of conformance/PROTOCOL.md, each through the package's public API.

FEATURES = %w[
  queue tx wait stream notify sched result lock rate outbox journal watcher interrupt fork foreign enqueue_many settle_tx
  next_at release stats dead updates cron result_tx rate_sweep prune_keep tick_at text bytes nesting fault.abi
  metadata settings batch step bulk unique schedule_options unknown_keys metrics counters handlers
].freeze

def unless_nil(value, outcome)
  raise Otherwise.new(outcome: outcome) if value.nil? || value == []

  value
end

def next_of(request)
  handle = request.on
  was_closed = handle.closed?
  case handle
  when Honker::Worker
    n = request.key?("n") ? request["n"] : 1
    jobs = handle.next_batch(n, timeout: request.timeout)
    request.give(n.positive? ? unless_nil(jobs, "TIMEOUT") : jobs)
  when Honker::Updates
    handle.next(timeout: request.timeout) ? {} : raise(Otherwise.new(outcome: "TIMEOUT"))
  when Honker::Subscription
    { event: Request.event(unless_nil(handle.next(timeout: request.timeout), "TIMEOUT")) }
  else
    it = unless_nil(handle.next(timeout: request.timeout), "TIMEOUT")
    { notification: { id: it.id, channel: it.channel, payload: Request.stored(it.payload) } }
  end
rescue Honker::ClosedError
  raise if was_closed

  raise Otherwise.new(outcome: "CLOSED")
end

def foreign_exec(request)
  database = SQLite3::Database.new(request["path"])
  database.busy_timeout = 5000
  times = request.key?("times") ? request["times"] : 1
  times.times { database.execute(request["sql"]) }
  { done: times }
ensure
  database&.close
end

def fork_child(request)
  from, to = IO.pipe
  child = fork do
    to.write(JSON.generate(request["steps"].map { |step| request.testee.answer(step) }))
    to.close
    exit!(0)
  end
  to.close
  answers = from.read
  Process.wait(child)
  { answers: JSON.parse(answers) }
ensure
  from&.close
end

def sql_value(value)
  value.is_a?(String) && value.encoding == Encoding::BINARY ? { "$hex" => value.unpack1("H*") } : value
end

def query(request)
  on = request.on
  on = on.transaction if on.is_a?(OpenTransaction)
  params = (request.keys["params"] || []).map { |value| request.value(value) }
  rows = request.key?("params") ? on.query(request["sql"], params) : on.query(request["sql"])
  { rows: rows.map { |row| row.map { |value| sql_value(value) } } }
end

# Less than one attempt is refused for a queue and an outbox, and not for a job.
def without_attempts(options)
  none = options.delete(:max_attempts) if options[:max_attempts]&.<(1)
  yield.tap { |made| NO_ATTEMPTS[made] = none }
end

def update_schedule(request)
  changes = request.options(schedule: :schedule, priority: :priority, expires_s: :expires_s,
                            max_attempts: :max_attempts)
  changes[:payload] = request.payload if request.key?("payload")
  { changed: request.on.scheduler.update(request["name"], **changes) }
end

def run_scheduler(request)
  scheduler = request.on.scheduler
  owner = request["owner"]
  scheduler.leader(owner).close # says here what run would say in its own thread: that it cannot
  Runner.new { |stop| scheduler.run(owner: owner, stop: stop) }
end

def create_batch(request)
  options = request["options"].to_h do |name, value|
    next [name.to_sym, value] unless value.is_a?(Hash) && name.start_with?("on_")

    job = value.transform_keys(&:to_sym)
    job[:payload] = Honker::RawText.new(job[:payload]) if job[:payload].is_a?(String)
    [name.to_sym, { **job.except(:options), **(job[:options] || {}).transform_keys(&:to_sym) }]
  end
  { id: request.on.batch(**options, **request.within).id }
end

def jobs_page(request)
  filter = request["filter"].transform_keys(&:to_sym)
  pages = { page_size: filter[:limit], cursor: filter[:cursor] }.compact
  yield request.on.jobs(**filter.except(:limit, :cursor), **request.within), pages
end

NOT_SAVED = Class.new(StandardError)

# A step of a job in hand, which the block does if it was not done before.
def step_of(request, &block)
  { value: Request.stored(request.job.step(request["name"], **request.within, &block)) }
rescue NOT_SAVED
  raise Otherwise.new(outcome: "EMPTY")
rescue Honker::Cancelled
  raise Otherwise.new(outcome: "LOST")
end

OPEN = { busy_timeout_ms: :busy_timeout_ms, watcher_backend: :watcher, watcher_poll_interval_ms: :poll_ms }.freeze

OPERATIONS = {
  "hello" => ->(r) { { testee: "ruby", version: Honker::VERSION, pid: Process.pid, features: FEATURES } if r },
  "open" => lambda do |r|
    journal = r.key?("journal") ? { journal_mode: r["journal"].downcase.to_sym } : {}
    r.keep { Honker::Database.new(r["path"], **r.options(**OPEN), **journal) }
  end,
  "close" => ->(r) { r.testee.close(r.on) || {} },
  "interrupt" => ->(r) { r.on.interrupt || {} },
  "fork" => method(:fork_child),
  "foreign.exec" => method(:foreign_exec),
  # Of one that is over: the package's own error.
  "tx.commit" => ->(r) { r.transaction(r.keys["on"]).query("SELECT 1") && {} },
  "tx.rollback" => ->(r) { r.transaction(r.keys["on"]).rollback! && {} },
  "sql.exec" => lambda do |r|
    params = (r.keys["params"] || []).map { |value| r.value(value) }
    { changes: r.on.transaction.execute(r["sql"], params) }
  end,
  "sql.query" => method(:query),
  "queue.open" => lambda do |r|
    options = r.options(visibility_timeout_s: :visibility_timeout_s, max_attempts: :max_attempts)
    r.keep { without_attempts(options) { r.on.queue(r["name"], **options) } }
  end,
  "queue.enqueue" => ->(r) { r.on.try_enqueue(r.payload, **r.enqueue_options).to_h },
  "queue.enqueue_many" => lambda do |r|
    { ids: r.on.enqueue_many(r["payloads"].map { |payload| r.payload(payload) }, **r.enqueue_options) }
  end,
  "queue.claim" => ->(r) { r.give(r.on.claim_batch(r["worker"], r["n"])) },
  "queue.ack" => ->(r) { r.settled(r.job.ack(**r.within)) },
  "queue.retry" => ->(r) { r.settled(r.job.retry(delay_s: r["delay_s"], error: r["error"], **r.within)) },
  "queue.fail" => ->(r) { r.settled(r.job.fail(error: r["error"], **r.within)) },
  "queue.release" => ->(r) { r.settled(r.job.snooze(r["delay_s"], **r.within)) },
  "queue.heartbeat" => ->(r) { r.settled(r.job.heartbeat(extend_s: r["extend_s"], **r.within)) },
  "queue.ack_many" => ->(r) { { acked: r.on.ack_batch(r["ids"], r["worker"]) } },
  "queue.cancel" => ->(r) { { cancelled: r.on.cancel(r["id"]) } },
  "queue.get" => ->(r) { { job: Request.row(unless_nil(r.on.get_job(r["id"]), "EMPTY")) } },
  "queue.next_at" => ->(r) { { at: r.on.next_claim_at || 0 } },
  "queue.sweep" => ->(r) { { n: r.on.sweep_expired } },
  "queue.stats" => ->(r) { { stats: r.on.stats } },
  "queue.configure" => ->(r) { r.on.configure(**r["settings"].transform_keys(&:to_sym)) || {} },
  "queue.settings" => ->(r) { { settings: r.on.settings } },
  "queues" => ->(r) { { queues: r.on.queues } },
  "metrics" => ->(r) { r.on.metrics },
  "step.get" => ->(r) { step_of(r) { raise NOT_SAVED } },
  "step.save" => ->(r) { step_of(r) { r.payload(r.keys.fetch("value")) } },
  "worker.run" => ->(r) { r.keep { HandlerRun.new(r.on.worker(r["worker"]), r["handle"]) } },
  "handler.next" => ->(r) { unless_nil(r.on.next(r.timeout), "TIMEOUT") },
  "dead.list" => ->(r) { { jobs: r.on.dead(**r.options(limit: :limit)).map { |row| Request.row(row) } } },
  "dead.requeue" => ->(r) { { requeued: r.on.requeue(r["id"]) } },
  "dead.purge" => ->(r) { { n: r.on.purge_dead(older_than_s: r["older_than_s"]) } },
  "dead.groups" => ->(r) { { groups: r.on.dead_groups } },
  "jobs.list" => lambda do |r|
    page = jobs_page(r) { |jobs, pages| jobs.page(**pages) }
    { page: page.merge(jobs: page[:jobs].map { |job| Request.row(job) }) }
  end,
  "jobs.apply" => lambda do |r|
    { applied: jobs_page(r) { |jobs, pages| jobs.apply(r["action"], **pages) } }
  end,
  "batch.create" => method(:create_batch),
  "batch.seal" => ->(r) { { sealed: r.on.batch(r["id"]).seal(**r.within) } },
  "batch.get" => ->(r) { { batch: unless_nil(r.on.batch(r["id"]).get, "EMPTY") } },
  "worker.open" => ->(r) { r.keep { r.on.worker(r["worker"]) } },
  "next" => method(:next_of),
  "wake" => ->(r) { raise Otherwise.new(unsupported: "wake") if r },
  "updates.open" => ->(r) { r.keep { r.on.updates } },
  "stream.open" => ->(r) { r.keep { r.on.stream(r["topic"]) } },
  "stream.publish" => ->(r) { { offset: r.on.publish(r.payload, **r.options(key: :key), **r.within) } },
  "stream.configure" => ->(r) { r.on.configure(**r["settings"].transform_keys(&:to_sym)) || {} },
  "stream.trim" => ->(r) { { n: r.on.trim(**r["settings"].transform_keys(&:to_sym)) } },
  "stream.read" => lambda do |r|
    { events: r.on.read_since(r["offset"], *r.options(limit: :limit).values).map { |event| Request.event(event) } }
  end,
  "stream.read_consumer" => lambda do |r|
    events = r.on.read_from_consumer(r["consumer"], *r.options(limit: :limit).values)
    { events: events.map { |event| Request.event(event) } }
  end,
  "stream.save" => ->(r) { { saved: r.on.save_offset(r["consumer"], r["offset"], **r.within) } },
  "stream.offset" => ->(r) { { offset: r.on.get_offset(r["consumer"]) } },
  "stream.subscribe" => lambda do |r|
    options = r.options(consumer: :consumer, from_offset: :from_offset, save_every_n: :save_every_n)
    options[:save_every_s] = Rational(r["save_every_ms"], 1000) if r.key?("save_every_ms")
    r.keep { r.on.subscribe(**options) }
  end,
  "subscription.ack" => ->(r) { r.on.ack || {} },
  "subscription.save" => ->(r) { r.on.save || {} },
  "subscription.offset" => ->(r) { { offset: r.on.offset } },
  "notify.send" => ->(r) { { id: r.on.notify(r["channel"], r.payload, **r.within) } },
  "notify.configure" => ->(r) { r.on.configure_notifications(**r["settings"].transform_keys(&:to_sym)) || {} },
  "notify.prune" => lambda do |r|
    { n: r.on.prune_notifications(**r.options(older_than_s: :older_than_s, max_keep: :max_keep)) }
  end,
  "listen.open" => ->(r) { r.keep { r.on.listen(r["channel"]) } },
  "sched.add" => lambda do |r|
    options = r.options(name: :name, queue: :queue, schedule: :schedule, priority: :priority, expires_s: :expires_s,
                        max_attempts: :max_attempts, overlap: :overlap, delay: :delay_s, metadata: :metadata, **Request::UNIQUE)
    r.on.scheduler.add(**options, payload: r.payload) || {}
  end,
  "sched.remove" => ->(r) { { changed: r.on.scheduler.remove(r["name"]) == 1 } },
  "sched.pause" => ->(r) { { changed: r.on.scheduler.pause(r["name"]) } },
  "sched.resume" => ->(r) { { changed: r.on.scheduler.resume(r["name"]) } },
  "sched.update" => method(:update_schedule),
  "sched.list" => ->(r) { { schedules: r.on.scheduler.list.map { |row| Request.row(row) } } },
  "sched.tick" => ->(r) { { fires: r.on.scheduler.tick(*r.options(now: :now).values).map { |fire| Request.fire(fire) } } },
  "sched.soonest" => ->(r) { { at: r.on.scheduler.soonest || 0 } },
  "sched.run" => ->(r) { r.keep { run_scheduler(r) } },
  "cron.next_after" => ->(r) { { at: r.on.scheduler.next_after(r["schedule"], r["from"]) } },
  "result.save" => ->(r) { r.on.save_result(r["id"], r.result_text, **r.options(ttl_s: :ttl_s), **r.within) || {} },
  "result.get" => ->(r) { { value: Request.result(unless_nil(r.on.get_result(r["id"]), "EMPTY")) } },
  "result.wait" => lambda do |r|
    { value: Request.result(r.on.wait_result(r["id"], timeout: r.timeout)) }
  rescue Honker::TimeoutError
    raise Otherwise.new(outcome: "TIMEOUT")
  end,
  "result.sweep" => ->(r) { { n: r.on.sweep_results } },
  "lock.acquire" => lambda do |r|
    options = r.options(owner: :owner, ttl_s: :ttl_s)
    r.keep { unless_nil(r.on.try_lock(r["name"], **options), "HELD") }
  end,
  "lock.renew" => ->(r) { r.settled(r.on.heartbeat(ttl_s: r["ttl_s"])) },
  "lock.release" => ->(r) { r.settled(r.on.release) },
  "rate.try" => lambda do |r|
    r.on.try_rate_limit(r["name"], limit: r["limit"], per: r["per_s"]) ? {} : raise(Otherwise.new(outcome: "LIMITED"))
  end,
  "rate.sweep" => ->(r) { { n: r.on.sweep_rate_limits(older_than_s: r["older_than_s"]) } },
  "outbox.open" => lambda do |r|
    options = r.options(visibility_timeout_s: :visibility_timeout_s, max_attempts: :max_attempts,
                        base_backoff_s: :base_backoff_s)
    r.keep { without_attempts(options) { ScriptedOutbox.new(r.on, r["name"], r["deliver"], options) } }
  end,
  "outbox.enqueue" => ->(r) { { id: r.on.outbox.enqueue(r.payload, **r.enqueue_options) } },
  "outbox.run_once" => ->(r) { { handled: r.on.outbox.run_once(r["worker"]) } },
  "outbox.run" => lambda do |r|
    outbox = r.on.outbox
    worker = r["worker"]
    r.keep { Runner.new { |stop| outbox.run_worker(worker, stop: stop) } }
  end,
  "outbox.calls" => ->(r) { { payloads: r.on.calls.map { |payload| Request.stored(payload) } } }
}.freeze
