# frozen_string_literal: true

require_relative "helper"

# Batches, the steps of jobs, and what a worker claims as.
class TestBatch < HonkerTest
  def run
    Timeout.timeout(120) { super }
  end

  # Works until there is nothing more to do; what the block did.
  def work(queue, **options, &block)
    worker = queue.worker("w", **options)
    worker.run(stop: -> { queue.stats.values_at(:pending, :delayed, :claimed).sum.zero? }, &block)
  ensure
    worker&.close
  end

  def test_the_last_of_a_batch_enqueues_what_was_asked_for
    q = db.queue("q")
    soon = { queue: "after", payload: { month: 7 }, delay: 50, expires: 500, priority: 3, metadata: { own: "x" }, unique_key: "k", unique_until: :claimed }
    batch = db.batch(on_success: soon, on_finished: { queue: db.queue("always", max_attempts: 9), payload: Honker::RawText.new("raw") }) do |open|
      assert_equal [false, nil], open.get.values_at(:sealed, :finished_at)
      q.enqueue(1, batch: open)
      db.enqueue_many([{ queue: q, payload: 2, batch: open }])
    end
    assert_equal [2, 2, true], batch.get.values_at(:total, :pending, :sealed)
    refute batch.seal
    work(q) { |job| assert_equal batch.id, job.batch.id }
    assert_equal [0, 2], batch.get.values_at(:pending, :done)
    assert_kind_of Integer, batch.get[:finished_at]
    after, always = db.jobs(order: :newest).sort_by { |job| job[:queue] }
    assert_equal [{ "month" => 7 }, 3, { "own" => "x", "batch_id" => batch.id.to_s }, "k"], after.values_at(:payload, :priority, :metadata, :unique_key)
    assert_equal [50, 500], [after[:run_at] - after[:created_at], after[:expires_at] - after[:created_at]]
    assert_equal ["raw", 9], always.values_at(:payload, :max_attempts)
    assert_equal batch.get, db.batch(always[:metadata][:batch_id]).get
    assert_nil db.batch(777).get
  end

  def test_a_batch_whose_block_is_left_otherwise_stays_open
    q = db.queue("q")
    made = []
    assert_raises(RuntimeError) { db.batch { |batch| (made << batch) && q.enqueue(1, batch: batch) && raise("no") } }
    db.batch { |batch| (made << batch) && break }
    assert_equal([false] * 2, made.map { |batch| batch.get[:sealed] })
    assert made.last.seal
    assert made.last.get[:finished_at]
    assert_raises(RuntimeError) { db.transaction { |tx| db.batch(tx: tx) { |batch| (made << batch) && q.enqueue(2, batch: batch, tx: tx) && raise("no") } } }
    assert_nil made.last.get
    assert_equal 1, q.stats[:pending]
    inner = db.transaction { |tx| db.batch(tx: tx) { |batch| assert_equal 0, batch.get(tx: tx)[:total] } }
    assert inner.get[:finished_at]
  end

  def test_running_members_may_add_others_to_a_sealed_batch
    q = db.queue("q")
    batch = db.batch { |open| q.enqueue("first", batch: open) }
    assert_raises(Honker::InvalidError) { q.enqueue("stranger", batch: batch) }
    done = []
    work(q) do |job|
      done << job.payload
      next if job.payload != "first"

      db.transaction { |tx| q.enqueue("by batch", batch: job.batch, tx: tx) }
      db.enqueue_many([{ queue: q, payload: "by member", batch: batch.id, member: job }])
      assert job.ack
      assert_raises(Honker::InvalidError) { q.enqueue("too late", batch: job.batch || Honker::Batch.new(db, batch.id, job)) }
    end
    assert_equal ["first", "by batch", "by member"], done
    assert_equal [3, 3], batch.get.values_at(:total, :done)
    assert_empty q.dead
    assert_nil q.claim_one("w").then { q.enqueue(1) && q.claim_one("w").batch }
  end

  def test_what_cannot_be_a_batch
    { { on_success: 5 } => TypeError, { on_success: { queue: "q" } } => ArgumentError, { on_finished: { queue: "q", payload: 1, batch: 1 } } => Honker::InvalidError,
      { on_finished: { queue: "q", payload: 1, speed: 1 } } => Honker::InvalidError, { keep_s: -1 } => Honker::InvalidError, { keep: 1 } => ArgumentError }.each do |options, error|
      assert_raises(error, options.inspect) { db.batch(**options) }
    end
    assert_raises(ArgumentError) { db.batch(1, keep_s: 5) }
    assert_raises(ArgumentError) { db.batch("x") }
    assert_raises(ArgumentError) { db.batch(0) }
    assert_raises(Honker::InvalidError) { db.batch(777).seal }
  end

  def test_a_step_is_done_once_whatever_is_retried
    q = db.queue("q", max_attempts: 5)
    q.configure(retry: { base_s: 0 })
    q.enqueue(1)
    ran = []
    seen = []
    work(q) do |job|
      seen << job.step("first") { (ran << 1) && { a: [:b, nil] } }
      seen << job.step(:second) { (ran << 2) && nil }
      seen << job.step("third") { job.attempts == 1 ? raise("not yet") : ran << 3 }
    end
    assert_equal [1, 2, 3], ran.uniq
    assert_equal [1, 2, 3], ran
    assert_equal [[{ "a" => ["b", nil] }, nil]] * 2, [seen.take(2), seen[2, 2]]
    assert_equal "b", seen.first.dig(:a, 0)
  end

  def test_a_step_in_a_transaction_is_there_with_its_writes_or_not_at_all
    db.transaction { |tx| tx.execute("CREATE TABLE paid (n)") }
    q = db.queue("q")
    q.enqueue(1)
    job = q.claim_one("w")
    pay = ->(tx) { job.step("pay", tx: tx) { tx.execute("INSERT INTO paid VALUES (1)") } }
    db.transaction { |tx| pay.call(tx) && tx.rollback! }
    assert_equal [0], db.query_row("SELECT count(*) FROM paid")
    2.times { db.transaction(&pay) }
    assert_equal [1], db.query_row("SELECT count(*) FROM paid")
    assert_raises(RuntimeError) { job.step("other") { raise "no" } }
    assert_equal(5, job.step("other") { 5 })
    assert_raises(TypeError) { job.step("x", tx: 5) { 1 } }
    assert_raises(LocalJumpError) { job.step("x") }
  end

  def test_a_step_of_a_lost_or_cancelled_job_is_not_saved
    q = db.queue("q", visibility_timeout_s: 0)
    id = q.enqueue(1)
    job = q.claim_one("w")
    eventually { Time.now.to_i > job.claim_expires_at }
    ran = []
    assert_match(/step late/, assert_raises(Honker::Cancelled) { job.step("late") { ran << 1 } }.message)
    job.cancel(:stop)
    assert_raises(Honker::Cancelled) { job.step("never") { ran << 2 } }
    assert_equal [1], ran
    assert_equal [[0]], db.query("SELECT count(*) FROM _honker_steps WHERE job_id = ?", [id])
  end

  def test_what_json_does_not_have_is_no_value_of_a_step
    db.queue("q").enqueue(1)
    job = db.queue("q").claim_one("w")
    error = assert_raises(Honker::Discard) { job.step("mail") { [{ sent: Time.now }] } }
    assert_equal "step mail has run, and is not saved: JSON has no Time; end the step with an id, a text or nil", error.message
    assert_match(/cannot be written as JSON: .*NaN/, assert_raises(Honker::Discard) { job.step("mail") { Float::NAN } }.message)
    assert_raises(TypeError) { job.step(5) { 1 } }
    assert_equal("ok", job.step("mail") { "ok" })
  end

  # The step has run: another attempt would run it again, so that there is none.
  def test_a_step_whose_value_has_no_json_is_not_run_again
    db.transaction { |tx| tx.execute("CREATE TABLE paid (n)") }
    q = db.queue("q", max_attempts: 5)
    q.configure(retry: { base_s: 0 })
    # What SQLite says of a gigabyte, without one.
    db.transaction { |tx| tx.execute(<<~SQL) }
      CREATE TRIGGER too_big BEFORE INSERT ON _honker_steps WHEN NEW.value = '"huge"'
      BEGIN SELECT zeroblob(1000000001 + 0 * NEW.job_id); END
    SQL
    values = { "NaN" => Float::NAN, "JSON has no Object" => Object.new, "\u00ff" => "\xff", "raw" => Honker::RawText.new("\xff"),
               "size" => "huge" }
    values.each_key { |why| 2.times { |tx| q.enqueue([why, tx]) } }
    q.enqueue("last")
    ran = []
    work(q) do |job|
      why, in_tx = job.payload
      pay = lambda do |tx|
        job.step("pay", tx: tx) do
          ran << [why, in_tx]
          tx&.execute("INSERT INTO paid VALUES (1)")
          values.fetch(why)
        end
      end
      next if why == "last"

      in_tx == 1 ? db.transaction(&pay) : pay.call(nil)
    end
    assert_equal ran.uniq, ran
    assert_equal values.size * 2, ran.size
    assert_equal [0, 0], db.query_row("SELECT (SELECT count(*) FROM paid), (SELECT count(*) FROM _honker_steps)")
    dead = db.jobs(queue: "q", state: :dead).to_a
    assert_equal ran.size, dead.size
    dead.each { |job| assert_match(/\Astep pay has run, and is not saved: /, job["last_error"]) }
    assert(dead.any? { |job| job["last_error"].include?("NaN") })
  end

  def test_a_worker_claims_as_its_name_and_its_process
    q = db.queue("q")
    q.enqueue_many([1, 2, 3])
    seen = []
    work(q, concurrency: 2) { |job| seen << [job.worker_id, q.get_job(job.id)[:worker_id], job.heartbeat, job.payload != 2 || job.ack] }
    assert_equal [[true, true]], seen.map { |one| one.last(2) }.uniq
    assert_equal 1, seen.flat_map { |one| one.first(2) }.uniq.size
    assert_match(RUBY_PLATFORM.include?("linux") ? /\Aw@\h{32}\z/ : /\Aw\z/, seen.first.first)
    q.enqueue_many([1, 2])
    assert_equal %w[w w], [q.worker("w").next.worker_id, q.claim("w").next.worker_id] # these keep the name
  end

  KILLED = <<~'RUBY'
    require "honker"
    $stdout.sync = true
    Honker.work("app.db", "q", "same name") { |job| puts job.id or sleep }
  RUBY

  def test_the_jobs_of_a_process_that_is_killed_go_to_others_at_once
    skip_loudly "only on Linux" unless RUBY_PLATFORM.include?("linux")
    q = db.queue("q")
    id = q.enqueue(1)
    IO.popen([RbConfig.ruby, "-I", File.join(PACKAGE, "lib"), "-e", KILLED, { chdir: @dir }]) do |io|
      assert_equal id, io.gets.to_i
      Process.kill("KILL", io.pid)
    end
    done = []
    work(q) { |job| done << [job.id, job.attempts] } # long before its claim, of 300 seconds, would lapse
    assert_equal [[id, 2]], done
  end

  def test_a_job_has_a_time_limit_of_its_own
    q = db.queue("q", max_attempts: 1)
    q.enqueue(1, max_run_s: 1)
    reasons = []
    work(q) { |job| (sleep 0.01 until job.cancelled?) || (reasons << job.cancel_reason) }
    assert_equal [:timeout], reasons
    assert_equal ["timeout after 1 s"], q.dead.map { |job| job[:last_error] }
  end
end
