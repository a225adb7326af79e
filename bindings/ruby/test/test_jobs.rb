# frozen_string_literal: true

require_relative "helper"

# Looking at jobs of all kinds, acting on many, and what is counted.
class TestJobs < HonkerTest
  def dead(queue, error, **options)
    id = queue.enqueue({ n: 1 }, **options)
    queue.claim_one("w").fail(error: error)
    id
  end

  def test_jobs_are_found_by_their_conditions_and_read_page_by_page
    q = db.queue("q")
    q.configure(keep_done_s: 600)
    done = q.enqueue(0)
    db.save_result(done, "result")
    q.claim_one("w").ack
    killed = dead(q, "503 from host 12")
    delayed = q.enqueue({ a: 1 }, delay: 100, metadata: { tenant: "x" }, unique_key: "k", concurrency_key: "c")
    due = q.enqueue(Honker::RawText.new("no json"))
    other = db.queue("other").enqueue(1)
    ids = ->(**conditions) { db.jobs(**conditions).map { |job| job[:id] } }
    assert_equal [other, due, delayed, killed, done], ids[]
    assert_equal [done, killed, delayed, due], ids[queue: q, order: :oldest]
    assert_equal [[due], [delayed], [killed], [done]], %i[due delayed dead done].map { |state| ids[queue: "q", state: state] }
    assert_equal [killed, done], ids[state: %i[dead done]]
    assert_equal [[delayed], [delayed], [killed], [delayed, killed]],
                 [ids[metadata: { tenant: :x }], ids[unique_key: "k"], ids[error: "503"], ids[min_id: killed, max_id: delayed]]
    assert_equal [other, due, delayed, killed], ids[created_from: Time.at(0)] - [done]
    assert_empty ids[created_to: Time.now - 1000]
    assert_equal [due], db.jobs(queue: "q").where(state: :due).map { |job| job[:id] }
    job = db.jobs(state: :delayed).first
    assert_equal [{ "a" => 1 }, { "tenant" => "x" }, "k", "c", nil], job.values_at(:payload, :metadata, :unique_key, :concurrency_key, :died_at)
    assert_equal ["no json", "result"], [db.jobs(queue: "q", state: :due).first(1).first[:payload], db.jobs(state: :done).first[:result]]
    batch = db.batch { |open| q.enqueue(1, batch: open) }
    assert_equal 1, ids[batch: batch].size
    assert_equal ids[batch: batch], ids[batch_id: batch.id]
  end

  def test_pages
    q = db.queue("q")
    all = q.enqueue_many((1..250).to_a)
    jobs = db.jobs(queue: "q", order: :oldest)
    page = jobs.page(page_size: 100)
    assert_equal [all.first(100), 100], [page[:jobs].map { |job| job[:id] }, page[:cursor] && 100]
    assert_equal all[100, 10], jobs.page(page_size: 10, cursor: page[:cursor])[:jobs].map { |job| job[:id] }
    assert_equal all, jobs.map { |job| job[:id] }
    assert_equal [250, 1], [jobs.count, jobs.lazy.map { |job| job[:payload] }.first]
    assert_equal all.first(3), jobs.each.take(3).map { |job| job[:id] }
    assert_nil jobs.page(page_size: 1000)[:cursor]
    assert_raises(ArgumentError) { db.jobs(limit: 5) }
    assert_raises(ArgumentError) { db.jobs(page_size: 5) }
    assert_raises(Honker::InvalidError) { jobs.page(page_size: 1001) }
    { speed: 1, state: :asleep, order: :random, queue: 5, unique_key: nil, error: "" }.each do |name, value|
      assert_match(name.to_s, assert_raises(Honker::InvalidError) { db.jobs(name => value).first }.message)
    end
    assert_raises(TypeError) { db.jobs(queue: Object.new).first }
    assert_raises(StopIteration) { jobs.each { |job| raise StopIteration if job } }
  end

  def test_actions
    q = db.queue("q")
    killed = Array.new(3) { |n| dead(q, "503 from #{n}") }
    delayed = q.enqueue(1, delay: 100)
    done = db.jobs(queue: q, state: :dead).retry
    assert_equal [3, 0], done.to_a
    assert_equal [1, 0], db.jobs(queue: "q").run_now.to_a
    assert_equal 4, q.stats[:pending]
    assert_equal 1, db.jobs(min_id: delayed, max_id: delayed).prioritize(9).changed
    assert_equal delayed, q.claim_one("w").id
    assert_equal 2, db.jobs(queue: "q", max_id: killed[1]).move(db.queue("elsewhere")).changed
    assert_equal [2, 1], [db.queue("elsewhere").stats[:pending], q.stats[:pending]]
    assert_equal 1, db.jobs(queue: "q", state: :processing).cancel.changed
    db.transaction { |tx| db.jobs(tx: tx).delete && tx.rollback! }
    assert_equal 3, db.jobs.delete.changed
    assert_equal 0, db.jobs.count
  end

  def test_an_action_is_done_to_all_pages
    q = db.queue("q")
    q.enqueue_many((1..2500).to_a, delay: 1000)
    page = db.jobs(queue: "q").apply("run_now", page_size: 10)
    assert_equal [10, 0], page.values_at(:changed, :conflicts)
    assert_kind_of Integer, page[:cursor]
    assert_equal 2490, db.jobs(queue: "q").run_now.changed
    first = db.jobs(queue: "q").apply({ priority: 1 }, page_size: 1000)
    assert_equal 1000, first[:changed]
    assert_equal 1000, db.jobs(queue: "q").apply("cancel", page_size: 1000, cursor: first[:cursor])[:changed]
    assert_equal 1500, db.jobs(queue: "q").count
    [:explode, { speed: 1 }, { move: 5 }].each { |bad| assert_raises(Honker::InvalidError) { db.jobs.apply(bad) } }
    assert_raises(TypeError) { db.jobs.apply(5) }
  end

  def test_conflicts_are_counted
    q = db.queue("q")
    killed = dead(q, "x", unique_key: "k")
    q.enqueue(1, unique_key: "k")
    assert_equal [0, 1], db.jobs(state: :dead).retry.to_a
    refute q.requeue(killed)
  end

  def test_the_dead_by_what_they_died_of
    3.times { |n| dead(db.queue("q"), "503 from host #{n}") }
    dead(db.queue("other"), "no such address")
    groups = db.dead_groups
    assert_equal [3, 1], groups.map { |group| group[:count] }
    assert_equal [{ "n" => 1 }, "503 from host 2"], groups.first[:newest].values_at(:payload, :last_error)
    assert_equal ["no such address"], db.dead_groups("other").map { |group| group[:error] }
    assert_equal db.dead_groups("q"), db.queue("q").dead_groups
    assert_empty db.dead_groups("none")
  end

  def test_metrics_and_what_a_closed_database_has_counted
    own = open_database
    own.queue("q").enqueue_many([1, 2])
    own.queue("q").claim_one("w").ack
    own.close
    metrics = db.metrics
    queue = metrics[:queues].find { |one| one[:queue] == "q" }
    assert_equal [2, 1, 1], queue[:counts].values_at(:enqueued, :claimed, :done)
    assert_equal [1, 0], queue[:depth].values_at(:due, :dead)
    assert_equal [0, 1], [queue[:run][:buckets].sum { |bucket| bucket[:count] } - 1, queue[:wait][:buckets].sum { |bucket| bucket[:count] }]
    assert_nil queue[:wait][:buckets].last[:up_to_s]
  end
end
