# frozen_string_literal: true

require_relative "helper"

# What the user's code may do to a worker or an outbox.
class TestHandlers < HonkerTest
  class Mute < StandardError
    def message
      raise "no"
    end
  end

  class NoText < StandardError
    def message
      BasicObject.new
    end
  end

  class NoTrace < StandardError
    def backtrace
      raise Mute
    end
  end

  ERRORS = {
    "utf16" => [-> { raise "täxt".encode("UTF-16LE") }, "täxt"],
    "binary" => [-> { raise "t\xE4xt".b }, "t\u{FFFD}xt"],
    "no utf8" => [-> { raise "t\xE4xt \0" }, "t\u{FFFD}xt \u{FFFD}"],
    "latin" => [-> { raise "täxt".encode("ISO-8859-1") }, "täxt"],
    "mute" => [-> { raise Mute }, "TestHandlers::Mute, which cannot say what happened: that raises RuntimeError"],
    "no text" => [-> { raise NoText }, "TestHandlers::NoText, which cannot say what happened: that raises NoMethodError"],
    "no trace" => [-> { raise NoTrace, "täxt" }, "täxt"],
    "anonymous" => [-> { raise Class.new(StandardError), "täxt" }, "täxt"],
    "script" => [-> { raise NotImplementedError, "täxt" }, "täxt"],
    "deep" => [-> { (deep = -> { deep.call }).call }, "stack level too deep"],
    "thrown" => [-> { throw :nowhere }, "uncaught throw :nowhere"]
  }.freeze

  def last_errors(queue)
    queue.dead.to_h { |job| [job[:payload], job[:last_error]] }
  end

  def test_whatever_a_handler_raises_the_worker_goes_on
    q = db.queue("q", max_attempts: 1)
    q.enqueue_many([*ERRORS.keys, "last"])
    done = false
    thread = Thread.new do
      q.worker("w").run(stop: -> { done }) { |job| ERRORS.key?(job.payload) ? ERRORS[job.payload].first.call : done = true }
    end
    assert thread.join(60)
    assert_equal ERRORS.transform_values(&:last), last_errors(q)
  end

  def test_whatever_a_delivery_raises_the_outbox_goes_on
    done = false
    outbox = db.outbox("o", ->(name) { ERRORS.key?(name) ? ERRORS[name].first.call : done = true }, max_attempts: 1)
    [*ERRORS.keys, "last"].each { |name| outbox.enqueue(name) }
    assert Thread.new { outbox.run_worker("w", stop: -> { done }) }.join(60)
    errors = last_errors(outbox.queue)
    assert_equal ERRORS.keys.sort, errors.keys.sort
    ERRORS.each { |name, (_, text)| assert_operator errors[name], :start_with?, "#{text} (", name }
    assert_match(/test_handlers\.rb/, errors["utf16"])
    outbox.enqueue("mute")
    assert outbox.run_once("w")
  end

  # One that exits would be the first of the next process, too.
  def test_what_leaves_ends_the_loop_and_leaves_the_job_claimed_while_a_timeout_gives_it_back
    q = db.queue("q")
    q.enqueue_many([1, 2])
    assert_raises(SystemExit) { q.worker("w").run { exit } }
    assert_equal [1, 1], q.stats.values_at(:pending, :claimed)
    assert_raises(Timeout::Error) { Timeout.timeout(0.2) { q.worker("w").run { sleep } } }
    assert_equal [1, 1], q.stats.values_at(:pending, :claimed)
  end

  # A loop asks whether it is to stop before each try, at least.
  def test_loops_rest_while_the_file_is_locked
    none = open_database(busy_timeout_ms: 0)
    none.queue("q").enqueue(1)
    outbox = none.outbox("o", ->(_) {})
    outbox.enqueue(1)
    none.scheduler.add(name: "s", queue: "other", schedule: "@every 1s")
    { worker: ->(stop) { none.queue("q").worker("w").run(stop: stop) { sleep 0.2 } },
      claim: ->(stop) { none.queue("q").claim("w", stop: stop) { flunk } },
      outbox: ->(stop) { outbox.run_worker("w", stop: stop) },
      scheduler: ->(stop) { none.scheduler.run(stop: stop) } }.each do |name, loop|
      asked = 0
      stop = false
      thread = nil
      db.transaction do
        thread = Thread.new { loop.call(-> { (asked += 1) && stop }) }
        sleep 1
        assert thread.alive?, name
        stop = true
      end
      error_of(thread) if thread.join(60) || flunk("#{name} does not stop")
      assert_operator asked, :<, 200, name
    end
  end

  # What was done is settled however long the file stays locked.
  def test_what_was_done_is_settled_after_a_lock
    none = open_database(busy_timeout_ms: 0)
    q = none.queue("q")
    outbox = none.outbox("o", ->(_) { run })
    [q, outbox].each { |one| one.enqueue(1) }
    { q => ->(stop) { q.worker("w").run(stop: stop) { @hook.call } },
      outbox.queue => ->(stop) { none.outbox("o", ->(_) { @hook.call }).run_worker("w", stop: stop) } }.each do |queue, loop|
      handled = Thread::Queue.new
      locked = Thread::Queue.new
      @hook = -> { handled << 1 && locked.pop }
      stop = false
      thread = Thread.new { loop.call(-> { stop }) }
      handled.pop
      db.transaction { locked.push(1) && sleep(0.3) }
      eventually { queue.stats.values_at(:pending, :claimed, :dead).sum.zero? }
      stop = true
      assert thread.join(60)
      assert_empty handled
    end
  end
end
