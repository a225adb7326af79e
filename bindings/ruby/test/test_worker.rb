# frozen_string_literal: true

require_relative "helper"

# Worker#run: jobs side by side, what becomes of them, and how it ends.
class TestWorker < HonkerTest
  # What a Logger would be told.
  class Log
    attr_reader :lines

    def initialize
      @lines = Thread::Queue.new
    end

    %i[info warn error].each { |level| define_method(level) { |text| @lines << [level, text] } }
  end

  # Most wait for what a handler does: what does not come is a failure.
  def run
    Timeout.timeout(120) { super }
  end

  def teardown
    @stop = true
    @runs&.each { |thread| ended?(thread) || thread.kill }
    super
  end

  # Runs a worker in a thread until the test, or `stop`, ends.
  def run_worker(worker, **options, &block)
    thread = Thread.new { worker.run(stop: -> { @stop }, **options, &block) }
    (@runs ||= []) << thread
    thread
  end

  def end_of(thread)
    @stop = true
    assert thread.join(20), "the worker does not stop"
    thread
  end

  # How often the library is called meanwhile, in whichever thread.
  def calls_of(name)
    calls = 0
    trace = TracePoint.new(:c_call) { |point| calls += 1 if point.method_id == name }
    trace.enable
    yield
    calls
  ensure
    trace.disable
  end

  def left(queue)
    queue.stats.values_at(:pending, :delayed, :claimed, :dead)
  end

  def test_jobs_run_side_by_side_up_to_the_concurrency
    q = db.queue("q")
    q.enqueue_many((1..7).to_a)
    entered = Thread::Queue.new
    go = Thread::Queue.new
    run_worker(q.worker("w", concurrency: 3)) { entered << 1 and go.pop }
    3.times { entered.pop }
    assert_equal 3, q.stats[:claimed]
    assert_equal 4, q.stats[:pending]
    2.times { go << 1 }
    2.times { entered.pop }
    assert_equal 3, q.stats[:claimed]
    5.times { go << 1 }
    eventually { left(q).sum.zero? }
    assert_empty entered.tap { 2.times { entered.pop } }
  end

  def test_one_call_claims_for_all_who_are_free
    q = db.queue("q")
    q.enqueue_many((1..8).to_a)
    begun = Thread::Queue.new
    go = Thread::Queue.new
    claims = calls_of(:honker_worker_settle_next) do
      run_worker(q.worker("w", concurrency: 8)) { begun << 1 and go.pop }
      8.times { begun.pop }
    end
    assert_includes 1..4, claims
    8.times { go << 1 }
    eventually { left(q).sum.zero? }
  end

  # It settles one and claims the next; then there is nothing to ask until that one has returned.
  def test_one_call_for_each_job_is_enough
    q = db.queue("q")
    q.enqueue_many((1..40).to_a)
    calls = calls_of(:honker_worker_settle_next) do
      end_of(run_worker(q.worker("w", concurrency: 1)) { nil }.tap { eventually { left(q).sum.zero? } })
    end
    assert_includes 41..59, calls
  end

  def test_weights_say_which_queue_is_asked_first
    first, second = %w[first second].map { |name| db.queue(name) }
    order = []
    [second, first].each { |queue| queue.enqueue_many((1..5).to_a) }
    worker = db.worker({ first => 0, "second" => 0 })
    end_of(run_worker(worker) { |job| order << [job.queue_name, job.payload] }.tap { eventually { order.size == 10 } })
    assert_equal [*(1..5).map { |n| ["first", n] }, *(1..5).map { |n| ["second", n] }], order
  end

  def test_a_queue_has_no_more_jobs_in_hand_than_it_may
    queues = { "high" => 1, "low" => { weight: 1, max_in_hand: 1 } }
    queues.each_key { |name| db.queue(name).enqueue_many([1, 2, 3]) }
    running = Thread::Queue.new
    go = Thread::Queue.new
    counts = Hash.new(0)
    most = Hash.new(0)
    lock = Mutex.new
    worker = db.worker(queues, "w", concurrency: 4)
    thread = Thread.new do
      worker.run(stop: -> { queues.keys.sum { |name| db.queue(name).stats.values_at(:pending, :claimed).sum }.zero? }) do |job|
        lock.synchronize { most[job.queue_name] = [most[job.queue_name], counts[job.queue_name] += 1].max }
        running << job.queue_name
        go.pop
        lock.synchronize { counts[job.queue_name] -= 1 }
      end
    end
    first = Array.new(4) { running.pop }
    assert_equal({ "high" => 3, "low" => 1 }, first.tally)
    6.times { go << true }
    thread.join
    assert_equal({ "high" => 3, "low" => 1 }, most)
    assert_raises(ArgumentError) { db.worker({ "q" => { most: 1 } }) }
    assert_raises(Honker::InvalidError, RangeError, ArgumentError) { db.worker({ "q" => { max_in_hand: 0 } }) }
  ensure
    worker&.close
  end

  def test_a_queue_of_more_weight_has_its_turn_more_often
    [2, 1].each { |n| db.queue("q#{n}").enqueue_many((1..200).to_a) }
    order = []
    worker = db.worker({ "q1" => 9, "q2" => 1 }, "w")
    end_of(run_worker(worker) { |job| order << job.queue_name }.tap { eventually { order.size == 400 } })
    assert_operator order.first(100).count("q1"), :>, 60
    assert_includes order.first(100), "q2"
  end

  def test_what_a_handler_raises_says_what_becomes_of_its_job
    q = db.queue("q")
    outcomes = { "retry" => -> { raise Honker::Retry.new("later", delay_s: 1000) }, "discard" => -> { raise Honker::Discard, "never" },
                 "snooze" => -> { raise Honker::Snooze.new(delay_s: 2000) }, "error" => -> { raise "boom" }, "ok" => -> {} }
    ids = outcomes.to_h { |name, _| [name, q.enqueue(name)] }
    before = Time.now.to_i
    end_of(run_worker(q.worker("w", retry_base_s: 100, retry_jitter: 0)) { |job| outcomes.fetch(job.payload).call }
      .tap { eventually { left(q) == [0, 3, 0, 1] } })
    jobs = ids.transform_values { |id| q.get_job(id) }
    assert_nil jobs["ok"]
    assert_equal %w[discard never], q.dead.first.values_at(:payload, :last_error)
    { "retry" => [1000, 1], "snooze" => [2000, 0], "error" => [100, 1] }.each do |name, (delay_s, attempts)|
      assert_includes (delay_s..delay_s + 20), jobs[name][:run_at] - before, name
      assert_equal attempts, jobs[name][:attempts], name
    end
  end

  def test_a_handler_may_settle_its_job_itself
    q = db.queue("q")
    db.transaction { |tx| tx.execute("CREATE TABLE done (n INTEGER)") }
    ids = q.enqueue_many(%w[ack snooze release])
    seen = []
    thread = run_worker(q.worker("w")) do |job|
      seen << job.payload
      case job.payload
      when "ack" then db.transaction { |tx| tx.execute("INSERT INTO done VALUES (1)") && job.ack(tx: tx) }
      when "snooze" then assert job.snooze(1000)
      else seen.count("release") == 1 ? assert(job.release) : job.discard(error: "enough")
      end
    end
    eventually { q.dead.size == 1 }
    end_of(thread)
    assert_equal 0, q.get_job(ids[1])[:attempts]
    assert_equal ["enough", 1], q.dead.first.values_at(:last_error, :attempts)
    assert_equal [1], db.query_row("SELECT count(*) FROM done")
    assert_equal [0, 1, 0, 1], left(q)
  end

  def test_a_cancelled_job_cancels_its_handler
    q = db.queue("q")
    id = q.enqueue(1)
    begun = Thread::Queue.new
    ended = Thread::Queue.new
    run_worker(q.worker("w")) do |job|
      begun << job
      loop { job.check! || sleep(0.005) }
    rescue Honker::Cancelled => e
      ended << e
      raise
    end
    job = begun.pop
    refute job.cancelled?
    assert q.cancel(id)
    assert_equal "job #{id} is cancelled (gone)", ended.pop.message
    assert job.cancelled?
    assert_raises(Honker::Cancelled) { job.heartbeat! }
    q.enqueue(2)
    second = begun.pop # its place is free
    assert_equal 2, second.payload
    assert q.cancel(second.id)
  end

  def test_a_handler_that_runs_for_too_long_is_cancelled_and_its_job_retried
    q = db.queue("q", max_attempts: 1)
    q.enqueue(1)
    ended = Thread::Queue.new
    run_worker(q.worker("w", max_run_s: 1)) { |job| sleep 0.005 until job.cancelled? && (ended << 1) }
    assert_equal 1, ended.pop
    assert_equal ["timeout after 1 s"], q.dead.map { |dead| dead[:last_error] }
  end

  def test_the_claims_of_jobs_in_hand_are_extended
    q = db.queue("q", visibility_timeout_s: 6)
    id = q.enqueue(1)
    begun = Thread::Queue.new
    go = Thread::Queue.new
    run_worker(q.worker("w")) { |job| begun << job and go.pop }
    until_s = begun.pop.claim_expires_at
    eventually { q.get_job(id)[:claim_expires_at] > until_s }
    go << 1
    eventually { left(q).sum.zero? }
  end

  def test_who_stops_lets_what_runs_finish_and_claims_nothing
    q = db.queue("q")
    q.enqueue_many([1, 2, 3])
    begun = Thread::Queue.new
    go = Thread::Queue.new
    thread = run_worker(q.worker("w", concurrency: 2)) { begun << 1 and go.pop }
    2.times { begun.pop }
    @stop = true
    refute thread.join(0.3)
    2.times { go << 1 }
    end_of(thread)
    assert_equal [1, 0, 0, 0], left(q)
  end

  def test_after_the_limit_handlers_are_cancelled_and_the_others_jobs_given_back
    q = db.queue("q")
    ids = q.enqueue_many(%w[looks deaf])
    begun = Thread::Queue.new
    looked = Thread::Queue.new
    hold = Thread::Queue.new
    thread = run_worker(q.worker("w", concurrency: 2), stop_timeout_s: 0.1) do |job|
      begun << 1
      job.payload == "deaf" ? hold.pop : loop { job.check! || sleep(0.005) }
    rescue Honker::Cancelled
      looked << 1
      raise
    end
    2.times { begun.pop }
    @stop = true
    error = error_of(thread)
    assert_instance_of Honker::UnfinishedError, error
    assert_equal 1, error.running
    assert_equal 1, looked.size
    assert_equal [2, 0, 0, 0], left(q)
    assert_equal([0, 0], ids.map { |id| q.get_job(id)[:attempts] })
    hold << 1
  end

  def test_a_kill_gives_back_what_is_in_hand
    q = db.queue("q")
    id = q.enqueue(1)
    begun = Thread::Queue.new
    thread = run_worker(q.worker("w")) { |job| begun << job and sleep 0.005 until job.cancelled? }
    begun.pop
    assert thread.kill.join(20)
    assert_equal [1, 0, 0, 0], left(q)
    assert_equal 0, q.get_job(id)[:attempts]
  end

  def test_a_handler_that_ends_its_thread_is_a_failure_and_the_worker_goes_on
    q = db.queue("q", max_attempts: 1)
    q.enqueue_many([1, 2, 3, "last"])
    done = Thread::Queue.new
    run_worker(q.worker("w", concurrency: 2)) { |job| job.payload == "last" ? done << 1 : Thread.exit }
    done.pop
    eventually { left(q) == [0, 0, 0, 3] }
    assert_equal ["the handler has ended its thread"], q.dead.map { |job| job[:last_error] }.uniq
  end

  def test_failures_are_logged_and_a_lock_once
    short = open_database(busy_timeout_ms: 0)
    q = short.queue("q")
    log = Log.new
    failed = Thread::Queue.new
    q.enqueue("bad")
    thread = run_worker(q.worker("w", logger: log)) { failed << 1 and raise "boom" }
    failed.pop
    level, text = log.lines.pop
    assert_equal :error, level
    assert_match(/\Ahonker: job \d+ of q failed, attempt 1 of 3, next try in about 15 s: boom \(RuntimeError\)\n.*test_worker\.rb/, text)
    eventually { q.stats[:delayed] == 1 }
    q.enqueue("more")
    db.transaction { |tx| tx.execute("UPDATE _honker_live SET run_at = 0") && sleep(0.5) }
    failed.pop
    end_of(thread)
    assert_operator(log.lines.size.times.map { log.lines.pop }.count { |line| line.first == :warn }, :<=, 1)
  end

  def test_what_cannot_be
    assert_raises(ArgumentError) { db.worker("q", concurrency: 0) }
    assert_raises(Honker::InvalidError) { db.worker(%w[q q]) }
    assert_raises(Honker::InvalidError) { db.worker([]) }
    assert_raises(Honker::InvalidError) { db.worker("q", max_run_s: 0) }
    assert_raises(Honker::InvalidError) { db.worker("a\0b") }
    assert_raises(ArgumentError) { db.worker("q", speed: 1) }
  end

  def test_a_job_in_hand_costs_nothing
    q = db.queue("q")
    q.enqueue(1)
    begun = Thread::Queue.new
    go = Thread::Queue.new
    run_worker(q.worker("w", concurrency: 4)) { begun << 1 and go.pop }
    begun.pop
    assert_operator calls_of(:honker_worker_settle_next) { sleep 1 }, :<, 8
    assert_operator calls_of(:honker_waiter_ready) { sleep 1 }, :<, 8
    go << 1
  end
end
