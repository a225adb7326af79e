# frozen_string_literal: true

require_relative "helper"

# ActiveJob's adapter and the worker's program, in a Rails application of its own.
class TestRails < HonkerTest
  ENVIRONMENT = <<~'RUBY'
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
    ENV["DATABASE_URL"] = "sqlite3:app.db"
    App.initialize!
    class Order < ActiveRecord::Base; end
    class ApplicationJob < ActiveJob::Base
      def say(text)
        File.open("said.txt", "a") { |file| file.flock(File::LOCK_EX) && file.puts(text) }
      end
    end
    class Greet < ApplicationJob
      queue_as :greetings
      def perform(name, order: nil, at: nil)
        say("hello #{name}#{order && order[:id]}#{at&.year} #{executions} #{provider_job_id.class}")
      end
    end
    class Flaky < ApplicationJob
      retry_on(IOError, wait: 1.second, attempts: 3) { |job, error| job.say("gave up: #{error.message}") }
      def perform
        say("try #{executions}")
        raise IOError, "flaky"
      end
    end
    class Long < ApplicationJob
      def perform
        say("adapter stops: #{self.class.queue_adapter.stopping?}")
        sleep 0.01 until self.class.queue_adapter.stopping?
        say("left off")
      end
    end
    class Broken < ApplicationJob
      def perform = raise("broken")
    end
    class Plain
      include Honker::Job
      queue "greetings"
      def perform(to:) = File.write("plain.txt", to)
    end
  RUBY

  # A Gemfile that names what is installed, so that `bundle exec` finds this package without a network.
  GEMFILE = <<~RUBY.freeze
    source "https://rubygems.org"
    gem "honker", path: #{PACKAGE.inspect}
    gem "activejob"
    gem "activerecord"
    gem "railties"
    gem "sqlite3"
  RUBY

  def setup
    super
    FileUtils.mkdir_p("#{@dir}/config")
    File.write("#{@dir}/config/environment.rb", ENVIRONMENT)
    File.write("#{@dir}/Gemfile", GEMFILE)
    @env = { "BUNDLE_GEMFILE" => "#{@dir}/Gemfile", "BUNDLE_PATH" => nil, "BUNDLE_FROZEN" => nil }
  end

  def rails(program)
    out, err, status = Open3.capture3(RbConfig.ruby, "-I", File.join(PACKAGE, "lib"), "-r", "./config/environment.rb", "-e", program, chdir: @dir)
    assert status.success?, err
    out
  end

  # Runs the program until the block is true; what it printed.
  def worker(*arguments)
    command = ["bundle", "exec", "honker-worker", *arguments]
    command = [RbConfig.ruby, "-I", "#{PACKAGE}/lib", "#{PACKAGE}/exe/honker-worker", *arguments] unless bundler?
    out = File.join(@dir, "out.txt")
    pid = spawn(@env, *command, chdir: @dir, %i[out err] => out)
    begin
      eventually { yield || Process.waitpid(pid, Process::WNOHANG) }
    rescue Minitest::Assertion
      Process.kill("KILL", pid)
      flunk [said, File.read(out), File.read(File.join(@dir, "rails.log"))].join("\n")
    end
    Process.kill("TERM", pid)
    assert Process.wait2(pid)[1].success?, File.read(out)
    "#{File.read(out)}#{File.read(File.join(@dir, "rails.log"))}"
  rescue Errno::ESRCH, Errno::ECHILD
    flunk File.read(out)
  end

  # Some have the gems, and not all that Bundler wants of them.
  def bundler?
    return @bundler unless @bundler.nil?

    out, status = Open3.capture2e(@env, "bundle", "install", "--local", chdir: @dir)
    warn "SKIPPED bundle exec: #{out.lines.last}" unless status.success?
    @bundler = status.success?
  end

  def said
    File.exist?("#{@dir}/said.txt") ? File.readlines("#{@dir}/said.txt", chomp: true) : []
  end

  def test_jobs_are_enqueued_in_the_models_transaction_and_performed_by_the_program
    rails(<<~'RUBY')
      ActiveRecord::Base.connection.create_table(:orders)
      Order.transaction { Order.create! && Greet.perform_later("nobody") && raise(ActiveRecord::Rollback) }
      Order.transaction { Order.create! && Greet.perform_later("alice", order: { id: 5 }, at: Time.utc(2020)) }
      Greet.set(wait: 1.second).perform_later("later")
      Greet.set(wait: 1.hour).perform_later("much later")
      jobs = [Greet.new("bulk 1"), Greet.new("bulk 2")]
      many = ->(list) { ActiveJob.respond_to?(:perform_all_later) ? ActiveJob.perform_all_later(list) : ActiveJob::Base.queue_adapter.enqueue_all(list) }
      many.call(jobs)
      raise unless jobs.all?(&:provider_job_id)
      raise if jobs.first.respond_to?(:successfully_enqueued?) && !jobs.all?(&:successfully_enqueued?)
      Order.transaction do
        many.call([Greet.new("nobody")])
        raise ActiveRecord::Rollback
      end
      Order.transaction do
        once = Array.new(2) { Plain.set(unique_key: "k", max_run_s: 5).try_enqueue(to: "nobody").status }
        raise once.inspect if once != %i[enqueued exists]
        raise ActiveRecord::Rollback
      end
      Flaky.perform_later
      Broken.set(priority: 5).perform_later
      Plain.enqueue(to: "plainly")
    RUBY
    log = worker("-q", "greetings,3", "-q", "default", "-c", "3") { said.size >= 8 && File.exist?("#{@dir}/plain.txt") && db.queue("default").stats[:dead] == 1 }
    assert_equal ["gave up: flaky", "hello alice52020 1 Integer", "hello bulk 1 1 Integer", "hello bulk 2 1 Integer", "hello later 1 Integer",
                  "try 1", "try 2", "try 3"], said.sort
    assert_equal "plainly", File.read("#{@dir}/plain.txt")
    assert_equal [[1, 0, 1], [0, 0, 0]], [db.queue("greetings").stats.values_at(:delayed, :pending, :claimed).then { |d, p, c| [d, p, d + c] },
                                          db.queue("default").stats.values_at(:delayed, :pending, :claimed)]
    dead = db.queue("default").dead.first
    assert_equal ["broken", -5, 1], dead.values_at(:last_error, :priority, :attempts)
    assert_match(/job \d+ of default failed, attempt 1 of 10, it is dead now: broken \(RuntimeError\)/, log)
    assert_match(/\Ahonker-worker #{Honker::VERSION}: .*app.db, greetings,3 default,1, 3 at a time$/, log)
    refute_match(/pool/, log)
    assert_match(/ended: \d+ done, 0 snoozed, 0 retried, 1 dead, 0 released, 0 running/, log)
  end

  # With Honker.database it would wait for the transaction that it is called in.
  def test_job_classes_of_honkers_are_enqueued_in_the_models_transaction_too
    File.write("#{@dir}/config/environment.rb", ENVIRONMENT.sub("config.active_job", "config.honker.setup = false\n  config.active_job"))
    rails(<<~'RUBY')
      ActiveRecord::Base.connection.create_table(:orders)
      Order.transaction { Plain.enqueue(to: "nobody") && Order.create! && Plain.enqueue(to: "nobody") && raise(ActiveRecord::Rollback) }
      Order.transaction { Order.create! && Plain.enqueue(to: "alice") }
      Order.transaction { Order.create! && Plain.set(priority: 1).enqueue(to: "bob") }
      Plain.set(db: Honker.database).enqueue(to: "carol")
    RUBY
    assert_equal(%w[alice bob carol], db.query("SELECT payload FROM _honker_live ORDER BY id").map { |(text)| JSON.parse(text).dig("__honker_task__", "kwargs", "to") })
  end

  # For the continuations of ActiveJob 8.1.
  def test_the_adapter_knows_that_the_worker_stops
    rails("Long.perform_later; raise if ActiveJob::Base.queue_adapter.stopping?")
    log = worker("-c", "6") { said.any? }
    assert_match(/ActiveRecord's pool has 5 connections only$/, log)
    assert_equal ["adapter stops: false", "left off"], said
  end

  def test_an_enqueue_reads_nothing_in_the_models_transaction
    File.write("#{@dir}/config/environment.rb", ENVIRONMENT.sub("config.active_job", "config.honker.setup = false\n  config.active_job"))
    out = rails(<<~'RUBY')
      said = []
      ActiveSupport::Notifications.subscribe("sql.active_record") { |*, event| said << event[:sql].split.first.upcase }
      Order.transaction { Greet.perform_later("alice") } # makes the tables
      said.clear
      Order.transaction { Greet.perform_later("bob") && Greet.set(wait: 1.hour).perform_later("carol") }
      puts said.join(" ")
    RUBY
    assert_equal "BEGIN INSERT INSERT COMMIT\n", out
  end

  HELD_BACK = <<~'RUBY'
    Honker.around_enqueue { |job, enqueue| enqueue.call unless job.payload.to_s.include?("nobody") }
    held, let = Greet.new("nobody"), Greet.new("alice")
    p ActiveJob::Base.queue_adapter.enqueue_all([held, let])
    p [held, let].map { |job| [job.provider_job_id.class, job.respond_to?(:successfully_enqueued?) && job.successfully_enqueued?] }
    later = Greet.perform_later("nobody")
    p later && later.provider_job_id
    Greet.new("nobody").tap(&:enqueue).then { |job| p job.respond_to?(:enqueue_error) && job.enqueue_error.class }
    p Honker.database.queue("greetings").stats[:pending]
  RUBY

  def test_jobs_that_are_held_back_by_a_hook
    ["", "config.honker.database = 'jobs.db'\n  "].each do |setting|
      File.write("#{@dir}/config/environment.rb", ENVIRONMENT.sub("config.active_job", "#{setting}config.active_job"))
      count, jobs, later, error, pending = rails(HELD_BACK).lines(chomp: true)
      assert_equal %w[1 1], [count, pending]
      bulk = Gem::Specification.find_by_name("activejob").version >= Gem::Version.new("7.1")
      assert_equal bulk ? "[[NilClass, false], [Integer, true]]" : "[[NilClass, false], [Integer, false]]", jobs
      assert_equal bulk ? %w[false ActiveJob::EnqueueError] : %w[nil false], [later, error]
    end
  end

  UNIQUE = <<~'RUBY'
    class Once < Flaky
      def honker_options = { unique_key: "once #{arguments.first}", max_run_s: 600 }
      def perform(*) = super()
    end
  RUBY

  # Also its retries, which are enqueued while it runs.
  def test_options_of_honker_for_a_job_of_activejob
    File.write("#{@dir}/config/environment.rb", ENVIRONMENT + UNIQUE)
    [nil, "jobs.db"].each_with_index do |file, n|
      File.write("#{@dir}/config/environment.rb", ENVIRONMENT.sub("config.active_job", "config.honker.database = '#{file}'\n  config.active_job") + UNIQUE) if file
      out = rails(<<~RUBY)
        first, second, third = Array.new(3) { |i| Once.new(#{n}, i).tap(&:enqueue) }
        p [first, second, third].map { |job| job.provider_job_id.class }
        p second.respond_to?(:enqueue_error) && second.enqueue_error&.message
        p ActiveJob::Base.queue_adapter.enqueue_all([Once.new(#{n}), Once.new("other")])
        p Honker.database.query("SELECT unique_key, unique_until, max_run_s FROM _honker_job_options ORDER BY job_id")
      RUBY
      told = Gem::Specification.find_by_name("activejob").version >= Gem::Version.new("7") ? "another job has its unique key" : false
      assert_equal ["[Integer, NilClass, NilClass]", told.inspect, "1", [["once #{n}", "claimed", 600], ["once other", "claimed", 600]].inspect], out.lines(chomp: true)
    end
    worker("-q", "default") { said.size >= 8 }
    assert_equal (["gave up: flaky", "try 1", "try 2", "try 3"] * 2).sort, said.sort
  end

  RELOADED = "config.cache_classes = false\n  config.file_watcher = ActiveSupport::FileUpdateChecker\n  config.active_job"

  # As in development: nothing is loaded before it is needed, and anew when it has changed.
  def test_classes_that_are_loaded_when_they_are_needed_and_reloaded
    File.write("#{@dir}/config/environment.rb", <<~'RUBY')
      require "./config/application"
      App.initialize!
      Rails.error.subscribe(Class.new { def report(error, **how) = File.write("said.txt", "#{error.message} #{how[:source]}\n", mode: "a") }.new) if Rails.respond_to?(:error)
    RUBY
    application = ENVIRONMENT.lines.take_while { |line| !line.start_with?("App.initialize") }.join
    File.write("#{@dir}/config/application.rb", application.sub("config.active_job", RELOADED))
    FileUtils.mkdir_p("#{@dir}/app/jobs")
    File.write("#{@dir}/app/jobs/lazy.rb", "class Lazy < ActiveJob::Base\n  def perform(name) = File.write('lazy.txt', name)\nend\n")
    plain = <<~'RUBY'
      class Import
        include Honker::Job
        queue "imports", name: nil, max_attempts: 1
        def perform(step:)
          raise Honker::Snooze.new(delay_s: 0) if step == 1 && !File.exist?("snoozed.txt") && File.write("snoozed.txt", "")
          raise "imported" if step == 2
          File.write("import.txt", "VERSION #{step}")
        end
      end
    RUBY
    File.write("#{@dir}/app/jobs/import.rb", plain.sub("VERSION", "first"))
    rails("Lazy.perform_later('lazily')\nImport.enqueue(step: 1)")
    File.write("#{@dir}/config/load.rb", "require './config/environment'\nImport.name")
    worker("-q", "default", "-q", "imports", "-r", "./config/load.rb") do
      next false unless File.exist?("#{@dir}/lazy.txt") && File.exist?("#{@dir}/import.txt")

      @changed ||= change("#{@dir}/app/jobs/import.rb", plain.sub("VERSION", "second"))
      File.read("#{@dir}/import.txt") == "second 3"
    end
    assert_equal "lazily", File.read("#{@dir}/lazy.txt")
    reports = Gem::Specification.find_by_name("activesupport").version >= Gem::Version.new("7.1")
    assert_equal reports ? ["imported job.honker"] : [], said
  end

  def change(path, text)
    assert_equal "first 1", File.read("#{@dir}/import.txt")
    File.write(path, text)
    db.queue("imports").enqueue_many([{ step: 2 }, { step: 3 }])
  end

  def test_a_file_of_its_own_and_the_scheduler
    File.write("#{@dir}/config/environment.rb", ENVIRONMENT.sub("config.active_job", "config.honker.database = 'jobs.db'\n  config.active_job"))
    rails(<<~'RUBY')
      ActiveRecord::Base.connection.create_table(:orders)
      Order.transaction { Greet.perform_later("elsewhere") && raise(ActiveRecord::Rollback) }
      payload = { class: "Plain", args: [], kwargs: { to: "from a schedule" } }
      Honker.database.scheduler.add(name: "s", queue: "greetings", schedule: "@every 1s", payload: payload)
    RUBY
    log = worker("-q", "greetings", "--scheduler") do
      next false unless said.any? && File.exist?("#{@dir}/plain.txt")

      # What replaces the file has schedules, too.
      @replaced ||= replace("jobs.db", "from another file")
      File.read("#{@dir}/plain.txt") == "from another file"
    end
    assert_equal ["hello elsewhere 1 Integer"], said
    assert_match(/opens the file anew: .*is another file now/, log)
  end

  def replace(name, text)
    Honker::Database.open("#{@dir}/new.db") do |db|
      db.scheduler.add(name: "s", queue: "greetings", schedule: "@every 1s", payload: { class: "Plain", args: [], kwargs: { to: text } })
    end
    put_in_place("#{@dir}/new.db", "#{@dir}/#{name}")
  end

  def test_the_logger_is_that_of_rails_unless_the_application_says_otherwise
    FileUtils.mkdir_p("#{@dir}/config/initializers")
    assert_equal "true\n", rails("puts Honker.logger.equal?(Rails.logger)")
    File.write("#{@dir}/config/initializers/honker.rb", "MINE = Honker.logger = Logger.new(nil)")
    assert_equal "true\n", rails("puts Honker.logger.equal?(MINE)")
  end

  def test_bad_arguments
    db.close
    { %w[--nonsense] => /invalid option: --nonsense/, %w[extra] => /unknown arguments: extra/, %w[-c 0 -d x.db] => /concurrency has to be positive/,
      %w[-c two] => /invalid argument: -c two/, %w[-q a,b] => /invalid argument: -q b is no weight/, %w[-q] => /missing argument: -q/, %w[--max-run 0 -d app.db] => /max_run_s must be at least 1/ }.each do |arguments, message|
      out, status = Open3.capture2e(RbConfig.ruby, "-I", "#{PACKAGE}/lib", "#{PACKAGE}/exe/honker-worker", *arguments, chdir: @dir)
      assert_equal 1, status.exitstatus
      assert_match message, out.lines.last
      refute_match(/command\.rb/, out)
    end
    out, = Open3.capture2e(RbConfig.ruby, "-I", "#{PACKAGE}/lib", "#{PACKAGE}/exe/honker-worker", chdir: Dir.tmpdir)
    assert_match(/say which database/, out)
    out, status = Open3.capture2e(RbConfig.ruby, "-I", "#{PACKAGE}/lib", "#{PACKAGE}/exe/honker-worker", "--version")
    assert status.success?
    assert_equal "honker #{Honker::VERSION}\n", out
  end
end
