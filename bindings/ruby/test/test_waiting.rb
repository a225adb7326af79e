# frozen_string_literal: true

require_relative "helper"
require_relative "scheduler"

class TestWaiting < HonkerTest
  def consumers
    # The leader commits, which the one before it would notice.
    { updates: db.updates, worker: db.queue("q").worker("w"), listener: db.listen("c"), subscription: db.stream("s").subscribe,
      leader: db.scheduler.leader }
  end

  def quiet_consumers
    consumers.values_at(:worker, :listener, :subscription, :leader)
  end

  def descriptors
    links = Dir.children("/proc/self/fd").map { |fd| File.readlink("/proc/self/fd/#{fd}") rescue "" } # rubocop:disable Style/RescueModifier
    # Those of the database itself are kept for its locks, and used again.
    links.grep_v(/#{File.basename(@dir)}/).size
  end

  def native_threads
    Dir.glob("/proc/self/task/*/comm").count { |file| File.read(file).start_with?("honker") rescue false } # rubocop:disable Style/RescueModifier
  end

  def test_a_time_that_is_over
    consumers.each do |name, consumer|
      consumer.next(timeout: 0) if name == :leader # takes the lead
      assert_operator seconds { refute consumer.next(timeout: 0.1), name }, :>=, 0.099, name
      refute consumer.next(timeout: 0), name
    end
  end

  def test_a_commit_wakes_at_once
    listener = db.listen("c")
    thread = asleep(Thread.new { [listener.next, now] })
    sent = now
    db.notify("c", 1)
    notification, got = thread.value
    assert_equal 1, notification.payload
    assert_operator got - sent, :<, 10 # without the commit it would look after fifteen
  end

  def test_updates
    updates = db.updates
    refute updates.next(timeout: 0)
    3.times { |i| db.notify("c", i) }
    assert updates.next(timeout: 1)
    refute updates.next(timeout: 0.05)
    thread = asleep(Thread.new { updates.next })
    db.close
    assert_instance_of Honker::ClosedError, error_of(thread)
  end

  def test_another_process_wakes
    worker = db.queue("q").worker("w")
    thread = asleep(Thread.new { worker.next })
    ruby(%(require "honker"; Honker::Database.new("app.db").queue("q").enqueue(7)))
    assert_equal 7, thread.value.payload
  end

  def test_a_delayed_job_and_a_lapsed_claim_wake_without_a_commit
    q = db.queue("q", visibility_timeout_s: 1)
    worker = q.worker("w")
    # It looks every five seconds in any case. A machine that is busy may make it late, and not each time.
    late = 5.times.take_while do
      q.enqueue(1, delay: 1)
      took = [1, 2].map { |attempts| seconds { assert_equal attempts, worker.next(timeout: 60).attempts } }
      q.ack_batch(db.query("SELECT id FROM _honker_live").flatten, "w")
      took.max >= 4
    end
    assert_operator late.size, :<, 5
  end

  def test_timeout_kill_and_wake_end_a_wait_and_it_can_be_used_further
    consumers.each do |name, consumer|
      assert_raises(Timeout::Error, name) { Timeout.timeout(0.1) { consumer.next } }
      assert asleep(Thread.new { consumer.next }).kill.join(60), name
      woken = asleep(Thread.new { consumer.next })
      consumer.wake
      assert woken.join(60), name
      refute woken.value, name
      refute consumer.next(timeout: 0), name
    end
  end

  def test_a_wake_before_the_wait_ends_the_next_one_only
    worker = db.queue("q").worker("w")
    worker.wake
    Timeout.timeout(60) { assert_nil worker.next(timeout: 600) }
    assert_operator seconds { assert_nil worker.next(timeout: 0.1) }, :>=, 0.099
  end

  def test_closing_ends_a_wait_and_so_does_closing_the_database
    consumers.each do |name, consumer|
      waiting = asleep(Thread.new { consumer.next })
      consumer.close
      assert_instance_of Honker::ClosedError, error_of(waiting), name
      assert_raises(Honker::ClosedError) { consumer.next }
      consumer.close
    end
    threads = quiet_consumers.map { |consumer| asleep(Thread.new { consumer.next }) }
    threads << asleep(Thread.new { db.wait_result(1) })
    db.close
    threads.each { |thread| assert_instance_of Honker::ClosedError, error_of(thread) }
  end

  def test_interrupt_ends_waits_but_not_later_ones
    threads = quiet_consumers.map { |consumer| asleep(Thread.new { consumer.next }) }
    db.interrupt
    threads.each { |thread| assert_instance_of Honker::InterruptedError, error_of(thread) }
    assert_nil db.queue("q").worker("w").next(timeout: 0.05)
  end

  # Another thread makes a consumer in the middle of the round that wakes the others.
  def test_a_consumer_may_be_made_while_interrupt_wakes_the_others
    listener = db.listen("c")
    waiting = asleep(Thread.new { listener.next })
    maker = nil
    trace = TracePoint.new(:c_call) do |point|
      next unless point.method_id == :honker_waiter_wake && maker.nil?

      maker = Thread.new { db.listen("c") }
      sleep 0.2
    end
    trace.enable { db.interrupt }
    assert_instance_of Honker::InterruptedError, error_of(waiting)
    assert_nil error_of(maker || flunk("nothing was woken"))
  end

  def test_one_thread_at_a_time
    worker = db.queue("q").worker("w")
    asleep(Thread.new { worker.next })
    assert_raises(Honker::MisuseError) { worker.next(timeout: 0) }
  end

  def test_signals_are_handled_while_waiting_and_may_wake
    out = ruby(<<~'RUBY')
      require "honker"
      db = Honker::Database.new("app.db")
      worker = db.queue("q").worker("w")
      trap("USR1") { puts "signal"; $stdout.flush }
      trap("TERM") { worker.wake }
      Thread.new { sleep 0.3; Process.kill("USR1", $$); sleep 0.3; Process.kill("TERM", $$) }
      p worker.next
    RUBY
    assert_equal "signal\nnil\n", out
  end

  def test_a_fiber_scheduler_runs_others_meanwhile
    log = []
    thread = Thread.new do
      Fiber.set_scheduler(LeastScheduler.new)
      worker = db.queue("q").worker("w")
      listener = db.listen("c")
      Fiber.schedule { log << [:job, worker.next.payload] && db.notify("c", 2) }
      Fiber.schedule { log << [:notification, listener.next(timeout: 50).payload] }
      Fiber.schedule { 3.times { sleep(0.05) && log << :tick } && db.queue("q").enqueue(1) }
    end
    thread.join(60) || flunk("it hangs: #{log}")
    assert_equal [:tick, :tick, :tick, [:job, 1], [:notification, 2]], log
  end

  def test_enumerators
    q = db.queue("q")
    q.enqueue_many([1, 2, 3])
    each = q.claim("w")
    assert_equal [1, 2], each.first(2).each(&:ack).map(&:payload)
    got = []
    q.claim("w", timeout: 0.05) { |job| got << job.payload && job.ack }
    assert_equal [3], got
    outside = q.claim("w", timeout: 0.05)
    q.enqueue(4)
    assert_equal 4, outside.next.payload
    assert_raises(StopIteration) { outside.next }
    stop = false
    thread = asleep(Thread.new { q.claim("w", stop: -> { stop }) { flunk } })
    stop = true
    assert thread.join(60)
    assert_equal [1, 2], [3, 4].tap { 2.times { |i| db.stream("s").publish(i + 1) } } && db.stream("s").subscribe.lazy.map(&:payload).first(2)
  end

  def test_run_settles_and_goes_on_and_stops
    q = db.queue("q")
    ids = q.enqueue_many(%w[ok bad ok])
    stop = false
    seen = []
    thread = Thread.new do
      q.worker("w").run(stop: -> { stop }, retry_delay_s: 0) do |job|
        seen << [job.payload, job.attempts]
        raise "täxt" if job.payload == "bad"
      end
    end
    eventually { q.get_job(ids[0]).nil? && q.get_job(ids[2]).nil? && q.dead.size == 1 }
    stop = true
    assert thread.join(60)
    assert_equal "täxt", q.dead.first[:last_error]
    assert_equal 3, seen.count { |payload, _| payload == "bad" }
    thread = asleep(Thread.new { q.worker("w").run { flunk } })
    db.close
    assert_instance_of Honker::ClosedError, error_of(thread)
  end

  def test_the_job_in_hand_is_settled_when_it_is_to_stop_and_no_other_claimed
    q = db.queue("q")
    q.enqueue_many([1, 2])
    stop = false
    q.worker("w").run(stop: -> { stop }) { stop = true }
    assert_equal [1, 0], q.stats.values_at(:pending, :claimed)
  end

  def test_loops_try_again_while_the_file_is_locked
    short = open_database(busy_timeout_ms: 20)
    q = short.queue("q")
    q.enqueue(1)
    stop = false
    thread = nil
    holder = db.transaction do |_|
      thread = Thread.new { q.worker("w").run(stop: -> { stop }) { stop = true } }
      sleep 0.2
      thread.alive?
    end
    assert holder
    assert thread.join(60)
    assert_equal [0, 0], q.stats.values_at(:pending, :claimed)
  end

  def test_a_subscription_saves_what_is_finished_also_while_it_waits
    stream = db.stream("s")
    3.times { |i| stream.publish(i) }
    subscription = stream.subscribe(consumer: "c", save_every_s: 0.1)
    2.times { subscription.next }
    thread = asleep(Thread.new { 2.times { subscription.next } })
    eventually { stream.get_offset("c") == 3 }
    subscription.close
    error_of(thread)
    again = stream.subscribe(consumer: "c")
    stream.publish(3)
    assert_equal 3, again.next.payload
    again.ack
    again.close
    assert_equal 4, stream.get_offset("c")
  end

  def test_a_subscription_that_saves_nothing_by_itself_saves_nothing_when_it_is_closed
    stream = db.stream("s")
    stream.publish(1)
    subscription = stream.subscribe(consumer: "c", save_every_n: 0, save_every_s: 0)
    subscription.next && subscription.ack
    subscription.close
    assert_equal 0, stream.get_offset("c")
  end

  def test_idle_consumers_ask_nothing
    worker = db.queue("q").worker("w")
    listener = db.listen("c")
    threads = [worker, listener].map { |consumer| asleep(Thread.new { consumer.next }) }
    sleep 0.2
    before = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)
    sleep 1
    assert_operator Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) - before, :<, 0.05
    db.close
    threads.each { |thread| error_of(thread) }
  end

  def test_nothing_is_left
    db.queue("q").enqueue(1)
    db.close
    before = descriptors
    20.times do
      one = Honker::Database.new(@path)
      all = [one.queue("none").worker("w"), one.listen("c"), one.stream("s").subscribe, one.scheduler.leader, one.updates]
      threads = all.first(2).map { |consumer| asleep(Thread.new { consumer.next }) }
      one.close
      threads.each { |thread| assert_instance_of Honker::ClosedError, error_of(thread) }
    end
    eventually { native_threads.zero? && descriptors <= before + 2 }
  end

  def test_closing_under_a_wait_frees_at_once
    db.updates # keeps the watcher
    before = descriptors
    GC.disable
    20.times do
      listener = db.listen("c")
      waiting = asleep(Thread.new { listener.next })
      listener.close
      error_of(waiting)
    end
    assert_operator descriptors, :<=, before + 3
  ensure
    GC.enable
  end

  def test_what_was_forgotten_is_freed
    GC.disable # it would free them meanwhile
    Thread.new { 50.times { db.queue("q").worker("w") } }.join
    assert_operator db.states.size, :>, 20
    GC.enable
    eventually { GC.start || db.states.size < 20 }
  ensure
    GC.enable
  end

  def test_all_wait_at_one_descriptor
    consumers = Array.new(3) { db.listen("c") }
    consumers << db.queue("q").worker("w")
    threads = consumers.map { |consumer| asleep(Thread.new { consumer.next }) }
    before = descriptors
    more = Array.new(20) { db.listen("c") }
    threads += more.map { |consumer| asleep(Thread.new { consumer.next }) }
    assert_operator descriptors, :<=, before
    assert_operator native_threads, :<=, 1
    db.notify("c", 7)
    db.queue("q").enqueue(7)
    assert_equal [7] * threads.size, threads.map { |thread| thread.value.payload }
  end

  # The first that waits polls for all.
  def test_whoever_polls_hands_that_on_when_it_leaves
    ways = { kill: ->(thread, _) { thread.kill }, raise: ->(thread, _) { thread.raise(Timeout::Error, "x") },
             wake: ->(_, listener) { listener.wake }, close: ->(_, listener) { listener.close } }
    ways.each do |name, leave|
      listeners = Array.new(4) { db.listen("c") }
      threads = listeners.map { |listener| asleep(Thread.new { [listener.next, listener.next(timeout: 60)] }) }
      leave.call(threads[0], listeners[0])
      leave.call(threads[2], listeners[2])
      sleep 0.05
      2.times { |i| db.notify("c", i) }
      [1, 3].each { |i| assert_equal [0, 1], (threads[i].join(60) || flunk("#{name}: nobody polls")).value.map(&:payload) }
      threads.each(&:kill)
      listeners.each(&:close)
    end
  end

  def test_whoever_polls_hands_that_on_when_its_time_is_over
    listeners = Array.new(3) { db.listen("c") }
    first = asleep(Thread.new { listeners[0].next(timeout: 0.3) })
    others = listeners.drop(1).map { |listener| asleep(Thread.new { listener.next }) }
    assert_nil first.value
    db.notify("c", 1)
    others.each { |thread| assert_equal 1, (thread.join(60) || flunk("nobody polls")).value.payload }
  end

  def test_fibers_and_threads_hand_the_poll_to_each_other
    listeners = Array.new(4) { db.listen("c") }
    got = Thread::Queue.new
    thread = Thread.new do
      Fiber.set_scheduler(LeastScheduler.new)
      Fiber.schedule { got << [0, listeners[0].next(timeout: 0.3)] }
      Fiber.schedule { got << [1, listeners[1].next.payload] }
      Fiber.schedule { got << [2, listeners[2].next.payload] }
    end
    other = asleep(Thread.new { listeners[3].next.payload })
    assert_equal [0, nil], got.pop
    db.notify("c", 5)
    assert thread.join(60) && other.join(60), "nobody polls"
    assert_equal [[1, 5], [2, 5]], [got.pop, got.pop].sort
    assert_equal 5, other.value
  end

  def test_no_commit_is_missed_by_any_of_many_who_come_and_go
    seen = Array.new(6) { [] }
    listeners = seen.map { db.listen("c") }
    threads = listeners.zip(seen).map do |listener, numbers|
      Thread.new do
        until numbers.last && numbers.last >= 300
          begin
            notification = Timeout.timeout(0.003 + (rand * 0.02)) { listener.next }
          rescue Timeout::Error
            next
          end
          numbers << notification.payload if notification
        end
      end
    end
    (1..300).each { |n| db.notify("c", n) && (sleep(0.001) if (n % 10).zero?) }
    # What Timeout struck when it had come is lost with it, and that may be the last one.
    till = now + 200
    n = 300
    db.notify("c", n += 1) && sleep(0.1) while threads.any?(&:alive?) && now < till
    threads.each { |thread| thread.join(1) || flunk("it hangs") }
    seen.each { |numbers| assert_operator numbers.size, :>, 250 }
    seen.each { |numbers| assert_equal numbers.sort, numbers }
  end

  def test_an_event_loop_asks_the_database_who_has_something
    worker = db.queue("q").worker("w")
    listener = db.listen("c")
    assert_equal [worker, listener], db.ready
    [worker, listener].each { |one| assert_nil one.next(timeout: 0) }
    eventually { db.ready.each { |one| assert_nil one.next(timeout: 0) }.empty? && !db.to_io.wait_readable(0) }
    db.notify("c", 1)
    assert db.to_io.wait_readable(20)
    eventually { db.ready.include?(listener) }
    assert_equal 1, listener.next(timeout: 0).payload
    assert_nil listener.next(timeout: 0)
    db.queue("q").enqueue(2, delay: 1)
    got = nil
    eventually { db.to_io.wait_readable(0.1) && db.ready.each { |one| got = one.next(timeout: 0) || got } && got }
    assert_equal 2, got.payload
    worker.wake
    assert_includes db.ready, worker
  end

  # The last connection to a file that is closed takes the log away.
  def test_a_database_that_was_forgotten_is_closed
    log = "#{@dir}/other.db-wal"
    Thread.new { 5.times { Honker::Database.new("#{@dir}/other.db").queue("q").enqueue(1) } }.join
    assert File.exist?(log)
    eventually { GC.start || !File.exist?(log) }
  end
end
