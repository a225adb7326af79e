# frozen_string_literal: true

require_relative "helper"
require_relative "scheduler"

# Calls while somebody else keeps the file locked. The locks are held until the test lets go, so that no test depends on how
# fast it runs: what has ended while the lock is held was not ended by it.
class TestLocked < HonkerTest
  HOLDER = <<~'RUBY'
    require "honker"
    db = Honker::Database.new("app.db")
    loop do
      db.transaction { |tx| puts "held"; $stdout.flush; $stdin.gets || exit }
      puts "free"
      $stdout.flush
      $stdin.gets || exit
    end
  RUBY

  # Yields while another process has a transaction open; what it is given ends that transaction.
  def locked
    IO.popen([RbConfig.ruby, "-I", File.join(PACKAGE, "lib"), "-e", HOLDER, { chdir: @dir }], "r+") do |holder|
      assert_equal "held\n", holder.gets
      yield -> { holder.puts && assert_equal("free\n", holder.gets) }
    end
  end

  def patient
    @patient ||= open_database(busy_timeout_ms: 60_000)
  end

  def pending
    db.queue("q").stats[:pending]
  end

  def test_a_timeout_ends_a_call_of_a_thread_and_it_is_not_done_later
    q = patient.queue("q")
    locked do |free|
      threads = Array.new(3) do
        Thread.new { assert_raises(Timeout::Error) { Timeout.timeout(0.2) { q.enqueue(1) } } }
      end
      threads.each { |thread| assert thread.join(60), "it waits for the lock" }
      free.call
      assert_equal 0, pending
      q.enqueue(2)
      assert_equal 1, pending
    end
  end

  def test_a_kill_ends_a_call_and_it_is_not_done_later
    q = patient.queue("q")
    locked do |free|
      [-> { q.enqueue(1) }, -> { patient.transaction { flunk } }, -> { q.claim_one("w") }, -> { q.worker("w").run { flunk } },
       -> { Honker::Database.open(@path, busy_timeout_ms: 60_000, journal_mode: :wal) { |one| one.queue("q").enqueue(1) } }]
        .each_with_index do |call, i|
          thread = asleep(Thread.new(&call))
          assert thread.kill.join(60), "call #{i} waits for the lock"
        end
      free.call
      assert_equal 0, pending
    end
  end

  def test_signals_are_handled_while_a_call_waits
    program = <<~'RUBY'
      require "honker"
      db = Honker::Database.new("app.db", busy_timeout_ms: 60_000)
      trap("USR1") { puts "signal"; $stdout.flush }
      trap("TERM") { puts "ended"; $stdout.flush; exit! }
      Thread.new { db.queue("q").enqueue(1) }
      puts "ready"
      $stdout.flush
      db.queue("q").enqueue(2)
    RUBY
    locked do
      IO.popen([RbConfig.ruby, "-I", File.join(PACKAGE, "lib"), "-e", program, { chdir: @dir }]) do |waiting|
        assert_equal "ready\n", waiting.gets
        sleep 0.2
        { "USR1" => "signal\n", "TERM" => "ended\n" }.each do |signal, said|
          Process.kill(signal, waiting.pid)
          assert waiting.wait_readable(60), "#{signal} is not handled"
          assert_equal said, waiting.gets
        end
      end
    end
  end

  def test_interrupt_and_close_end_calls_that_wait_for_a_lock
    patient # opened once, and not by each thread
    locked do
      [[:interrupt, Honker::InterruptedError], [:close, Honker::ClosedError]].each do |how, error|
        threads = Array.new(3) { asleep(Thread.new { patient.queue("q").enqueue(1) }) }
        patient.public_send(how)
        threads.each { |thread| assert_instance_of error, error_of(thread) }
      end
    end
  end

  def test_a_call_waits_for_as_long_as_the_busy_timeout
    q = patient.queue("q")
    locked do |free|
      [0, 30].each do |busy_timeout_ms|
        error = assert_raises(Honker::BusyError) { open_database(busy_timeout_ms: busy_timeout_ms).queue("q").enqueue(1) }
        assert_equal [5, true], [error.sqlite_code, error.retryable?]
      end
      threads = Array.new(8) { |i| asleep(Thread.new { q.enqueue(i) }) }
      sleep 0.2
      assert threads.all?(&:alive?)
      free.call
      assert_equal 8, threads.map(&:value).uniq.size
      assert_equal 8, pending
    end
  end

  def test_other_fibers_run_while_one_waits_for_a_lock
    q = patient.queue("q")
    ticks = 0
    locked do |free|
      thread = Thread.new do
        Fiber.set_scheduler(LeastScheduler.new)
        Fiber.schedule { q.enqueue(1) }
        Fiber.schedule { 5.times { sleep(0.01) && ticks += 1 } && free.call }
      end
      assert thread.join(60)
      assert_equal [5, 1], [ticks, pending]
    end
  end

  def test_closing_waits_to_save_and_to_resign
    stream = patient.stream("s")
    stream.publish(1)
    subscription = stream.subscribe(consumer: "c")
    leader = patient.scheduler.leader
    leader.next(timeout: 0)
    assert leader.leads?
    subscription.next && subscription.ack
    locked do |free|
      threads = [subscription, leader].map { |one| asleep(Thread.new { one.close }) }
      sleep 0.2
      free.call
      threads.each { |thread| assert thread.join(60) }
    end
    assert_equal 1, stream.get_offset("c")
    other = db.scheduler.leader
    other.next(timeout: 0)
    assert other.leads?, "the leader that was closed still leads"
  end

  # Leaves a transaction open in a Fiber that nobody has any more, and nothing of it on this thread's stack.
  def abandon(depth = 20, &start)
    depth.zero? ? start.call : abandon(depth - 1, &start)
    nil
  end

  def start_in_a_fiber
    Fiber.new { patient.transaction { |tx| tx.query("SELECT 1") && Fiber.yield } }.resume
  end

  def start_in_an_enumerator
    Enumerator.new { |out| patient.transaction { |tx| out << tx.query("SELECT 1") } }.next
  end

  def test_a_transaction_in_an_abandoned_fiber_is_rolled_back_for_whoever_waits
    q = patient.queue("q")
    %i[start_in_a_fiber start_in_an_enumerator].each.with_index(1) do |start, count|
      Thread.new { abandon { send(start) } }.join
      assert Thread.new { q.enqueue(1) }.join(60), "#{start}, of a thread that has ended, is open for ever"
      assert_equal count, pending
    end
  end

  # The collector may take something on a stack for the fiber; not often, and not for all of them.
  def test_a_transaction_in_an_abandoned_fiber_of_the_same_thread_is_rolled_back
    done = Array.new(5) do
      Thread.new do
        abandon { start_in_a_fiber }
        patient.queue("q").enqueue(1)
      rescue Honker::MisuseError
        nil
      end.value
    end
    assert_operator done.compact.size, :>=, 2
  end

  def test_a_transaction_in_a_fiber_that_is_not_abandoned_stays_open
    q = patient.queue("q")
    fiber = Fiber.new { patient.transaction { |tx| Fiber.yield && q.enqueue(1, tx: tx) } }
    fiber.resume
    assert_raises(Honker::MisuseError) { q.enqueue(2) }
    waiting = Thread.new { q.enqueue(3) }
    sleep 1.5
    assert waiting.alive?
    assert_kind_of Integer, fiber.resume(true)
    assert waiting.join(60)
    assert_equal [1, 3], q.claim_batch("w", 9).map(&:payload)
  end

  def test_fibers_of_a_scheduler_wait_for_each_others_transactions
    q = patient.queue("q")
    thread = Thread.new do
      Fiber.set_scheduler(LeastScheduler.new)
      Fiber.schedule { patient.transaction { |tx| sleep(0.05) && q.enqueue(1, tx: tx) } }
      Fiber.schedule { q.enqueue(2) }
    end
    assert thread.join(60)
    assert_equal [1, 2], q.claim_batch("w", 9).map(&:payload)
  end
end
