# frozen_string_literal: true

require_relative "helper"
require "sqlite3"

# A caller's own connections, through the loadable extension.
class TestExtension < HonkerTest
  def test_the_resolver
    resolver = Honker::ExtensionResolver.new(env: { "HONKER_EXTENSION_PATH" => __FILE__ }, bundled: "/nowhere/ext.so")
    assert_equal "anything, unchecked", resolver.resolve("anything, unchecked")
    assert_equal __FILE__, resolver.resolve(nil)
    error = assert_raises(Honker::Error) { Honker::ExtensionResolver.new(env: { "HONKER_EXTENSION_PATH" => "/no" }).resolve(nil) }
    assert_includes error.message, "HONKER_EXTENSION_PATH does not exist"
    assert_equal __FILE__, Honker::ExtensionResolver.new(env: { "HONKER_EXTENSION_PATH" => "" }, bundled: __FILE__).resolve(nil)
    error = assert_raises(Honker::LibraryError) { Honker::ExtensionResolver.new(env: {}, bundled: "/nowhere/ext.so").resolve(nil) }
    assert_match(%r{not found at /nowhere/ext.so; set HONKER_EXTENSION_PATH or pass extension_path:}, error.message)
    assert_equal EXTENSION, Honker.extension_path
    assert_equal "other", Honker.extension_path("other")
  end

  def test_a_connection_of_the_sqlite3_gem
    conn = SQLite3::Database.new(@path)
    assert_same conn, Honker.setup(conn)
    conn.execute("SELECT honker_enqueue('q', '{\"a\":1}', NULL, NULL, 0, 3, NULL)")
    assert_equal 1, db.queue("q").claim_one("w").payload[:a]
    error = assert_raises(SQLite3::Exception) { conn.execute("SELECT load_extension(?)", [EXTENSION]) }
    assert_match(/not authorized/, error.message)
  ensure
    conn&.close
  end

  def test_loading_is_disabled_again_also_when_it_fails
    conn = SQLite3::Database.new(@path)
    assert_raises(SQLite3::Exception, RuntimeError) { Honker.load_extension(conn, extension_path: "/nowhere") }
    error = assert_raises(SQLite3::Exception) { conn.execute("SELECT load_extension(?)", [EXTENSION]) }
    assert_match(/not authorized/, error.message)
    Honker.setup(conn, bootstrap: false)
    assert_equal 0, conn.get_first_value("SELECT count(*) FROM sqlite_master WHERE name = '_honker_live'")
    Honker.bootstrap(conn)
    assert_equal 1, conn.get_first_value("SELECT count(*) FROM sqlite_master WHERE name = '_honker_live'")
  ensure
    conn&.close
  end

  def test_sequel
    require "sequel"
    sequel = Sequel.connect("sqlite://#{@path}", after_connect: Honker.sequel_after_connect)
    sequel.transaction { sequel.get(Sequel.lit("honker_enqueue('q', '5', NULL, NULL, 0, 3, NULL)")) }
    assert_equal 5, db.queue("q").claim_one("w").payload
  ensure
    sequel&.disconnect
  end

  RAILS = <<~'RUBY'
    require "rails"
    require "active_record/railtie"
    require "honker"
    require "stringio"
    LOG = StringIO.new
    class App < Rails::Application
      config.eager_load = false
      config.logger = Logger.new(LOG)
      config.active_support.deprecation = :silence
      config.root = Dir.pwd
      config.secret_key_base = "x"
    end
    ENV["DATABASE_URL"] ||= "sqlite3:app.db"
    App.initialize!
    ENQUEUE = "SELECT honker_enqueue('q', '7', NULL, NULL, 0, 3, NULL)"
    def connection = ActiveRecord::Base.connection
    def tables? = connection.tables.grep(/honker/).any?
  RUBY

  # What a program says that begins with a Rails application.
  def rails(program, initializer = "", **env)
    FileUtils.mkdir_p("#{@dir}/config/initializers")
    File.write("#{@dir}/config/initializers/honker.rb", initializer)
    out, err, status = Open3.capture3(env.transform_keys(&:to_s), RbConfig.ruby, "-I", File.join(PACKAGE, "lib"), "-e",
                                      RAILS + program, chdir: @dir)
    assert status.success?, err.lines.first(4).join
    out
  end

  def test_the_railtie
    assert_equal "true\n1\n", rails("puts tables?, connection.select_value(ENQUEUE)")
    assert_equal 7, db.queue("q").claim_one("w").payload
  end

  def test_the_railtie_connects_to_nothing_by_itself
    rails("")
    refute_path_exists @path
    assert_equal "up\n", rails("puts 'up'", DATABASE_URL: "postgresql://nowhere.invalid/app")
  end

  def test_the_railtie_can_be_switched_off_where_applications_configure
    off = "Rails.application.config.honker.setup = false"
    assert_equal "false\nfalse\n", rails("puts tables?, (connection.select_value(ENQUEUE) rescue false)", off)
  end

  def test_a_missing_extension_is_said_once_and_connections_go_on
    out = rails(<<~'RUBY', HONKER_EXTENSION_PATH: "/nowhere/ext.so")
      3.times { puts connection.select_value("SELECT 1") && ActiveRecord::Base.connection_pool.disconnect! }
      puts LOG.string.scan("HONKER_EXTENSION_PATH does not exist").size
    RUBY
    assert_equal "1", out.lines.last.chomp
  end

  def test_the_schema_dump_leaves_the_tables_out_and_loading_it_leaves_jobs_in_place
    out = rails(<<~'RUBY')
      require "stringio"
      connection.select_value(ENQUEUE)
      connection.create_table(:orders, force: true)
      dump = StringIO.new
      pool = ActiveRecord.gem_version < Gem::Version.new("7.2") ? connection : ActiveRecord::Base.connection_pool
      ActiveRecord::SchemaDumper.dump(pool, dump)
      puts dump.string.include?("orders"), dump.string.include?("honker")
      ActiveRecord::Schema.verbose = false
      eval(dump.string)
      connection.add_column(:orders, :total, :integer)
      puts connection.tables.include?("orders")
    RUBY
    assert_equal "true\nfalse\ntrue\n", out
    assert_equal 7, db.queue("q").claim_one("w").payload
  end

  def test_no_railtie_without_rails
    refute defined?(Honker::Railtie)
    assert_equal "nil\n", ruby(%(require "honker"; p defined?(Honker::Railtie)))
  end
end
