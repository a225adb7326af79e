# frozen_string_literal: true

require_relative "helper"

# Classes of jobs.
class TestJob < HonkerTest
  class Greet
    include Honker::Job

    queue "greetings", max_attempts: 7, priority: 2

    def perform(name, mark = "!", to: "all", **rest)
      DONE << [name, mark, to, rest, job.attempts, job.metadata.to_h]
      raise "again" if name == "fails"
    end
  end

  class Loud < Greet
    queue "shouts"
  end

  class Strict
    include Honker::Job

    def perform(to:, from: nil)
      DONE << [to, from]
    end
  end

  class Shout
    include Honker::Job

    queue "tests", name: "tests.shout", max_attempts: 4

    def perform(text, loud: false)
      DONE << [text, loud]
    end
  end

  class Plain
    include Honker::Job

    queue "others", name: nil, priority: 3

    def perform(value = nil, to: nil, **rest)
      DONE << [value, to, rest]
    end
  end

  class NoJob
    def perform; end
  end

  DONE = Thread::Queue.new

  def teardown
    Honker.database = nil
    super
  end

  def work(*queues)
    worker = db.worker(queues, "w")
    worker.run(stop: -> { queues.sum { |name| db.queue(name).stats.values_at(:pending, :claimed).sum }.zero? })
    worker.close
    Array.new(DONE.size) { DONE.pop }
  end

  def test_a_class_is_enqueued_and_performed
    Honker.database = db
    id = Greet.enqueue("alice", to: "bob", n: { deep: [1] })
    assert_equal [7, 2, "greetings"], db.queue("x").get_job(id).values_at(:max_attempts, :priority, :queue)
    assert_equal [7, 2, "shouts"], db.queue("x").get_job(Loud.enqueue("x", "?")).values_at(:max_attempts, :priority, :queue)
    Greet.set(queue: "other", max_attempts: 1, priority: 0, metadata: { tenant: "t" }).enqueue("fails")
    assert_equal [["alice", "!", "bob", { n: { "deep" => [1] } }, 1, {}]], work("greetings")
    assert_equal [["x", "?", "all", {}, 1, {}]], work("shouts")
    assert_equal [["fails", "!", "all", {}, 1, { "tenant" => "t" }]], work("other")
    assert_equal ["again"], db.queue("other").dead.map { |job| job[:last_error] }
    assert_equal "default", Strict.queue
  end

  def test_what_stands_in_the_file_is_the_task_of_all_languages
    Strict.set(db: db).enqueue(to: "alice")
    Shout.set(db: db).enqueue("hey", loud: true)
    texts = db.query("SELECT payload, max_attempts FROM _honker_live ORDER BY id")
    assert_equal [['{"__honker_task__":{"task":"TestJob::Strict","args":[],"kwargs":{"to":"alice"}}}', 3],
                  ['{"__honker_task__":{"task":"tests.shout","args":["hey"],"kwargs":{"loud":true}}}', 4]], texts
    db.queue("tests").enqueue({ "__honker_task__" => { task: "tests.shout", args: ["from elsewhere"], kwargs: {} } })
    assert_equal [["hey", true], ["from elsewhere", false]], work("tests")
  end

  def test_a_class_may_take_the_plain_payloads_of_its_queue
    id = Plain.set(db: db).enqueue(to: "alice", n: 1)
    assert_equal [{ "to" => "alice", "n" => 1 }, 3], db.queue("others").get_job(id).values_at(:payload, :priority)
    Plain.set(db: db).enqueue(5)
    Plain.set(db: db).enqueue
    others = db.queue("others")
    others.enqueue({ to: "bob" }, priority: 2)
    others.enqueue(Honker::RawText.new("no json"), priority: 2)
    others.enqueue([1, { a: 2 }], priority: 2)
    others.enqueue({ "__honker_task__" => { task: "nobody's", args: [], kwargs: {} } }, priority: 2)
    Strict.set(db: db, queue: "others").enqueue(to: "strict")
    assert_equal [[nil, "alice", { n: 1 }], [5, nil, {}], [nil, nil, {}], [nil, "bob", {}], ["no json", nil, {}], [[1, { "a" => 2 }], nil, {}],
                  [nil, nil, { __honker_task__: { "task" => "nobody's", "args" => [], "kwargs" => {} } }], ["strict", nil]], work("others")
    [-> { Plain.set(db: db).enqueue(1, to: 2) }, -> { Plain.set(db: db).enqueue({ a: 1 }) }].each do |call|
      assert_match(/plain payload/, assert_raises(ArgumentError, &call).message)
    end
    assert_raises(ArgumentError) { Plain.set(db: db, queue: "default").enqueue(1) }
  end

  def test_a_name_and_the_plain_payloads_of_a_queue_are_for_one_class
    { "tests.shout" => /duplicate task name tests.shout: TestJob::Shout/, nil => /queue others have a class already: TestJob::Plain/ }
      .each do |name, message|
        error = assert_raises(ArgumentError) { Class.new { include Honker::Job }.queue("others", name: name) }
        assert_match message, error.message
      end
    again = Class.new(Shout) { def self.name = "TestJob::Shout" } # loaded anew
    again.queue("tests", name: "tests.shout")
    Shout.queue("tests", name: "tests.shout")
    error = assert_raises(ArgumentError) { Class.new { include Honker::Job }.tap { |type| type.define_method(:perform) { nil } }.set(db: db).enqueue }
    assert_match(/needs name:/, error.message)
  end

  # As those that stand in files, and ActiveJob's.
  def test_the_form_without_an_envelope_is_performed_too
    db.queue("default").enqueue({ class: "TestJob::Strict", args: [], kwargs: { to: "before" } })
    assert_equal [["before", nil]], work("default")
  end

  def test_it_takes_part_in_a_transaction
    db.transaction { |tx| Strict.set(tx: tx).enqueue(to: "nobody") && tx.rollback! }
    db.transaction { |tx| Strict.set(tx: tx).enqueue(to: "alice") }
    Strict.set(db: db, delay: 1000).enqueue(to: "later")
    assert_equal [["alice", nil]], work("default")
    assert_equal 1, db.queue("default").stats[:delayed]
  end

  def test_arguments_that_perform_does_not_take_are_refused_at_once
    { [[], {}] => /missing keywords: to/, [[1], { to: 1 }] => /1 arguments for 0/, [[], { to: 1, form: 2 }] => /unknown keywords: form/ }
      .each do |(args, kwargs), message|
        assert_match message, assert_raises(ArgumentError) { Strict.set(db: db).enqueue(*args, **kwargs) }.message
      end
    assert_match(/0 arguments for 1..2/, assert_raises(ArgumentError) { Greet.set(db: db).enqueue }.message)
    assert_raises(Honker::MisuseError) { Strict.enqueue(to: 1) }
  end

  RAW = /raw \(non-task\) payload on a task queue: enqueue it by a job class, .* \(queue "default", name: nil\), or run .* with a block/
  REFUSED = {
    %({"__honker_task__":{"task":"TestJob::NoJob","args":[],"kwargs":{}}}) =>
      /unknown task: TestJob::NoJob. Registered tasks: \[.*TestJob::Greet, TestJob::Loud, TestJob::Strict.*tests.shout.*\]/,
    %({"__honker_task__":{"task":"Nowhere::AtAll","args":[],"kwargs":{}}}) => /unknown task: Nowhere::AtAll/,
    %({"__honker_task__":{"task":"Kernel.exit","args":[],"kwargs":{}}}) => /unknown task: Kernel.exit/,
    %({"__honker_task__":{"task":"TestJob::Strict","args":[],"kwargs":{"v2":1}}}) => /TestJob::Strict#perform: missing keywords: to/,
    %({"__honker_task__":{"task":"TestJob::Strict","args":[1],"kwargs":{"to":1}}}) => /1 arguments for 0/,
    %({"__honker_task__":{"task":"TestJob::Strict"}}) => /missing keywords: to/,
    %({"__honker_task__":{"task":"TestJob::Strict","args":{},"kwargs":{}}}) => RAW,
    %({"__honker_task__":1}) => RAW, "no json" => RAW, "[1]" => RAW, "" => RAW
  }.freeze

  def test_what_cannot_be_performed_is_dead_at_once_with_the_reason
    q = db.queue("default", max_attempts: 10)
    texts = REFUSED.keys.to_h { |text| [q.enqueue(Honker::RawText.new(text)), text] }
    assert_empty work("default")
    dead = q.dead
    assert_equal REFUSED.size, dead.size
    dead.each { |job| assert_match REFUSED.fetch(texts.fetch(job[:id])), job[:last_error] }
    assert_equal [1], dead.map { |job| job[:attempts] }.uniq
  end

  def test_arguments_that_json_does_not_have_are_refused
    Honker.database = db
    [Object.new, Time.now, 1r, { deep: [1, [{ er: Object }]] }].zip(%w[Object Time Rational Class]) do |argument, name|
      error = assert_raises(ArgumentError) { Strict.enqueue(to: argument) }
      assert_includes error.message, "Strict#perform: a #{name} is no argument of a job"
    end
    itself = []
    itself << itself
    assert_raises(Honker::PayloadError) { Strict.enqueue(to: itself) }
    assert_equal 0, db.queue("default").stats[:pending]
    Strict.enqueue(to: { "a" => [nil, true, 1, 1.5, "x", :sym, Honker::Payload[b: 1]] })
    assert_equal 1, db.queue("default").stats[:pending]
  end

  def test_ten_megabytes_are_a_payload_like_any_other
    Strict.set(db: db).enqueue(to: "x" * 10_000_000)
    assert_equal [10_000_000], (work("default").map { |to, _| to.size })
  end

  def test_a_path_is_opened_when_needed_and_anew_in_a_forked_process
    Honker.database = @path
    refute_path_exists @path
    Strict.enqueue(to: 1)
    Process.wait(fork { exit!(Strict.enqueue(to: 2) ? 0 : 1) })
    assert_equal 2, db.queue("default").stats[:pending]
    Honker.database.close
    Strict.enqueue(to: 3)
    assert_equal 3, Honker.database.queue("default").stats[:pending]
    Honker.database.close
  end

  def test_the_database_of_a_path_is_opened_anew_after_the_file_was_replaced
    Honker.database = @path
    Greet.enqueue("lost")
    Honker::Database.open("#{@dir}/new.db") { |other| other.queue("q").enqueue(1) }
    put_in_place("#{@dir}/new.db", @path)
    seen = nil
    eventually { seen ||= error_of(Thread.new { Greet.enqueue("lost") }) }
    assert_instance_of Honker::WatcherError, seen
    Greet.enqueue("kept")
    assert_equal [1, 1], %w[q greetings].map { |name| Honker.database.queue(name).stats[:pending] }
  ensure
    Honker.database.close
  end
end
