# frozen_string_literal: true

$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))

require "fileutils"
require "minitest/autorun"
require "open3"
require "rbconfig"
require "timeout"
require "tmpdir"
require "honker"

PACKAGE = File.expand_path("..", __dir__)
TREE = File.expand_path("../..", PACKAGE)
# Set by tests/run: the libraries that were built from this tree.
LIBRARY = ENV.fetch("HONKER_LIBRARY")
EXTENSION = ENV.fetch("HONKER_EXTENSION_PATH")

Honker.logger = nil
Thread.report_on_exception = false # the tests look at it

class HonkerTest < Minitest::Test
  def setup
    @dir = Dir.mktmpdir("honker-ruby")
    @path = File.join(@dir, "app.db")
  end

  def teardown
    @databases&.each(&:close)
    FileUtils.remove_entry(@dir)
  end

  def open_database(**options)
    database = Honker::Database.new(@path, **options)
    (@databases ||= []) << database
    database
  end

  def db
    @db ||= open_database
  end

  # Runs a program of its own with the package, in the test's directory; what it printed.
  def ruby(program, *args, env: {})
    out, status = Open3.capture2e(env, RbConfig.ruby, "-w", "-I", File.join(PACKAGE, "lib"), "-e", program, *args, chdir: @dir)
    assert status.success?, out
    out
  end

  # Puts another file in the place of one, which goes first: who opened it without its log would find it as it was before.
  def put_in_place(other, path)
    File.rename(path, "#{path}.old") if File.exist?(path)
    %w[-wal -shm].each { |suffix| FileUtils.rm_f("#{path}#{suffix}") }
    File.rename(other, path)
  end

  # The time is only for what never happens: a loaded machine may need most of it.
  def eventually(seconds = 60)
    deadline = now + seconds
    sleep 0.005 until yield || now > deadline
    assert yield, "it did not happen in #{seconds} s"
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  def seconds
    before = now
    yield
    now - before
  end

  def error_of(thread)
    thread.report_on_exception = false
    thread.value
    nil
  rescue StandardError => e
    e
  end

  # Also in a log of many tests.
  def skip_loudly(why)
    warn "SKIPPED ruby: #{name}: #{why}"
    skip why
  end

  # Whether it ends, in whichever way.
  def ended?(thread, seconds = 60)
    thread.join(seconds) ? true : false
  rescue Exception # rubocop:disable Lint/RescueException -- the test has looked at it
    true
  end

  # Waits until a thread sleeps in something.
  def asleep(thread)
    eventually { thread.status == "sleep" }
    sleep 0.02
    thread
  end
end
