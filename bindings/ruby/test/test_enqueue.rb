# frozen_string_literal: true

require_relative "helper"

# What goes in with a job, and the hooks around that.
class TestEnqueue < HonkerTest
  def test_a_payload_without_braces_is_explained
    q = db.queue("q")
    calls = [-> { q.enqueue(to: "alice", n: 1) }, -> { db.transaction { |tx| q.enqueue_tx(tx, to: "alice", n: 1) } },
             -> { db.outbox("o", -> {}).enqueue(to: 1, n: 1) }]
    calls.each do |call|
      assert_equal "the payload needs braces: enqueue({ to: …, n: … })", assert_raises(ArgumentError, &call).message
    end
    assert_equal "the payload needs braces: enqueue({ to: … })", assert_raises(ArgumentError) { q.enqueue(to: 1, delay: 1) }.message
    assert_equal "the payload is missing", assert_raises(ArgumentError) { q.enqueue(delay: 1) }.message
    assert_match(/unknown keyword: :to/, assert_raises(ArgumentError) { q.enqueue(1, to: "alice") }.message)
  end

  def teardown
    @hooks&.each { |hook| Honker::Hooks.remove(hook) }
    super
  end

  def hook(name, &block)
    (@hooks ||= []) << Honker.public_send(name, &block)
  end

  def test_many_go_to_several_queues_each_with_its_options_in_one_commit
    emails = db.queue("emails", max_attempts: 10)
    soon = Time.now.to_i + 1000
    enqueued = db.enqueue_many([
                                 { queue: emails, payload: { to: "a" }, metadata: { tenant: "x" } },
                                 { queue: "reports", payload: "täxt", priority: 7, max_attempts: 1 },
                                 { queue: "reports", payload: nil, run_at: Time.at(soon), expires: 5000, max_attempts: nil }
                               ])
    assert_equal([:enqueued] * 3, enqueued.map(&:status))
    jobs = enqueued.map { |one| emails.get_job(one.id) }
    assert_equal([%w[emails reports reports], [10, 1, 3], [0, 7, 0]], %i[queue max_attempts priority].map { |key| jobs.map { |job| job[key] } })
    assert_equal soon, jobs[2][:run_at]
    assert_in_delta soon + 4000, jobs[2][:expires_at], 100
    assert_equal [{ "to" => "a" }, "täxt", nil], jobs.map { |job| job[:payload] }
    assert_equal "x", emails.claim_one("w").metadata[:tenant]
    assert_equal [], db.enqueue_many([])
  end

  def test_many_are_all_or_none
    bad = { queue: "q", payload: 1, metadata: { big: "x" * 9000 } }
    [{ queue: "q", payload: 1, metadata: { n: 1 } }, bad].each do |one|
      assert_raises(Honker::InvalidError) { db.enqueue_many([{ queue: "q", payload: 0 }, one]) }
    end
    assert_raises(ArgumentError) { db.enqueue_many([{ queue: "q" }]) }
    assert_raises(ArgumentError) { db.enqueue_many([{ queue: "q", payload: 1, speed: 2 }]) }
    assert_raises(Honker::InvalidError) { db.enqueue_many([{ queue: "a\0b", payload: 1 }]) }
    db.transaction { |tx| db.enqueue_many([{ queue: "q", payload: 1 }], tx: tx) && tx.rollback! }
    assert_equal 0, db.queue("q").stats[:pending]
  end

  def test_metadata_comes_back_with_the_job
    q = db.queue("q")
    id = q.enqueue(1, metadata: { "traceparent" => "00-1", tenant: "ä" }, priority: 1)
    q.enqueue(2)
    with, without = q.claim_batch("w", 2)
    assert_equal({ "traceparent" => "00-1", "tenant" => "ä" }, with.metadata)
    assert_equal "ä", with.metadata[:tenant]
    assert_empty without.metadata
    assert_equal({ "traceparent" => "00-1", "tenant" => "ä" }, q.get_job(id)[:metadata])
    with.fail(error: "x")
    assert_equal "00-1", q.dead.first[:metadata][:traceparent]
    without.ack
    q.enqueue_many([3, 4], metadata: { a: "b" }, max_attempts: 1)
    jobs = q.worker("w2").next_batch(2)
    assert_equal([%w[b b], [1, 1]], [jobs.map { |job| job.metadata[:a] }, jobs.map(&:max_attempts)])
    assert jobs.first.release
    assert_equal 0, q.get_job(jobs.first.id)[:attempts]
  end

  def test_the_status_tells_of_the_file
    status = db.status
    assert_kind_of Honker::Payload, status
    refute_empty status
    assert_kind_of String, JSON.generate(status)
  end

  def test_a_hook_around_enqueue_may_change_and_refuse
    seen = []
    hook(:around_enqueue) do |job, enqueue|
      seen << [job.queue, job.payload]
      raise "refused" if job.payload == "bad"
      next if job.payload == "none"

      job.metadata["tenant"] = "acme"
      enqueue.call
    end
    hook(:around_enqueue) { |job, enqueue| (job.payload = [job.payload]) && enqueue.call }
    q = db.queue("q")
    mine = { "own" => "1" }.freeze
    id = q.enqueue("x", metadata: mine)
    assert_kind_of Integer, id
    assert_nil q.enqueue("none")
    assert_equal "refused", assert_raises(RuntimeError) { q.enqueue("bad") }.message
    assert_equal [true, false], db.enqueue_many([{ queue: q, payload: "y" }, { queue: q, payload: "none" }]).map { |one| !one.nil? }
    jobs = q.claim_batch("w", 9)
    assert_equal [["x"], ["y"]], jobs.map(&:payload)
    assert_equal [{ "own" => "1", "tenant" => "acme" }, { "tenant" => "acme" }], jobs.map(&:metadata)
    assert_equal %w[x none bad y none], seen.map(&:last)
  end

  def test_jobs_that_a_hook_holds_back_have_no_id
    hook(:around_enqueue) { |job, enqueue| enqueue.call unless job.payload == "none" }
    q = db.queue("q")
    assert_equal [1, nil, 2, nil], q.enqueue_many(%w[a none b none])
    assert_equal [nil], q.enqueue_many(["none"])
    assert_equal %w[a b], q.claim_batch("w", 9).map(&:payload)
  end

  def test_a_queue_gives_its_jobs_one_attempt_at_least
    type = Class.new { include Honker::Job }
    [0, -1].each do |none|
      [-> { db.queue("q", max_attempts: none) }, -> { db.outbox("o", -> {}, max_attempts: none) }, -> { type.queue("q", max_attempts: none) }].each do |call|
        assert_equal "max_attempts has to be positive: #{none}", assert_raises(ArgumentError, &call).message
      end
    end
    q = db.queue("q", max_attempts: 1)
    q.enqueue(1, max_attempts: 0) # as documented
    assert_nil q.claim_one("w")
    assert_equal [0, "max attempts exceeded"], q.dead.first.values_at(:attempts, :last_error)
  end

  def test_hooks_around_jobs_are_in_order_and_what_they_raise_is_a_failure_of_the_job
    order = []
    hook(:around_job) { |job, perform| [order << "out #{job.payload}", perform.call, order << "end"] }
    hook(:around_job) { |job, perform| job.payload == 2 ? raise("no") : (order << "in") && perform.call }
    hook(:on_error) { |error, job| order << "#{job.payload}: #{error.message}" }
    hook(:on_error) { raise "a hook of no use" }
    q = db.queue("q", max_attempts: 1)
    q.enqueue_many([1, 2, 3])
    q.worker("w").run(stop: -> { q.stats.values_at(:pending, :claimed).sum.zero? }) do |job|
      order << job.payload
      raise Honker::Discard, "never" if job.payload == 3
    end
    assert_equal ["out 1", "in", 1, "end", "out 2", "2: no", "out 3", "in", 3, "3: never"], order
    assert_equal %w[never no], q.dead.map { |job| job[:last_error] }
  end

  def test_a_hook_has_to_answer_call
    assert_raises(ArgumentError) { Honker.around_job(5) }
    assert_raises(ArgumentError) { Honker.on_error }
  end
end
