# frozen_string_literal: true

require_relative "helper"

# As Puma and Unicorn fork: the parent goes on, the child opens its own.
class TestFork < HonkerTest
  # Of a handler's own, without a block: it ends as it likes, and not as a worker.
  def test_a_child_that_a_handler_makes
    out = ruby(<<~'RUBY')
      require "honker"
      Honker.logger = nil
      $stdout.sync = true
      Thread.report_on_exception = false
      q = Honker::Database.new("app.db").queue("q")
      q.enqueue_many(%w[exit raise return])
      q.worker("w").run(stop: -> { q.stats.values_at(:pending, :claimed).sum.zero? }) do |job|
        if (child = fork)
          Process.wait(child)
          puts "#{job.payload} #{$?.exitstatus}"
        else
          Honker.on_error { puts "never" }
          exit 3 if job.payload == "exit"
          raise "in the child" if job.payload == "raise"
        end
      end
    RUBY
    assert_equal ["exit 3", "raise 1", "return 0"], out.lines(chomp: true).grep(/\A(exit|raise|return|never)/)
  end

  # What the block returns, in a child.
  def in_child
    from, to = IO.pipe
    child = fork do
      answer = begin
        yield
      rescue StandardError => e
        e.full_message
      end
      to.write(Marshal.dump(answer))
      to.close
      GC.start # finalizers of what is the parent's
      exit!(0)
    end
    to.close
    answer = Timeout.timeout(60) { from.read }
    _, status = Process.wait2(child)
    assert status.success?, status.inspect
    Marshal.load(answer) # rubocop:disable Security/MarshalLoad
  end

  def name_of
    yield
    "nothing"
  rescue Honker::Error => e
    e.class.name
  end

  def test_the_parents_handles_raise_in_the_child_and_the_parent_goes_on
    q = db.queue("q")
    q.enqueue(1)
    job = q.claim_one("w")
    lock = db.try_lock("l")
    listener = db.listen("c")
    worker = q.worker("w")
    waiting = asleep(Thread.new { worker.next })
    path = @path
    calls = { enqueue: -> { q.enqueue(2) }, ack: -> { job.ack }, lock: -> { lock.release }, listener: -> { listener.next(timeout: 0) },
              worker: -> { worker.next }, wake: -> { worker.wake }, transaction: -> { db.transaction { 1 } },
              query: -> { db.query("SELECT 1") }, listen: -> { db.listen("c") }, interrupt: -> { db.interrupt } }
    got, claimed = in_child do
      names = calls.transform_values { |call| name_of(&call) }
      listener.close
      db.close
      own = Honker::Database.new(path)
      own.queue("q").enqueue("from the child")
      own.notify("c", "hello")
      [names, own.query_row("SELECT count(*) FROM _honker_live").first]
    end
    assert_equal calls.transform_values { "Honker::ForkedError" }, got
    assert_equal 2, claimed
    assert_equal "from the child", waiting.value.payload
    assert_equal "hello", listener.next(timeout: 5).payload
    assert job.ack
    assert lock.release
  end

  def test_a_transaction_that_is_open_is_the_parents
    q = db.queue("q")
    db.transaction do |tx|
      q.enqueue(1, tx: tx)
      assert_equal "Honker::ForkedError", in_child { name_of { tx.execute("SELECT 1") } }
      assert_equal "Honker::ForkedError", in_child { name_of { q.enqueue(2, tx: tx) } }
      q.enqueue(3, tx: tx)
    end
    assert_equal [1, 3], q.claim_batch("w", 9).map(&:payload)
  end

  def test_a_child_that_leaves_the_transactions_block_changes_nothing
    q = db.queue("q")
    out = ruby(<<~'RUBY')
      require "honker"
      db = Honker::Database.new("app.db")
      q = db.queue("q")
      db.transaction do |tx|
        q.enqueue(1, tx: tx)
        child = fork { exit }
        Process.wait(child)
        puts $?.success?
        q.enqueue(2, tx: tx)
      end
      Process.wait(fork {}) # its finalizers run
      puts q.claim_batch("w", 9).size
    RUBY
    assert_equal "true\n2\n", out
    assert_equal 2, q.stats[:claimed]
  end

  def test_workers_of_a_preforking_server
    q = db.queue("q")
    out = ruby(<<~'RUBY')
      require "honker"
      db = Honker::Database.new("app.db") # the master's, as an initializer opens it
      db.queue("q").enqueue_many((1..200).to_a)
      done = 4.times.map do |i|
        from, to = IO.pipe
        fork do
          own = Honker::Database.new("app.db")
          own.queue("q").claim("w#{i}") do |job|
            job.ack
            break if job.payload == "no more" # one for each

            to.puts(job.payload)
          end
          own.close
          exit!(0)
        end
        to.close
        from
      end
      db.queue("q").enqueue_many([*201..300, *["no more"] * 4])
      puts done.flat_map { |from| from.readlines.map(&:to_i) }.sort == (1..300).to_a
      Process.waitall
      puts db.query_row("PRAGMA integrity_check").first
    RUBY
    assert_equal "true\nok\n", out
    assert_equal 0, q.stats[:pending]
  end
end
