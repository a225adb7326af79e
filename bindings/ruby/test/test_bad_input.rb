# frozen_string_literal: true

require_relative "helper"

# What a worker may meet that nobody wants: handlers that misbehave, a file that is locked at each step, signals at any moment.
class TestBadInput < HonkerTest
  def run
    Timeout.timeout(120) { super }
  end

  def run_worker(worker, **options, &block)
    @stop = false
    Thread.new { worker.run(stop: -> { @stop }, **options, &block) }
  end

  def end_of(thread)
    @stop = true
    assert ended?(thread), "the worker does not stop"
    thread
  end

  def left(queue)
    queue.stats.values_at(:pending, :delayed, :claimed, :dead)
  end

  class Odd < Exception # rubocop:disable Lint/InheritException -- as test frameworks do
  end

  def test_whatever_is_raised_is_a_failure_of_its_job
    q = db.queue("q", max_attempts: 1)
    q.enqueue_many([Odd, NoMemoryError, NotImplementedError, SecurityError, SystemStackError].map(&:name))
    q.enqueue("ok")
    thread = run_worker(q.worker("w")) { |job| raise Object.const_get(job.payload), "no" unless job.payload == "ok" }
    eventually { left(q) == [0, 0, 0, 5] }
    end_of(thread).value
  end

  def test_a_job_that_is_settled_twice_and_by_a_late_handler
    q = db.queue("q")
    q.enqueue(1)
    answers = Thread::Queue.new
    thread = run_worker(q.worker("w")) { |job| 3.times { answers << job.ack } and answers << job.retry << job.snooze(1) << job.heartbeat }
    assert_equal [true, false, false, false, false, false], (Array.new(6) { answers.pop })
    q.enqueue(2)
    assert(Array.new(6) { answers.pop }.first)
    end_of(thread).value
    assert_equal [0, 0, 0, 0], left(q)
  end

  def test_a_handler_that_closes_its_database_or_its_worker
    own = open_database
    [own, nil].each do |closed|
      own = open_database if own.closed?
      q = own.queue("q")
      id = q.enqueue(1)
      worker = q.worker("w")
      thread = run_worker(worker) { (closed || worker).close }
      assert_instance_of Honker::ClosedError, error_of(thread)
      # Without its database it stays claimed to the end of its time, as after a crash, if it cannot be given back just before.
      assert_includes [closed ? [0, 0, 1, 0] : [0, 0, 0, 0], [1, 0, 0, 0]], left(db.queue("q"))
      db.queue("q").cancel(id)
    end
  end

  def test_ten_thousand_at_a_time
    q = db.queue("q")
    q.enqueue_many((1..300).to_a)
    all = Thread::Queue.new
    together = Thread::Queue.new
    thread = run_worker(q.worker("w", concurrency: 10_000)) { |job| all << job.payload and together.pop }
    eventually { all.size == 300 }
    300.times { together << 1 }
    eventually { left(q).sum.zero? }
    end_of(thread).value
    assert_raises(RangeError, Honker::InvalidError) { q.worker("w", concurrency: 2**64) }
    assert_raises(TypeError) { q.worker("w", concurrency: "4") }
    assert_raises(ArgumentError) { q.worker("w", concurrency: -1) }
  end

  def test_a_handler_with_timeouts_of_its_own
    q = db.queue("q", max_attempts: 1)
    q.enqueue_many([1, 2])
    thread = run_worker(q.worker("w")) do |job|
      Timeout.timeout(0.05) { job.payload == 1 ? sleep : db.transaction { sleep } }
    end
    eventually { left(q) == [0, 0, 0, 2] }
    assert_equal ["execution expired"], q.dead.map { |job| job[:last_error] }.uniq
    q.enqueue(3) # the transaction is over
    end_of(thread).value
  end

  def test_a_log_that_cannot_be_written_ends_nothing
    from, to = IO.pipe
    from.close
    log = Class.new { %i[info warn error].each { |level| define_method(level) { |text| to.puts(text) } } }.new
    to.sync = true
    log.define_singleton_method(:to) { to }
    q = db.queue("q", max_attempts: 1)
    q.enqueue(1)
    none = open_database(busy_timeout_ms: 0)
    thread = run_worker(none.queue("q").worker("w", logger: log)) { raise "boom" }
    eventually { left(q) == [0, 0, 0, 1] }
    db.transaction { |tx| q.enqueue(2, tx: tx) and none.queue("x").then { sleep 0.5 } }
    eventually { left(q) == [0, 0, 0, 2] }
    end_of(thread).value
  ensure
    to&.close
  end

  LOCKED = <<~'RUBY'
    require "honker"
    $stdout.sync = true
    Honker.logger = nil
    Honker.work("app.db", "q", "w", concurrency: 2, database: { busy_timeout_ms: 20 }) do |job|
      puts "begun #{job.payload}"
      sleep 0.2
      File.open("done.txt", "a") { |file| file.puts(job.payload) }
    end
    puts "ended"
  RUBY

  # A worker of its own, with a busy timeout that every lock here outlasts. It is told to stop once, by the block or after it: a
  # second signal may come when its run is over, and the process has Ruby's own way with signals again.
  def with_a_worker
    IO.popen([RbConfig.ruby, "-I", File.join(PACKAGE, "lib"), "-e", LOCKED, { chdir: @dir }]) do |io|
      told = false
      tell = -> { told ||= Process.kill("TERM", io.pid) }
      yield io, tell
    ensure
      tell.call
      rest = io.read
      _, status = Process.wait2(io.pid)
      assert status.success?, rest
    end
  end

  def done
    File.exist?("#{@dir}/done.txt") ? File.readlines("#{@dir}/done.txt").map(&:to_i).sort : []
  end

  def test_a_file_that_is_locked_when_it_is_opened_and_at_each_step_after_that
    q = db.queue("q")
    lock = lambda do |seconds, &block|
      db.transaction { |tx| tx.query("SELECT 1") && block&.call(tx) && sleep(seconds) }
    end
    thread = Thread.new { lock.call(1.5) }
    sleep 0.1
    with_a_worker do |io| # opened while it is locked
      thread.join
      q.enqueue(1)
      assert_equal "begun 1\n", io.gets
      lock.call(1.5) # at the ack
      eventually { left(q).sum.zero? }
      lock.call(0.5) { |tx| q.enqueue_many([2, 3], tx: tx) } # and at the claim
      assert_equal ["begun 2\n", "begun 3\n"], [io.gets, io.gets].sort
      lock.call(1)
      eventually { left(q).sum.zero? }
    end
    assert_equal [1, 2, 3], done
  end

  # Wherever it strikes: during a claim, an ack, a drain, with and without a lock.
  def test_a_signal_at_any_moment_loses_nothing_and_does_nothing_twice
    q = db.queue("q")
    count = 0
    8.times do |round|
      with_a_worker do |io, tell|
        4.times { q.enqueue(count += 1) }
        assert_match(/begun/, io.gets)
        sleep 0.04 * round
        db.transaction { tell.call && sleep(0.3) } if round.odd?
      end
    end
    with_a_worker do |io|
      q.enqueue(count += 1)
      assert_match(/begun/, io.gets) # it has its own way with signals by now
      eventually { left(q).sum.zero? }
    end
    assert_equal (1..count).to_a, done
    assert_equal [0, 0, 0, 0], left(q)
  end
end
