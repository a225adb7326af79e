# frozen_string_literal: true

require_relative "helper"
require "pathname"

class TestDatabase < HonkerTest
  def test_arguments_of_open
    assert_raises(ArgumentError) { open_database(watcher_backend: :polling) }
    assert_match(/must be positive/, assert_raises(ArgumentError) { open_database(watcher_poll_interval_ms: 0) }.message)
    assert_raises(ArgumentError) { open_database(watcher_poll_interval_ms: 1.5) }
    assert_raises(ArgumentError) { open_database(journal_mode: :none) }
    assert_raises(ArgumentError) { open_database(durability: 1) }
    assert_raises(ArgumentError) { open_database(max_readers: 0) }
    assert_raises(RangeError) { open_database(busy_timeout_ms: 2**63) }
    error = assert_raises(Honker::InvalidError) { open_database(watcher_backend: "inotify") }
    assert_includes error.message, "unknown watcher backend"
    assert_raises(Honker::InvalidError) { Honker::Database.new(":memory:") }
    assert_raises(TypeError) { Honker::Database.new(nil) }
    assert_raises(ArgumentError) { Honker::Database.new("a\0b") }
    error = assert_raises(Honker::CannotOpenError) { Honker::Database.new("#{@dir}/no/app.db") }
    assert_equal ["HONKER_CANNOT_OPEN", -8, 14], [error.name, error.status, error.sqlite_code]
    File.write("#{@dir}/text", "this is no database, but long enough to be looked at " * 50)
    assert_raises(Honker::CorruptError) { Honker::Database.new("#{@dir}/text") }
    assert_equal :done, Honker::Database.open(Pathname(@path), watcher_backend: "polling") { :done }
    assert_nil db.warning
  end

  def test_every_journal_mode
    { wal: "wal", delete: "delete", truncate: "truncate", persist: "persist" }.each do |mode, name|
      Honker::Database.open("#{@dir}/#{mode}.db", journal_mode: mode, durability: :full) do |one|
        assert_equal name, one.transaction { |tx| tx.query_row("PRAGMA journal_mode").first }
      end
    end
  end

  def test_bad_input
    q = db.queue("q")
    assert_raises(TypeError) { db.queue(1) }
    assert_raises(TypeError) { db.queue("q", max_attempts: "3") }
    assert_raises(TypeError) { q.enqueue(1, delay: "1") }
    assert_raises(RangeError) { q.enqueue(1, delay: 2**63) }
    assert_raises(RangeError) { q.enqueue(1, delay: (2**63) - 1) }
    assert_raises(RangeError) { q.enqueue(1, run_at: (2**63) - 1) }
    assert_raises(RangeError) { q.enqueue(1, expires: (2**63) - 1) }
    assert_raises(RangeError) { q.enqueue(1, priority: -(2**63) - 1) }
    assert_raises(RangeError) { q.enqueue(1, delay: Float::NAN) }
    assert_raises(RangeError) { db.prune_notifications(max_keep: (2**63) - 1) }
    assert_raises(RangeError) { db.scheduler.tick((2**63) - 1) }
    assert_raises(RangeError) { db.stream("s").subscribe(from_offset: (2**63) - 1) }
    assert_raises(TypeError) { q.enqueue(1, tx: 5) }
    assert_raises(TypeError) { q.enqueue_tx(nil, 1) }
    assert_raises(TypeError) { q.claim_one(nil) }
    assert_raises(TypeError) { q.ack_batch(1, "w") }
    assert_raises(Honker::InvalidError) { db.queue("a\0b").enqueue(1) }
    assert_raises(Honker::InvalidError) { db.try_rate_limit("x", limit: 0, per: 1) }
    assert_raises(Honker::InvalidError) { db.scheduler.add(name: "x", queue: "q", schedule: "nonsense") }
    assert_raises(ArgumentError) { db.scheduler.add(name: "x", queue: "q") }
    assert_raises(ArgumentError) { db.scheduler.add(name: "x", queue: "q", schedule: "@daily", cron: "@daily") }
    assert_raises(ArgumentError) { db.outbox("x", 5) }
    assert_raises(ArgumentError) { db.outbox("x", ->(_) {}).run_worker("w", stop: 5) }
    assert_raises(TypeError) { db.save_result(1, { a: 1 }) }
    assert_raises(ArgumentError) { q.worker("w").next(timeout: -1) }
    assert_raises(TypeError) { q.worker("w").next(timeout: "1") }
    assert_equal [], q.claim_batch("w", 0)
    assert_equal [], q.claim_batch("w", -5)
    assert_equal 0, db.query_row("SELECT count(*) FROM _honker_live").first
  end

  # They are read a hundred at a time.
  def test_batches_of_any_size
    q = db.queue("q")
    [1, 99, 100, 101, 200, 250].each do |count|
      [count, count - 1, 1000].reject(&:zero?).each do |wanted|
        ids = q.enqueue_many((1..count).map { |i| i == 7 ? Honker::RawText.new("") : { n: i, text: "é" * i } })
        jobs = q.claim_batch("wörker", wanted)
        assert_equal ids.first(wanted), jobs.map(&:id)
        jobs.each.with_index(1) do |job, i|
          i == 7 ? assert_nil(job.payload) : assert_equal({ "n" => i, "text" => "é" * i }, job.payload)
          assert_equal [Encoding::UTF_8, "wörker", "q", 1], [job.payload_text.encoding, job.worker_id, job.queue_name, job.attempts]
        end
        assert_equal jobs.size, q.ack_batch(jobs.map(&:id), "wörker")
        ids.drop(wanted).each { |id| assert q.cancel(id) }
      end
    end
  end

  def test_each_job_of_a_batch_has_its_own_attempts
    q = db.queue("q", max_attempts: 9)
    ids = q.enqueue_many([0, 1, 2, 3])
    [[0, 2], [2], [2, 3]].each do |some|
      jobs = q.claim_batch("w", 9)
      jobs.each { |job| assert(some.include?(job.payload) ? job.retry(delay_s: 0) : give_back(job)) }
    end
    before = Time.now.to_i
    jobs = q.claim_batch("w", 9).sort_by(&:id)
    assert_equal ids.zip([2, 1, 4, 2]), jobs.map { |job| [job.id, job.attempts] }
    jobs.each { |job| assert_includes before + q.visibility_timeout_s..Time.now.to_i + q.visibility_timeout_s, job.claim_expires_at }
  end

  def give_back(job)
    db.transaction do |tx|
      tx.execute("UPDATE _honker_live SET attempts = attempts - 1 WHERE id = ?1", [job.id])
      job.retry(delay_s: 0, tx: tx)
    end
  end

  def test_ids_of_a_batch_are_checked
    q = db.queue("q")
    id = q.enqueue(1)
    q.claim_one("w")
    assert_match(/id has to be a number, not NilClass/, assert_raises(TypeError) { q.ack_batch([id, nil], "w") }.message)
    assert_match(/id has to be a number, not String/, assert_raises(TypeError) { q.ack_batch([id, "1"], "w") }.message)
    assert_match(/id does not fit into 64 bits/, assert_raises(RangeError) { q.ack_batch([id, 1 << 63], "w") }.message)
    assert_raises(RangeError) { q.ack_batch([id, Float::NAN], "w") }
    assert_equal 0, q.ack_batch([], "w")
    assert_equal 1, q.ack_batch([(1 << 63) - 1, -(1 << 63), id + 0.5], "w")
  end

  def test_numbers_that_are_not_integers
    q = db.queue("q")
    assert_equal 12, q.get_job(q.enqueue(1, run_at: 12.9))[:run_at]
    assert_equal 12, q.get_job(q.enqueue(1, run_at: Time.at(12)))[:run_at]
    require "active_support"
    require "active_support/core_ext/numeric/time"
    at = q.get_job(q.enqueue(1, delay: 5.minutes))[:run_at]
    assert_in_delta Time.now.to_i + 300, at, 100
  end

  def test_transactions
    q = db.queue("q")
    assert_equal :value, db.transaction { |tx| q.enqueue(1, tx: tx) && :value }
    boom = Class.new(StandardError)
    assert_raises(boom) { db.transaction { |tx| q.enqueue(2, tx: tx) && raise(boom) } }
    seen = nil
    assert_nil(db.transaction do |tx|
      seen = tx
      q.enqueue(3, tx: tx)
      tx.rollback!
      flunk
    end)
    assert seen.rolled_back?
    assert_raises(Honker::MisuseError) { seen.execute("SELECT 1") }
    assert_raises(Honker::MisuseError) { q.enqueue(4, tx: seen) }
    [1].each { db.transaction { |tx| q.enqueue(5, tx: tx) && break } }
    catch(:out) { db.transaction { |tx| q.enqueue(6, tx: tx) && throw(:out) } }
    assert_raises(Timeout::Error) { Timeout.timeout(0.05) { db.transaction { |tx| q.enqueue(7, tx: tx) && sleep } } }
    thread = Thread.new { db.transaction { |tx| q.enqueue(8, tx: tx) && sleep } }
    asleep(thread).kill.join
    assert_equal 9, db.transaction { |tx| next 9 if q.enqueue(9, tx: tx) }
    assert_equal [1, 9], q.claim_batch("w", 9).map(&:payload)
  end

  def test_nesting_in_a_thread_fails_at_once_and_in_a_fiber_too
    q = db.queue("q")
    db.transaction do |tx|
      assert_raises(Honker::MisuseError) { db.transaction { flunk } } # not a BusyError, after the busy timeout
      assert_raises(Honker::MisuseError) { q.enqueue(1) }
      Fiber.new { assert_raises(Honker::MisuseError) { q.enqueue(1) } }.resume
      q.enqueue(2, tx: tx)
    end
    assert_equal 2, q.claim_one("w").payload
  end

  def test_another_thread_waits_for_the_transaction_while_others_run
    patient = open_database(busy_timeout_ms: 120_000)
    q = patient.queue("q")
    ticks = 0
    ticker = Thread.new { loop { sleep(0.005) && ticks += 1 } }
    waiting = nil
    patient.transaction do |tx|
      q.enqueue(1, tx: tx)
      waiting = asleep(Thread.new { q.enqueue(2) })
      before = ticks
      eventually { ticks > before + 10 } # unless a thread that waits for the write lock holds the others up
      assert waiting.alive?
    end
    waiting.join
    ticker.kill
    assert_equal [1, 2], q.claim_batch("w", 9).map(&:payload)
  end

  def test_busy
    short = open_database(busy_timeout_ms: 50)
    other = Thread.new { db.transaction { |_| Thread.stop } }
    asleep(other)
    error = assert_raises(Honker::BusyError) { short.queue("q").enqueue(1) }
    assert_equal ["HONKER_BUSY", -2, true], [error.name, error.status, error.retryable?]
    other.run
    other.join
  end

  def test_sql_values
    values = [nil, 1, -(2**63), (2**63) - 1, 1.5, "täxt", "", "\x00\xff".b, "".b]
    db.transaction do |tx|
      row = tx.query_row("SELECT #{values.map { "?" }.join(",")}, ?, ?, ?", [*values, true, false, :sym])
      assert_equal [*values, 1, 0, "sym"], row
      assert_equal [Encoding::BINARY, Encoding::UTF_8], [row[7].encoding, row[5].encoding]
      assert_equal [], tx.query("SELECT 1 WHERE 0")
      assert_nil tx.query_row("SELECT 1 WHERE 0")
      assert_raises(TypeError) { tx.query("SELECT ?", [{}]) }
      assert_raises(TypeError) { tx.query("SELECT :a", { a: 1 }) }
      assert_raises(RangeError) { tx.query("SELECT ?", [2**63]) }
      assert_raises(Honker::EncodingError) { tx.query("SELECT ?", ["\xff"]) }
      assert_raises(Honker::InvalidError) { tx.query("SELECT ?") }
      assert_raises(Honker::SQLError) { tx.execute("SELEC") }
      assert_equal [0, 2], [tx.execute("CREATE TABLE t(a)"), tx.execute("INSERT INTO t VALUES (1), (2)")]
    end
    error = assert_raises(Honker::ReadOnlyError) { db.query("DELETE FROM t") }
    assert_match(/\Aquery only reads; write in a transaction/, error.message)
    assert_equal ["HONKER_READONLY", -7, 8], [error.name, error.status, error.sqlite_code]
    assert_equal [[1], [2]], db.query("SELECT a FROM t WHERE a < ?", [5])
  end

  def test_errors_of_workers_in_any_encoding
    q = db.queue("q", max_attempts: 1)
    ["täxt".encode("UTF-16"), "a\0b", "\xff\xfe", "\xff".b, :symbol, nil, StandardError.new("boom")].each do |error|
      q.enqueue(1)
      assert q.claim_one("w").retry(error: error)
    end
    texts = q.dead.map { |job| job[:last_error] }.reverse
    assert_equal ["täxt", "a\uFFFDb", "\uFFFD\uFFFD", "\uFFFD", "symbol", "", "boom"], texts
  end

  def test_outbox_failures_keep_the_trace_and_the_job_goes_to_those_who_want_it
    calls = []
    outbox = db.outbox("o", ->(payload, job) { calls << [payload, job.attempts] && raise("boom") }, max_attempts: 2, base_backoff_s: 0)
    outbox.enqueue({ n: 1 })
    assert outbox.run_once("w")
    assert outbox.run_once("w")
    refute outbox.run_once("w")
    assert_equal [[{ "n" => 1 }, 1], [{ "n" => 1 }, 2]], calls
    assert_match(/\Aboom \(RuntimeError\)\n.*test_database.rb/, outbox.queue.dead.first[:last_error])
    one = []
    callable = Object.new.tap { |object| object.define_singleton_method(:call) { |payload| one << payload } }
    plain = db.outbox("p", callable)
    plain.enqueue(5)
    assert plain.run_once("w")
    assert_equal [5], one
  end

  def test_a_closed_database
    q = db.queue("q")
    job = (q.enqueue(1) && q.claim_one("w"))
    lock = db.try_lock("l")
    worker = q.worker("w")
    db.close
    db.close
    assert db.closed? && worker.closed?
    [-> { q.enqueue(1) }, -> { job.ack }, -> { lock.release }, -> { db.transaction { flunk } }, -> { db.query("SELECT 1") },
     -> { db.listen("c") }, -> { worker.next }, -> { worker.wake }, -> { db.to_io }, -> { db.ready }, -> { db.scheduler.list }].each do |call|
      error = assert_raises(Honker::ClosedError, &call)
      assert_equal "the database is closed: #{@path}", error.message
    end
    File.delete(@path)
  end

  def test_a_lock_of_a_block_is_released_whatever_happens
    assert_raises(RuntimeError) { db.try_lock("l") { raise "boom" } }
    assert_equal 5, (db.try_lock("l") { |_| db.try_lock("l") { flunk } || 5 })
    assert db.try_lock("l").release
  end

  def test_limited_memory_after_many_calls
    q = db.queue("q")
    resident = -> { File.read("/proc/self/statm").split[1].to_i * 4096 }
    work = lambda do |n|
      n.times do
        q.enqueue({ n: "x" * 1000 })
        q.claim_one("w").ack
        db.transaction { |tx| tx.query("SELECT ?", ["x" * 1000]) }
        assert_raises(Honker::InvalidError) { db.try_rate_limit("x", limit: 0, per: 1) }
      end
      GC.start
    end
    work.call(2000)
    before = resident.call
    work.call(4000)
    assert_operator resident.call - before, :<, 8 << 20
  end

  # What Ruby 3.3 and older put into the message of a NoMethodError, and a debugger shows.
  def test_what_inspect_shows_is_short
    q = db.queue("q")
    worker = q.worker("w")
    assert_equal "#<Honker::Queue \"q\" of #{@path}>", q.inspect
    assert_equal "#<Honker::Worker of #{@path}>", worker.inspect
    worker.close
    assert_equal "#<Honker::Worker of #{@path} (closed)>", worker.inspect
    [db.stream("s"), db.scheduler, db.outbox("o", -> {}), db.try_lock("l"), db].each { |one| assert_operator one.inspect.size, :<, 500 }
  end
end
