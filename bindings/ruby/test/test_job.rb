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

  REFUSED = {
    %({"class":"TestJob::NoJob","args":[],"kwargs":{}}) => /TestJob::NoJob is no class that includes Honker::Job/,
    %({"class":"Nowhere::AtAll","args":[],"kwargs":{}}) => /there is no job class Nowhere::AtAll/,
    %({"class":"Kernel.exit","args":[],"kwargs":{}}) => /Kernel.exit is no class/,
    %({"class":"TestJob::Strict","args":[],"kwargs":{"v2":1}}) => /TestJob::Strict#perform: missing keywords: to/,
    %({"class":"TestJob::Strict","args":[1],"kwargs":{"to":1}}) => /1 arguments for 0/,
    %({"class":"TestJob::Strict","args":{},"kwargs":{}}) => /the payload is not that of a job class/,
    "no json" => /the payload is not that of a job class/, "[1]" => /the payload is not that of a job class/, "" => /the payload is not/
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
end
