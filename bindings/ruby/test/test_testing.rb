# frozen_string_literal: true

require_relative "helper"
require "honker/testing"

# The helper for tests of applications.
class TestTesting < HonkerTest
  include Honker::Testing

  class Remind
    include Honker::Job

    queue "reminders", max_attempts: 2

    def perform(to:, text: "hello")
      SENT << [to, text, job.attempts]
      raise IOError, "no mail today" if to == "nobody"
      raise Honker::Snooze.new(delay_s: 50) if to == "later" && job.attempts == 1 && SENT.size < 2

      Remind.set(delay: 86_400).enqueue(to: "#{to} again") unless to.end_with?("again", "later")
    end
  end

  class Named < Remind
    queue "named", name: "testing.named"
  end

  class Plain
    include Honker::Job

    queue "plain", name: nil

    def perform(*args, **kwargs)
      SENT << [args, kwargs]
    end
  end

  SENT = [] # rubocop:disable Style/MutableConstant -- tests empty it

  def setup
    super
    SENT.clear
  end

  def test_what_is_due_is_run_in_this_thread_and_the_clock_moves
    assert_same honker_db, Honker.database
    Remind.enqueue(to: "alice", text: "hi")
    job = assert_enqueued(Remind, to: "alice")
    assert_equal ["reminders", 2], job.values_at(:queue, :max_attempts)
    assert_enqueued(Remind)
    assert_enqueued("reminders", __honker_task__: { task: "TestTesting::Remind" })
    refute_enqueued(Remind, to: "bob")
    refute_enqueued("others")
    assert_equal 1, run_due
    assert_equal 0, run_due
    refute_enqueued(Remind, to: "alice")
    assert_enqueued(Remind, to: "alice again")
    advance(86_300)
    assert_equal 0, run_due
    advance(100)
    assert_equal 1, run_due
    assert_equal([["alice", "hi", 1], ["alice again", "hello", 1]], SENT)
  end

  def test_the_clock_moves_for_keys_and_rates_too
    remind = -> { Remind.set(unique_key: "k", unique_for_s: 60).try_enqueue(to: "once later").status }
    assert_equal %i[enqueued exists], [remind.call, remind.call]
    assert_equal 1, run_due
    assert_equal :exists, remind.call
    advance(60)
    assert_equal :enqueued, remind.call
    honker_db.queue("reminders").configure(rate: { limit: 1, per_s: 1_000_000_000 })
    2.times { |n| Remind.enqueue(to: "#{n} later") }
    assert_equal 1, run_due
    advance(1_000_000_000)
    assert_equal 1, run_due
  end

  def test_errors_are_raised_after_their_jobs_were_settled
    Remind.enqueue(to: "nobody")
    assert_raises(IOError) { run_due }
    assert_equal 0, run_due
    advance(15)
    assert_equal 1, run_due(raise_errors: false)
    assert_equal ["no mail today"], honker_db.queue("reminders").dead.map { |job| job[:last_error] }
    Remind.enqueue(to: "later")
    SENT.clear
    assert_equal 1, run_due
    advance(50)
    assert_equal 1, run_due
    assert_empty enqueued(Remind)
    honker_db.queue("reminders").enqueue(Honker::RawText.new("rubbish"))
    assert_equal 1, run_due
    assert_equal 2, honker_db.queue("reminders").stats[:dead]
  end

  def test_classes_with_a_name_of_their_own_and_with_plain_payloads
    Named.enqueue(to: "alice later")
    assert_enqueued(Named, to: "alice later")
    refute_enqueued(Remind)
    Remind.set(queue: "plain").enqueue(to: "bob later")
    honker_db.queue("plain").enqueue({ to: "carol" })
    Plain.enqueue(5)
    assert_equal [[[], { "to" => "carol" }], [[5], {}]], enqueued(Plain).map { |job| job[:payload] }.map { |one| one == 5 ? [[5], {}] : [[], one.to_h] }
    assert_enqueued(Plain, to: "carol")
    assert_enqueued(Plain, 5)
    refute_enqueued(Plain, to: "bob later")
    assert_equal 4, run_due
  end

  def test_payloads_of_queues
    numbers = honker_db.queue("numbers")
    numbers.enqueue_many([1, { a: { b: [1, { c: 2 }] }, d: nil }])
    assert_enqueued("numbers", 1)
    assert_enqueued("numbers", { a: { b: [1, { c: 2 }] } })
    assert_enqueued("numbers", d: nil)
    refute_enqueued("numbers", 2)
    refute_enqueued("numbers", e: nil)
    error = assert_raises(Minitest::Assertion) { assert_enqueued("numbers", 2) }
    assert_match(/no job of numbers has \[2, \{\}\]; there are \[1, /, error.message)
    assert_raises(Minitest::Assertion) { refute_enqueued("numbers", 1) }
    honker_db.queue("others").enqueue(5)
    seen = []
    assert_equal 2, run_due("numbers") { |job| seen << job.payload }
    assert_equal 1, seen.first
    assert_enqueued("others", 5)
    assert_equal(1, run_due { |job| seen << job.payload })
  end

  def test_each_test_has_a_database_of_its_own_and_others_than_minitest_can_use_it
    other = Class.new { include Honker::Testing }.new
    before = honker_db.path
    other.start_honker
    refute_equal before, other.honker_db.path
    assert_raises(Honker::Testing::Failure) { other.assert_enqueued("q", 1) }
    dir = File.dirname(other.honker_db.path)
    other.stop_honker
    refute_path_exists dir
  end
end
