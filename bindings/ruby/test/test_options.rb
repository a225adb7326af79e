# frozen_string_literal: true

require_relative "helper"
require "active_record"
require "sequel"
require "sqlite3"
require "stringio"

# Options that make a job unique or limit it, wherever they are taken, and the settings of queues.
class TestOptions < HonkerTest
  class Digest
    include Honker::Job

    queue "mail", unique_key: ->(user_id:, **) { "digest #{user_id}" }, concurrency_key: ->(user_id:, **) { "user #{user_id}" }, priority: 2

    def perform(user_id:, at: nil)
      DONE << [user_id, at]
    end
  end

  DONE = Thread::Queue.new

  def teardown
    Honker.database = nil
    super
  end

  def options_of(id)
    columns = %w[unique_key unique_until concurrency_key batch_id max_run_s metadata]
    columns.zip(db.query_row("SELECT #{columns.join(", ")} FROM _honker_job_options WHERE job_id = ?", [id])).to_h.compact
  end

  def statuses(*enqueued)
    enqueued.map { |one| [one.id, one.status] }
  end

  def test_a_key_has_one_job_and_the_answer_says_so
    q = db.queue("q")
    first = q.try_enqueue(1, unique_key: "k")
    assert_equal [true, false, false], [first.enqueued?, first.exists?, first.replaced?]
    assert_equal [true, false], q.try_enqueue(2, unique_key: "k").then { |second| [second.exists?, second.enqueued?] }
    assert_equal first.id, q.enqueue(2, unique_key: :k)
    replaced = q.try_enqueue({ n: 3 }, unique_key: "k", on_conflict: "replace", priority: 5)
    assert_equal [first.id, true], [replaced.id, replaced.replaced?]
    assert_equal [{ "n" => 3 }, 5], q.get_job(first.id).values_at(:payload, :priority)
    assert_equal 1, q.stats[:pending]
    assert db.queue("other").try_enqueue(1, unique_key: "k").enqueued?
    assert_equal [[first.id, :replaced], [first.id, :exists], [first.id + 2, :enqueued]],
                 statuses(*db.enqueue_many([{ queue: q, payload: 1, unique_key: "k", on_conflict: :replace }, { queue: q, payload: 2, unique_key: "k" }, { queue: q, payload: 3 }]))
    assert_equal [first.id, first.id], q.enqueue_many([1, 2], unique_key: "k")
  end

  def test_every_option_gets_there
    q = db.queue("q")
    batch = db.batch
    id = q.enqueue(1, unique_key: "ü", unique_until: :claimed, unique_for_s: 100, concurrency_key: :customer, batch: batch, max_run_s: 7, metadata: { a: "b" })
    all = { "unique_key" => "ü", "unique_until" => "claimed", "concurrency_key" => "customer", "batch_id" => batch.id, "max_run_s" => 7, "metadata" => '{"a":"b"}' }
    assert_equal all, options_of(id)
    assert_in_delta Time.now.to_i + 99, db.query_row("SELECT until FROM _honker_unique").first, 60
    assert_equal 1, q.cancel(id) ? 1 : 0
    assert q.try_enqueue(1, unique_key: "ü").exists? # for its seconds
    many, = db.enqueue_many([{ queue: "q", payload: 1, concurrency_key: "c", batch: batch.id, max_run_s: 5, unique_key: nil }])
    assert_equal({ "concurrency_key" => "c", "batch_id" => batch.id, "max_run_s" => 5 }, options_of(many.id))
    assert_equal 2, batch.get[:total]
  end

  BAD = {
    { unique_key: "" } => "unique_key must not be empty", { concurrency_key: "" } => "concurrency_key must not be empty",
    { unique_key: 5 } => "unique_key has to be a String, not Integer",
    { unique_key: "k", unique_until: :ever } => "unique_until has to be one of [:settled, :claimed]: :ever",
    { unique_key: "k", on_conflict: nil.to_a } => "on_conflict has to be one of [:keep, :replace]: []",
    { unique_key: "k", unique_for_s: 0 } => "unique_for_s has to be positive: 0", { max_run_s: -1 } => "max_run_s has to be positive: -1",
    { batch: 0 } => "batch has to be positive: 0", { batch: "7" } => "batch has to be a number, not String",
    { batch: 1, member: 7 } => "member has to be a Honker::ClaimedJob, not Integer",
    { unique_for_s: 5 } => /need a unique_key/, { batch: 77 } => /batch/, { unique_kee: "k" } => /unknown keyword: :unique_kee/
  }.freeze

  def test_what_cannot_be_is_an_error_that_names_it_and_enqueues_nothing
    q = db.queue("q")
    BAD.each do |options, message|
      [-> { q.enqueue(1, **options) }, -> { db.enqueue_many([{ queue: q, payload: 0 }, { queue: q, payload: 1, **options }]) },
       -> { db.scheduler.add(name: "s", queue: "q", schedule: "@every 1s", **options) }].each_with_index do |call, i|
        next if i == 2 && options == { batch: 77 } # said when it fires

        assert_match message, assert_raises(StandardError, options.inspect, &call).message
      end
    end
    assert_equal [0, []], [q.stats[:pending], db.scheduler.list]
  end

  def test_job_classes_make_keys_of_their_arguments
    Honker.database = db
    first = Digest.try_enqueue(user_id: 7)
    assert_equal({ "unique_key" => "digest 7", "unique_until" => "settled", "concurrency_key" => "user 7" }, options_of(first.id))
    assert_equal [[first.id, :exists]], statuses(Digest.try_enqueue(user_id: 7, at: "noon"))
    assert_equal first.id, Digest.enqueue(user_id: 7)
    assert Digest.set(on_conflict: :replace).try_enqueue(user_id: 7, at: "noon").replaced?
    assert Digest.set(unique_key: "mine").try_enqueue(user_id: 7).enqueued?
    assert_equal %i[enqueued exists], db.enqueue_many([Digest.spec(user_id: 8), Digest.set(priority: 1).spec(user_id: 7)]).map(&:status)
    assert_raises(ArgumentError) { Digest.spec(user: 8) }
    db.scheduler.add(name: "daily", schedule: "@every 1s", **Digest.set(expires: 60).spec(user_id: 9))
    fire = db.scheduler.tick(db.scheduler.soonest).first
    assert_equal [:enqueued, "digest 9"], [fire.status, options_of(fire.job_id)["unique_key"]]
    assert_equal 2, db.queue("mail").get_job(fire.job_id)[:priority]
  end

  def test_a_hook_sees_the_options_and_may_change_them
    seen = []
    hook = Honker.around_enqueue do |job, enqueue|
      job.options[:unique_key] ||= "by hook"
      seen << enqueue.call unless job.payload == "none"
    end
    q = db.queue("q")
    first = q.try_enqueue(1)
    assert_equal [[first.id, :enqueued], [first.id, :exists]], statuses(first, q.try_enqueue(2))
    assert_equal [first.id, first.id], seen
    assert_nil q.try_enqueue("none")
    assert_equal [:enqueued], db.enqueue_many([{ queue: "other", payload: 1 }]).map(&:status)
  ensure
    Honker::Hooks.remove(hook)
  end

  def test_schedules_skip_what_overlaps_and_say_what_came_of_each_fire
    scheduler = db.scheduler
    q = db.queue("q", max_attempts: 9)
    scheduler.add(name: "skip", queue: q, schedule: "@every 1s", overlap: :skip, payload: { a: 1 }, metadata: { b: "c" }, max_run_s: 5)
    scheduler.add(name: "key", queue: "q", schedule: "@every 1s", unique_key: "k")
    at = scheduler.soonest
    fires = scheduler.tick(at + 2) # the second one may have been added a second later
    skip, key = fires.partition { |fire| fire.name == "skip" }
    assert_equal [[Integer, :enqueued], [NilClass, :skipped]], skip.map { |fire| [fire.job_id.class, fire.status] }.first(2)
    assert_equal %i[enqueued exists], key.map(&:status).first(2)
    assert_equal 1, key.map(&:job_id).uniq.size
    assert_equal [{ "a" => 1 }, 9, { "b" => "c" }], q.get_job(skip.first.job_id).values_at(:payload, :max_attempts, :metadata)
    [{ overlap: :never }, { run_at: 5 }, { speed: 1 }].each do |bad|
      assert_raises(ArgumentError, Honker::InvalidError) { scheduler.add(name: "bad", queue: "q", schedule: "@daily", **bad) }
    end
    assert_equal %w[key skip], scheduler.list.map { |one| one[:name] }
  end

  # Those of others go through the SQL function.
  def enqueue_on(connection)
    Honker.setup(connection, extension_path: EXTENSION)
    batch = db.batch
    options = { unique_key: "it's ?", unique_until: :claimed, concurrency_key: "c", batch: batch, max_run_s: 7, metadata: { a: "?" }, delay: 5, expires: 50 }
    ids = Array.new(2) { Honker.enqueue_on(connection, "q", { text: "it's ?" }, **options) }
    assert_equal 1, ids.uniq.size
    assert_equal({ "unique_key" => "it's ?", "unique_until" => "claimed", "concurrency_key" => "c", "batch_id" => batch.id, "max_run_s" => 7, "metadata" => '{"a":"?"}' },
                 options_of(ids.first))
    job = db.queue("q").get_job(ids.first)
    assert_equal [{ "text" => "it's ?" }, 5, 50], [job[:payload], job[:run_at] - job[:created_at], job[:expires_at] - job[:created_at]]
    first = Digest.set(connection: connection).try_enqueue(user_id: 1)
    assert_equal [[first.id, :enqueued], [first.id, :exists]], statuses(first, Digest.set(connection: connection).try_enqueue(user_id: 1))
    assert_raises(TypeError) { Honker.enqueue_on(connection, "q", 1, batch: 1, member: 5) }
    db.queue("mail").cancel(first.id)
    yield -> { Digest.set(connection: connection).enqueue(user_id: 2) }
    assert_equal 0, db.queue("mail").stats[:pending]
  end

  def test_on_a_connection_of_the_sqlite3_gem
    connection = SQLite3::Database.new(@path)
    enqueue_on(connection) { |enqueue| connection.transaction && enqueue.call && connection.rollback }
  ensure
    connection&.close
  end

  def test_on_sequel
    sequel = Sequel.connect("sqlite://#{@path}", after_connect: Honker.sequel_after_connect(extension_path: EXTENSION))
    Honker.stub(:setup, nil) { enqueue_on(sequel) { |enqueue| sequel.transaction(rollback: :always) { enqueue.call } } }
  ensure
    sequel&.disconnect
  end

  # A SELECT is for the :read_only server, and honker's function for the transaction.
  def test_on_sequel_with_a_server_for_reading
    sequel = Sequel.connect("sqlite://#{@path}", servers: { read_only: {} }, after_connect: Honker.sequel_after_connect(extension_path: EXTENSION))
    Honker.stub(:setup, nil) { enqueue_on(sequel) { |enqueue| sequel.transaction(rollback: :always) { enqueue.call } } }
  ensure
    sequel&.disconnect
  end

  def test_on_active_record_and_not_from_its_cache
    ActiveRecord::Base.establish_connection(adapter: "sqlite3", database: @path, timeout: 5000)
    connection = ActiveRecord::Base.connection
    connection.cache do
      enqueue_on(connection) { |enqueue| connection.transaction { enqueue.call && raise(ActiveRecord::Rollback) } }
    end
  ensure
    ActiveRecord::Base.remove_connection
  end

  def test_settings_are_there_for_every_database_of_the_file
    q = db.queue("q")
    assert_equal [false, nil, 3, 0], q.settings.values_at(:paused, :concurrency, :max_attempts, :keep_done_s)
    assert_nil q.configure(concurrency: 2, rate: { limit: 5, per_s: 60 }, retry: { base_s: 1, factor: 1.5 }, max_attempts: 7)
    other = open_database.queue("q")
    assert_equal [2, { "limit" => 5, "per_s" => 60 }, 1.5], [other.settings[:concurrency], other.settings[:rate], other.settings.dig(:retry, :factor)]
    other.configure(concurrency: nil)
    assert_equal [nil, 7], q.settings.values_at(:concurrency, :max_attempts)
    assert_equal [7, 2], [q.get_job(q.enqueue(1))[:max_attempts], q.get_job(q.enqueue(1, max_attempts: 2))[:max_attempts]]
    assert_equal [9, nil], [db.queue("q", max_attempts: 9).then { |own| own.get_job(own.enqueue(1))[:max_attempts] }, q.max_attempts]
    db.queue("jobs only").enqueue(1)
    assert_equal [["jobs only", 3], ["q", 7]], db.queues.map { |queue| queue.values_at(:queue, :max_attempts) }
    db.transaction { |tx| q.configure(tx: tx, max_attempts: 1) && [] or tx.rollback! }
    assert_equal 7, q.settings[:max_attempts]
  end

  def test_settings_that_cannot_be_are_refused_and_none_is_set
    q = db.queue("q")
    { { speed: 1 } => /speed/, { concurrency: 0 } => /concurrency/, { rate: { limit: 1 } } => /per_s/, { paused: 1 } => /paused/,
      { retry: { base: 1 } } => /base/ }.each do |bad, message|
      assert_match message, assert_raises(Honker::InvalidError) { q.configure(keep_done_s: 5, **bad) }.message
    end
    assert_match(/Object is no option/, assert_raises(TypeError) { q.configure(concurrency: Object.new) }.message)
    assert_equal 0, q.settings[:keep_done_s]
  end

  def test_durations_and_moments_are_numbers
    require "active_support"
    require "active_support/core_ext/integer/time"
    q = db.queue("q")
    q.configure(keep_dead_s: 7.days, rate: { limit: 1, per_s: 1.minute })
    assert_equal [604_800, 60], [q.settings[:keep_dead_s], q.settings.dig(:rate, :per_s)]
    assert_equal 5, options_of(q.enqueue(1, max_run_s: 5.seconds))["max_run_s"]
  end

  def test_the_backoff_of_a_queue_goes_before_that_of_its_worker
    q = db.queue("q")
    q.configure(retry: { base_s: 100, factor: 3, max_s: 1000, jitter: 0.1 })
    id = q.enqueue(1)
    log = StringIO.new
    q.worker("w", retry_base_s: 1, logger: Logger.new(log)).run(stop: -> { q.stats[:delayed] == 1 }) { raise "no" }
    assert_includes log.string, "next try in about 100 s"
    assert_in_delta Time.now.to_i + 100, q.get_job(id)[:run_at], 40
  end

  def test_a_paused_queue_waits_and_wakes_its_workers_when_it_is_resumed
    q = db.queue("q")
    q.pause
    assert q.paused?
    q.enqueue(1)
    assert_nil q.claim_one("w")
    assert_nil q.next_claim_at
    claimed = Thread.new { q.worker("w").next(timeout: 60) }
    asleep(claimed)
    db.transaction { |tx| q.resume(tx: tx) }
    assert_equal 1, claimed.value.payload
    refute q.paused?
  end

  def test_limits_hold_for_claims_of_this_package
    q = db.queue("q")
    q.configure(concurrency_per_key: 1)
    q.enqueue_many([1, 2], concurrency_key: "k")
    q.enqueue(3)
    jobs = q.claim_batch("w", 9)
    assert_equal [1, 3], jobs.map(&:payload)
    assert_equal [2], db.jobs(queue: "q", state: :blocked).map { |job| job[:payload] }
    jobs.first.ack
    assert_equal [2], q.claim_batch("w", 9).map(&:payload)
  end

  def test_what_is_kept_of_notifications_and_streams
    stream = db.stream("s")
    5.times { |n| stream.publish(n) }
    stream.configure(keep_n: 3)
    assert_equal 2, stream.trim
    assert_equal 2, stream.trim(keep_n: 1)
    stream.save_offset("c", 0)
    assert_equal 1, stream.trim(keep_n: 0, past_consumers: true)
    assert_raises(Honker::InvalidError) { stream.configure(keep: 1) }
    assert_nil db.configure_notifications(keep_s: 60)
    assert_raises(Honker::InvalidError) { db.configure_notifications(keep_s: -1) }
  end
end
