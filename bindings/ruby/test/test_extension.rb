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
    class App < Rails::Application
      config.eager_load = false
      config.logger = Logger.new(nil)
      config.active_support.deprecation = :silence
      config.root = Dir.pwd
      config.secret_key_base = "x"
      config.honker.setup = false if ARGV.first == "off"
    end
    ENV["DATABASE_URL"] = "sqlite3:app.db"
    App.initialize!
    conn = ActiveRecord::Base.connection
    puts conn.tables.grep(/honker/).any?
    puts conn.select_value("SELECT honker_enqueue('q', '7', NULL, NULL, 0, 3, NULL)") unless ARGV.first == "off"
  RUBY

  def rails(*args)
    out, err, status = Open3.capture3(RbConfig.ruby, "-I", File.join(PACKAGE, "lib"), "-e", RAILS, *args, chdir: @dir)
    assert status.success?, err.lines.first(4).join
    out
  end

  def test_the_railtie
    assert_equal "true\n1\n", rails
    assert_equal 7, db.queue("q").claim_one("w").payload
  end

  def test_the_railtie_can_be_switched_off
    assert_equal "false\n", rails("off")
  end

  def test_no_railtie_without_rails
    refute defined?(Honker::Railtie)
    assert_equal "nil\n", ruby(%(require "honker"; p defined?(Honker::Railtie)))
  end
end
