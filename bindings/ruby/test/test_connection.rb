# frozen_string_literal: true

require_relative "helper"
require "active_record"
require "sequel"
require "sqlite3"

# Enqueueing on connections of others, while a worker runs in another process and the package has the file open in this one.
class TestConnection < HonkerTest
  WORKER = <<~'RUBY'
    require "honker"
    $stdout.sync = true
    Honker.logger = nil
    Honker.work("app.db", "q", "w") { |job| puts JSON.generate([job.payload, job.metadata, job.attempts, job.max_attempts]) }
  RUBY

  # Yields what gives the next line that the worker has printed.
  def with_a_worker
    db.queue("q") # the tables
    IO.popen([RbConfig.ruby, "-I", File.join(PACKAGE, "lib"), "-e", WORKER, { chdir: @dir }]) do |io|
      yield -> { io.wait_readable(30) ? JSON.parse(io.gets) : flunk("no job came") }
    ensure
      Process.kill("TERM", io.pid)
    end
  end

  # The same for each of them: a rollback, a commit, without a transaction, with all options.
  def exercise(connection, transaction)
    with_a_worker do |said|
      assert_raises(RuntimeError) { transaction.call { Honker.enqueue_on(connection, "q", "rolled back") && raise("no") } }
      ids = []
      transaction.call do
        ids << Honker.enqueue_on(connection, "q", { to: "it's \"täxt\"" }, metadata: { tenant: "t" }, max_attempts: 7)
        sleep 0.1
        ids << Honker.enqueue_on(connection, "q", nil, priority: -1)
      end
      assert_equal [{ "to" => "it's \"täxt\"" }, { "tenant" => "t" }, 1, 7], said.call
      assert_equal [nil, {}, 1, 3], said.call
      ids << Honker.enqueue_on(connection, "q", 5, metadata: { a: "b" })
      assert_equal [5, { "a" => "b" }, 1, 3], said.call
      id = Honker.enqueue_on(connection, "q", 6, delay: 1000, expires: 2000, priority: 3)
      job = db.queue("q").get_job(id)
      assert_equal [1000, 2000, 3], [job[:run_at] - job[:created_at], job[:expires_at] - job[:created_at], job[:priority]]
      at = Time.now + 500
      assert_equal at.to_i, db.queue("q").get_job(Honker.enqueue_on(connection, "q", 7, run_at: at))[:run_at]
      moments_are_the_packages_own(connection)
      assert_equal ids, ids.sort
      assert_raises(Honker::InvalidError) { Honker.enqueue_on(connection, "q\0", 1) }
      assert_raises(Honker::PayloadError) { Honker.enqueue_on(connection, "q", Float::NAN) }
      assert_raises(RangeError) { Honker.enqueue_on(connection, "q", 1, delay: 2**70) }
      assert_raises(ArgumentError) { Honker.enqueue_on(connection, "q", 1, speed: 1) }
      assert_equal 2, db.queue("q").stats[:delayed]
      attempts_are_the_queues(connection)
    end
  end

  # Unless they are given.
  def attempts_are_the_queues(connection)
    own = db.queue("it's 'own'")
    own.configure(max_attempts: 9)
    ids = [{}, { max_attempts: 3 }].map { |options| Honker.enqueue_on(connection, own.name, 1, **options) }
    assert_equal [9, 3], ids.map { |id| own.get_job(id)[:max_attempts] }
  end

  # As in Queue#enqueue, with what that refuses.
  def moments_are_the_packages_own(connection)
    q = db.queue("moments")
    [Time.at(5, 999, :millisecond), Time.at(-5, 500, :millisecond), 1.9, -1.9, 7, Rational(3, 2)].each do |moment|
      theirs, ours = [Honker.enqueue_on(connection, "moments", 1, run_at: moment), q.enqueue(1, run_at: moment)].map { |id| q.get_job(id)[:run_at] }
      assert_equal ours, theirs, moment.inspect
    end
    ["10", "soon", [1], (1 << 63) - 1, 1 << 63, Float::NAN].each do |moment|
      ours = assert_raises(StandardError) { q.enqueue(1, run_at: moment) }
      theirs = assert_raises(StandardError, moment.inspect) { Honker.enqueue_on(connection, "moments", 1, run_at: moment) }
      assert_equal [ours.class, ours.message], [theirs.class, theirs.message]
    end
  end

  def test_the_sqlite3_gem
    connection = SQLite3::Database.new(@path)
    connection.busy_handler { sleep 0.001 }
    exercise(connection, ->(&block) { connection.transaction(:immediate, &block) })
  ensure
    connection&.close
  end

  def test_sequel
    sequel = Sequel.connect("sqlite://#{@path}", timeout: 5000)
    exercise(sequel, ->(&block) { sequel.transaction(mode: :immediate, &block) })
  ensure
    sequel&.disconnect
  end

  def test_active_record
    ActiveRecord::Base.establish_connection(adapter: "sqlite3", database: @path, timeout: 5000)
    exercise(ActiveRecord::Base, ->(&block) { ActiveRecord::Base.transaction(&block) })
    again = ActiveRecord::Base.connection
    assert_kind_of Integer, Honker.enqueue_on(again, "other", 1)
    # A transaction that reads before it writes is refused when somebody else has committed in between.
    said = []
    seen = ActiveSupport::Notifications.subscribe("sql.active_record") { |*, event| said << event[:sql].split.first.upcase }
    2.times { Honker.enqueue_on(again, "other", 1, metadata: { a: "b" }) }
    assert_equal %w[BEGIN INSERT INSERT COMMIT] * 2, said
  ensure
    ActiveSupport::Notifications.unsubscribe(seen) if seen
    ActiveRecord::Base.remove_connection
  end

  def test_a_job_class_on_a_connection
    connection = SQLite3::Database.new(@path)
    db.queue("q")
    type = Class.new do
      include Honker::Job

      def self.name = "Some"
      def perform(to:); end
    end
    connection.transaction { type.set(connection: connection).enqueue(to: "alice") }
    assert_equal({ "__honker_task__" => { "task" => "Some", "args" => [], "kwargs" => { "to" => "alice" } } }, db.queue("default").claim_one("w").payload)
  ensure
    connection&.close
  end

  def test_what_is_no_connection
    assert_match(/Integer is no connection/, assert_raises(TypeError) { Honker.enqueue_on(5, "q", 1) }.message)
    assert_raises(TypeError) { Honker.enqueue_on(String, "q", 1) }
  end
end
