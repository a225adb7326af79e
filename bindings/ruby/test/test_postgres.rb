# frozen_string_literal: true

require_relative "helper"
require "active_record"
require "sequel"
require "honker/testing"
require "uri"
require "yaml"

# On Postgres: the package's calls with a URL in place of a file, and enqueueing on connections of pg, Sequel and ActiveRecord.
class TestPostgres < HonkerTest
  NUMBERS = (1..Float::INFINITY).each
  SERVER = ENV.fetch("HONKER_POSTGRES_URL", nil)

  class Model < ActiveRecord::Base
    self.abstract_class = true
  end

  def setup
    super
    skip "there is no Postgres server (HONKER_POSTGRES_URL)" if SERVER.to_s.empty?

    require "pg"
    @name = "ruby_#{Process.pid}_#{NUMBERS.next}"
    administer("CREATE DATABASE #{@name}")
    base, query = SERVER.split("?", 2)
    @url = "#{base.sub(%r{/[^/]*\z}, "")}/#{@name}?#{query}"
    @path = "#{@url}&honker_migrate=on"
  end

  def teardown
    super
    administer("DROP DATABASE #{@name} WITH (FORCE)") if @name
  end

  def administer(sql)
    conn = PG.connect(SERVER)
    conn.exec("SET client_min_messages = error")
    conn.exec(sql)
  ensure
    conn&.close
  end

  def connected
    conn = PG.connect(@url)
    yield conn
  ensure
    conn.close
  end

  # As ActiveRecord has it.
  def configuration
    uri = URI.parse(@url)
    given = URI.decode_www_form(uri.query.to_s).to_h
    { "adapter" => "postgresql", "database" => @name, "host" => given["host"] || uri.host, "port" => uri.port,
      "username" => given["user"] || uri.user, "password" => uri.password }.compact
  end

  def with_orders
    db.transaction { |tx| tx.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)") }
  end

  def orders
    db.query("SELECT id FROM orders ORDER BY id").flatten
  end

  # Of another process: it sleeps until somebody commits.
  def with_worker
    db.queue("emails")
    program = <<~RUBY
      $stdout.sync = true
      db = Honker::Database.new(ARGV.first)
      puts "ready"
      db.queue("emails").claim("w") { |job| puts job.payload if job.ack }
    RUBY
    IO.popen([RbConfig.ruby, "-I", File.join(PACKAGE, "lib"), "-r", "honker", "-e", program, @url], err: File::NULL) do |out|
      assert_equal "ready", out.gets&.chomp
      yield out
      # What was rolled back would have come before.
      db.queue("emails").enqueue("last", priority: -1)
      assert_equal "last", out.gets&.chomp
    ensure
      Process.kill("KILL", out.pid)
    end
  end

  def test_a_database_without_the_schema_is_not_opened
    error = assert_raises(Honker::CannotOpenError) { Honker::Database.new(@url) }
    assert_match(/honker migrate/, error.message)
  end

  def test_a_server_that_is_not_there
    error = assert_raises(Honker::ConnectionError) { Honker::Database.new("postgres://me:secret@/x?host=#{@dir}&password=secret") }
    assert_equal [-33, "HONKER_CONNECTION", true], [error.status, error.name, error.transient?]
    refute_includes error.message, "secret"
  end

  def test_texts_have_no_password
    db
    other = Honker::Database.new(@url.sub("///", "//app:secret@/"))
    texts = [other, other.queue("q"), other.listen("c"), other.jobs].map(&:inspect)
    assert(texts.none? { |text| text.include?("secret") }, texts.join)
    assert_includes texts.first, "//app@/#{@name}"
  ensure
    other&.close
  end

  def test_jobs
    q = db.queue("emails")
    id = q.enqueue({ to: "alice" }, priority: 7, metadata: { tenant: "acme" })
    job = q.claim_one("w")
    assert_equal [id, "alice", "acme"], [job.id, job.payload[:to], job.metadata[:tenant]]
    assert job.ack
    refute job.ack
    batch = db.batch(on_finished: { queue: "after", payload: 1 }) { |one| q.enqueue(1, batch: one) }
    job = q.claim_one("w")
    assert_equal batch.id, job.batch.id
    job.ack
    assert_equal 1, db.queue("after").claim_one("w").payload
    assert_empty db.jobs(queue: "emails").to_a
  end

  def test_transactions
    with_orders
    q = db.queue("emails")
    db.transaction do |tx|
      tx.execute("INSERT INTO orders (id, note) VALUES (?, ?)", [1, "it's ? here"])
      assert_raises(Honker::InvalidError) { q.enqueue(1, tx: tx, metadata: { a: 1 }) } # the transaction goes on
      q.enqueue({ id: 1 }, tx: tx)
    end
    db.transaction do |tx|
      tx.execute("INSERT INTO orders (id) VALUES (?)", [2])
      q.enqueue({ id: 2 }, tx: tx)
      tx.rollback!
    end
    assert_equal [[1, "it's ? here"]], db.query("SELECT id, note FROM orders WHERE note LIKE ? || '%'", ["it"])
    assert_equal [1], db.jobs(queue: "emails").map { |job| job[:payload][:id] }
    assert_raises(Honker::ConstraintError) { db.transaction { |tx| tx.execute("INSERT INTO orders (id) VALUES (1)") } }
  end

  # Not in slices, as on a file: a statement that gives up costs its transaction.
  def test_a_locked_row_is_waited_for
    with_orders
    connected do |conn|
      conn.exec("BEGIN")
      conn.exec("INSERT INTO orders (id) VALUES (1)")
      thread = Thread.new { db.transaction { |tx| tx.execute("INSERT INTO orders (id) VALUES (1)") } }
      waits = -> { conn.exec("SELECT count(*) FROM pg_locks WHERE NOT granted").getvalue(0, 0) == "1" }
      eventually(&waits)
      sleep 0.1
      assert waits.call
      conn.exec("ROLLBACK")
      assert thread.join(60)
    end
    assert_equal [1], orders
  end

  def test_a_worker
    done, stop = Thread::Queue.new, false
    thread = Thread.new do
      db.worker("emails", concurrency: 4).run(signals: false, stop: -> { stop }) do |job|
        done << job.payload
        raise Honker::Retry.new("not yet", delay_s: 0) if job.payload == "again" && job.attempts == 1
      end
    end
    db.queue("emails").enqueue("first")
    assert_equal "first", done.pop
    db.queue("emails").enqueue("again")
    assert_equal %w[again again], [done.pop, done.pop]
    eventually { db.jobs(queue: "emails").none? }
    stop = true
    assert ended?(thread)
  end

  def test_streams_notifications_results_locks_and_schedules
    listener = db.listen("news")
    stream = db.stream("orders")
    subscription = stream.subscribe(consumer: "c")
    result = Thread.new { db.wait_result(7, timeout: 60) }
    db.transaction do |tx|
      db.notify("news", { id: 42 }, tx: tx)
      stream.publish({ n: 1 }, key: "k", tx: tx)
    end
    assert_equal 42, listener.next(timeout: 60).payload[:id]
    assert_equal ["k", 1], subscription.next(timeout: 60).then { |event| [event.key, event.payload[:n]] }
    db.save_result(7, "value")
    assert_equal "value", result.value
    assert(db.try_lock("backup", ttl_s: 60) { db.try_lock("backup", ttl_s: 60).nil? })
    assert_equal [true, false], Array.new(2) { db.try_rate_limit("api", limit: 1, per: 60) }
    scheduler = db.scheduler
    scheduler.add(name: "poll", queue: "emails", schedule: "@every 60s", payload: "due")
    at = db.query("SELECT next_fire_at FROM honker._honker_scheduler_tasks").flatten.first
    assert_equal ["poll"], scheduler.tick(at).map(&:name)
    assert_equal "due", db.queue("emails").claim_one("w").payload
  end

  def test_closing_ends_what_waits
    other = open_database
    listener = other.listen("c")
    thread = asleep(Thread.new { listener.next })
    other.close
    assert_kind_of Honker::ClosedError, error_of(thread)
  end

  def test_the_tests_of_an_application
    test = Class.new do
      include Honker::Testing

      attr_reader :honker_db

      def with(database)
        @honker_db = database
        self
      end
    end.new.with(db)
    db.queue("emails").enqueue({ to: "alice" }, delay: 60)
    test.assert_enqueued("emails", to: "alice")
    assert_nil db.queue("emails").claim_one("w")
    test.advance(60)
    assert_equal "alice", db.queue("emails").claim_one("w").payload[:to]
  end

  # Connections of one's own.

  def test_pg
    with_orders
    with_worker do |worker|
      connected do |conn|
        conn.type_map_for_results = PG::BasicTypeMapForResults.new(conn)
        conn.exec("BEGIN")
        Honker.enqueue_on(conn, "emails", "rolled back")
        conn.exec("ROLLBACK")
        conn.transaction do
          conn.exec("INSERT INTO orders (id) VALUES (1)")
          id = Honker.enqueue_on(conn, "emails", "committed", metadata: { a: "b" }, unique_key: "k")
          assert_equal id, Honker.enqueue_on(conn, "emails", "another", unique_key: "k")
        end
      end
      assert_equal ["committed", [1]], [worker.gets.chomp, orders]
    end
  end

  def test_sequel
    with_orders
    sequel = Sequel.connect(@url)
    with_worker do |worker|
      sequel.transaction do
        Honker.enqueue_on(sequel, "emails", "rolled back")
        raise Sequel::Rollback
      end
      sequel.transaction do
        sequel[:orders].insert(id: 1)
        Honker.enqueue_on(sequel, "emails", "committed?", priority: 2, delay: 0)
      end
      assert_equal ["committed?", [1]], [worker.gets.chomp, orders]
    end
    assert_raises(Honker::InvalidError) { Honker.enqueue_on(sequel, "emails", 1, expires: (1 << 62) - 1, metadata: { a: 1 }) }
  ensure
    sequel&.disconnect
  end

  # A SELECT is for the :read_only server, and honker's function for the transaction.
  def test_sequel_with_a_server_for_reading
    db
    sequel = Sequel.connect(@url, servers: { read_only: {} })
    sequel.transaction do
      Honker.enqueue_on(sequel, "emails", "rolled back")
      Honker.enqueue_on(sequel, "emails", "rolled back", metadata: { a: "b" })
      raise Sequel::Rollback
    end
    assert_empty db.jobs(queue: "emails").to_a
    sequel.transaction { Honker.enqueue_on(sequel, "emails", "committed") }
    assert_equal ["committed"], db.jobs(queue: "emails").map { |job| job[:payload] }
  ensure
    sequel&.disconnect
  end

  # Built on ActiveRecord's own, as that of the gem activerecord-postgis-adapter.
  POSTGIS = <<~RUBY
    require "active_record/connection_adapters/postgresql_adapter"
    module ActiveRecord
      module ConnectionAdapters
        class PostGISAdapter < PostgreSQLAdapter
          ADAPTER_NAME = "PostGIS"
        end
        register("postgis", "ActiveRecord::ConnectionAdapters::PostGISAdapter") if respond_to?(:register)
      end

      module ConnectionHandling
        def postgis_connection(config)
          given = config.slice(:host, :port, :user).merge(dbname: config[:database], user: config[:username])
          ConnectionAdapters::PostGISAdapter.new(PG.connect(**given.compact), logger, given, config)
        end
      end
    end
  RUBY

  def test_active_record_with_postgis
    with_orders
    folder = File.join(@dir, "lib")
    FileUtils.mkdir_p("#{folder}/active_record/connection_adapters")
    File.write("#{folder}/active_record/connection_adapters/postgis_adapter.rb", POSTGIS)
    $LOAD_PATH.unshift(folder)
    ActiveRecord::Base.establish_connection(configuration.merge("adapter" => "postgis"))
    Honker.database = @url
    type = Class.new do
      include Honker::Job

      def self.name = "Some"
      def perform(to:); end
    end
    [false, true].each do |commits|
      ActiveRecord::Base.transaction do
        Honker.enqueue_on(ActiveRecord::Base, "emails", commits)
        type.enqueue(to: "alice")
        raise ActiveRecord::Rollback unless commits
      end
    end
    assert_equal [true], db.jobs(queue: "emails").map { |job| job[:payload] }
    assert_equal 1, db.jobs(queue: "default").count
    assert_includes ruby(<<~'RUBY', env: { "RUBYLIB" => folder }), "primary: postgresql:///app?"
      require "rails"
      require "active_record"
      require "honker"
      ActiveRecord::Base.establish_connection(adapter: "postgis", database: "app")
      puts "primary: #{Honker::Railtie.primary}"
    RUBY
  ensure
    $LOAD_PATH.delete(folder)
    Honker.database = nil
    ActiveRecord::Base.remove_connection
  end

  # With a fraction, for instance, which the function does not take.
  def test_numbers_are_those_of_the_package
    q = db.queue("emails")
    numbers = { priority: 2.9, max_attempts: 4.9, expires: 60.9, delay: 1.9 }
    connected do |conn|
      ids = [{}, { metadata: { a: "b" } }].map { |more| Honker.enqueue_on(conn, "emails", 1, **numbers, **more) }
      said = [q.enqueue(1, **numbers), *ids].map do |id|
        job = q.get_job(id)
        [job[:priority], job[:max_attempts], job[:expires_at] - job[:run_at]]
      end
      assert_equal [[2, 4, 59]] * 3, said
      %i[priority max_attempts delay expires max_run_s unique_for_s run_at].each do |option|
        assert_match(/#{option}/, assert_raises(TypeError) { Honker.enqueue_on(conn, "emails", 1, option => "5") }.message)
        assert_raises(RangeError) { Honker.enqueue_on(conn, "emails", 1, option => Float::NAN) }
      end
    end
    db.batch(on_finished: { queue: "after", payload: 1, **numbers }) { nil }
    assert_equal([2], db.jobs(queue: "after").map { |job| job[:priority] })
  end

  def test_active_record
    with_orders
    Model.establish_connection(configuration)
    with_worker do |worker|
      Model.transaction do
        Honker.enqueue_on(Model, "emails", "rolled back")
        raise ActiveRecord::Rollback
      end
      Model.transaction do
        Model.connection.execute("INSERT INTO orders (id) VALUES (1)")
        Honker.enqueue_on(Model, "emails", "it's ? committed", run_at: Time.now, max_attempts: 2)
        Model.transaction(requires_new: true) do
          Honker.enqueue_on(Model.connection, "emails", "rolled back to a savepoint")
          raise ActiveRecord::Rollback
        end
      end
      assert_equal ["it's ? committed", [1]], [worker.gets.chomp, orders]
    end
    assert_raises(Honker::InvalidError) { Honker.enqueue_on(Model, "emails", 1, metadata: { a: 1 }) }
  ensure
    Model.remove_connection
  end

  def test_errors_of_honker_are_typed_and_others_the_drivers
    db
    connected do |conn|
      conn.exec("BEGIN")
      error = assert_raises(Honker::InvalidError) { Honker.enqueue_on(conn, "emails", 1, metadata: { a: 1 }) }
      assert_match(/metadata/, error.message)
      assert_kind_of PG::Error, error.cause
      assert_raises(PG::InFailedSqlTransaction) { Honker.enqueue_on(conn, "emails", 1) }
      conn.exec("ROLLBACK; BEGIN")
      conn.exec("SELECT honker._move_begin('6d', 'postgres://db.example/app')")
      error = assert_raises(Honker::MovedError) { Honker.enqueue_on(conn, "emails", 1, unique_key: "k") }
      assert_match(%r{db.example/app}, error.message)
      conn.exec("ROLLBACK")
      conn.exec("SET client_min_messages = error; DROP SCHEMA honker CASCADE")
      assert_raises(PG::InvalidSchemaName) { Honker.enqueue_on(conn, "emails", 1) }
    end
  end

  def test_the_example
    db
    out, err, status = Open3.capture3({ "DATABASE_URL" => @url }, RbConfig.ruby, "-I", File.join(PACKAGE, "lib"),
                                      File.join(PACKAGE, "examples/postgres.rb"), chdir: @dir)
    assert status.success?, err
    assert_equal "42\n", out
  end

  RAILS = <<~'RUBY'
    require "rails"
    require "active_record/railtie"
    require "active_job/railtie"
    require "honker"
    class App < Rails::Application
      config.eager_load = false
      config.logger = Logger.new("rails.log")
      config.active_support.deprecation = :silence
      config.root = Dir.pwd
      config.secret_key_base = "x"
      config.active_job.queue_adapter = :honker
    end
    App.initialize!
    class Order < ActiveRecord::Base; end
    class Greet < ActiveJob::Base
      def honker_options = { unique_key: arguments.first }
      def perform(name) = File.open("said.txt", "a") { |file| file.puts("hello #{name}") }
    end
    class Plain
      include Honker::Job
      queue "default"
      def perform(to:) = File.open("said.txt", "a") { |file| file.puts("plain #{to}") }
    end
  RUBY

  # config/database.yml's primary database is Honker.database, and its connection enqueues in the model's transaction.
  def test_rails
    with_orders
    FileUtils.mkdir_p("#{@dir}/config")
    File.write("#{@dir}/config/environment.rb", RAILS)
    File.write("#{@dir}/config/database.yml", { "development" => configuration }.to_yaml)
    env = { "RUBYLIB" => File.join(PACKAGE, "lib"), "RAILS_ENV" => "development" }
    out, status = Open3.capture2e(env, RbConfig.ruby, "-r", "./config/environment.rb", "-e", <<~'RUBY', chdir: @dir)
      Order.transaction { Order.create!(id: 1) && Greet.perform_later("nobody") && Plain.enqueue(to: "nobody") && raise(ActiveRecord::Rollback) }
      Order.transaction { Order.create!(id: 2) && Greet.perform_later("alice") && Greet.perform_later("alice") && Plain.enqueue(to: "bob") }
      puts "opened" if Honker.instance_variable_get(:@opened)
      puts Honker.database.queue("default").stats[:pending]
    RUBY
    assert_equal "2\n", out.lines.last
    assert status.success?, out
    refute_includes out, "opened" # both were enqueued by ActiveRecord's connection
    pid = spawn(env, RbConfig.ruby, File.join(PACKAGE, "exe/honker-worker"), "-c", "2", chdir: @dir, %i[out err] => "#{@dir}/out.txt")
    eventually { db.queue("default").stats.values_at(:pending, :claimed) == [0, 0] }
    Process.kill("TERM", pid)
    assert Process.wait2(pid)[1].success?, File.read("#{@dir}/out.txt")
    assert_equal ["hello alice\n", "plain bob\n"], File.readlines("#{@dir}/said.txt").sort
    assert_equal [2], orders
  end
end
