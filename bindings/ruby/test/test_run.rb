# frozen_string_literal: true

require_relative "helper"
require "logger"
require "stringio"

# What Worker#run makes of trouble: errors that pass, threads that cannot be had, settlements that cannot be, a file that is
# replaced, signals.
class TestRun < HonkerTest
  def run
    Timeout.timeout(120) { super }
  end

  def setup
    super
    @out = StringIO.new
    @log = Logger.new(@out)
    @log.formatter = ->(level, _, _, text) { "#{level} #{text}\n" }
  end

  def teardown
    @stop = true
    @runs&.each { |thread| ended?(thread) || thread.kill }
    super
  end

  def lines(level)
    @out.string.lines.grep(/\A#{level} /)
  end

  def in_a_thread(&block)
    (@runs ||= []) << (thread = Thread.new(&block))
    thread
  end

  def run_worker(worker, **options, &block)
    in_a_thread { worker.run(stop: -> { @stop }, **options, &block) }
  end

  def left(queue)
    queue.stats.values_at(:pending, :delayed, :claimed, :dead)
  end

  def test_a_full_disk_is_said_once_and_waited_out
    disk = File.join(@dir, "disk")
    Dir.mkdir(disk)
    skip_loudly "no small file system can be mounted" unless system("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk, err: IO::NULL)
    begin
      @path = File.join(disk, "app.db")
      q = open_database.queue("q")
      q.enqueue("before")
      done = Thread::Queue.new
      thread = run_worker(q.worker("w", logger: @log)) { |job| done << job.payload and fill(disk) }
      assert_equal "before", done.pop
      eventually { lines("WARN").any? }
      sleep 1
      assert_equal ["WARN honker: w waits: HONKER_FULL"], lines("WARN").map { |line| line.sub(/ and tries again: .*Honker::FullError\)\n/, ": HONKER_FULL") }
      assert thread.alive?
      File.delete(File.join(disk, "ballast"))
      eventually { left(q).sum.zero? }
      q.enqueue("after")
      assert_equal "after", done.pop
      assert_includes @out.string, "INFO honker: w works again\n"
    ensure
      @stop = true
      ended?(thread) if thread
      @databases.each(&:close)
      system("umount", "-l", disk)
    end
  end

  def fill(disk)
    return if File.exist?(ballast = File.join(disk, "ballast"))

    File.open(ballast, "w") { |file| loop { file.syswrite("x" * 512) } }
  rescue Errno::ENOSPC
    nil
  end

  # As a user who may have one or two threads beside those that Ruby has by itself. Nobody else is that user: the system counts the
  # threads of all processes.
  def test_jobs_for_which_there_is_no_thread_are_given_back_and_done_later
    skip_loudly "only root can become somebody else" unless Process.uid.zero?
    skip_loudly "Ruby 3.3 itself stops for ever when a thread cannot be made" if RUBY_VERSION.start_with?("3.3.")
    FileUtils.chmod(0o777, @dir)
    out = ruby(<<~'RUBY')
      require "honker"
      require "logger"
      Honker::Database.open("load.db", &:status) # what the other user may not read
      Thread.new {}.join
      threads = Dir["/proc/self/task/*"].size + 1
      Process.setrlimit(Process::RLIMIT_NPROC, threads, threads)
      Process::Sys.setuid(60_000 + (Process.pid % 5_000))
      db = Honker::Database.new("app.db")
      q = db.queue("q")
      q.enqueue_many((1..6).to_a)
      log = Logger.new($stdout, formatter: ->(level, _, _, text) { "#{level} #{text}\n" })
      done = []
      q.worker("w", concurrency: 4, logger: log).run(stop: -> { done.size == 6 }) { |job| sleep 0.05 and done << [job.payload, job.attempts] }
      p done.sort, q.stats.values_at(:pending, :claimed, :dead)
    RUBY
    assert_equal [[[1, 1], [2, 1], [3, 1], [4, 1], [5, 1], [6, 1]], [0, 0, 0]].map(&:inspect), out.lines.map(&:chomp).last(2)
    assert_match(/WARN honker: w waits and tries again: can't create Thread/, out)
    assert_match(/INFO honker: w ended: 6 done, 0 snoozed, 0 retried, 0 dead, \d+ released, 0 running/, out)
  end

  class Never < Honker::Retry
    def delay_s
      2**70
    end
  end

  DELAYS = { "2**70" => -> { raise Honker::Snooze.new(delay_s: 2**70) }, "2**63-2" => -> { raise Honker::Retry.new("x", delay_s: (2**63) - 2) },
             "2**62" => -> { raise Honker::Snooze.new(delay_s: 2**62) }, "NaN" => -> { raise Honker::Snooze.new(delay_s: Float::NAN) },
             "Infinity" => -> { raise Honker::Retry.new("x", delay_s: Float::INFINITY) }, "a text" => -> { raise Honker::Retry.new(delay_s: "5") },
             "overridden" => -> { raise Never, "x" } }.freeze

  def test_a_delay_that_is_none_is_an_error_of_its_job_which_is_retried
    q = db.queue("q", max_attempts: 1)
    q.enqueue_many([*DELAYS.keys, "ok"])
    run_worker(q.worker("w", logger: @log)) { |job| DELAYS[job.payload]&.call }
    eventually { left(q) == [0, 0, 0, DELAYS.size] }
    q.dead.each { |job| assert_match(/delay_s|FloatDomain|NaN|Infinity/, job[:last_error], job[:payload]) }
    assert_raises(RangeError) { q.worker("w2").run(retry_delay_s: 2**70) { flunk } }
    assert_raises(RangeError) { q.worker("w3").run(retry_delay_s: Float::NAN) { flunk } }
  end

  def test_the_last_settlements_are_tried_again_while_the_file_is_locked
    none = open_database(busy_timeout_ms: 0)
    q = none.queue("q")
    q.enqueue(1)
    begun = Thread::Queue.new
    thread = in_a_thread { q.worker("w").run { |job| begun << 1 and sleep 0.01 until job.cancelled? } }
    begun.pop
    locked = Thread::Queue.new
    tries = Thread::Queue.new
    # The second try is made when the first one has met the lock.
    holder = in_a_thread { db.transaction { locked.push(1) && 2.times { tries.pop } } }
    locked.pop
    trace = TracePoint.new(:c_call) { |point| tries << 1 if point.method_id == :honker_worker_settle_next }
    trace.enable # for all threads: with a block it would be for this one, in newer Rubies
    assert thread.kill.join(20)
    holder.join
    assert_equal [1, 0, 0, 0], left(q)
    assert_equal 0, q.get_job(1)[:attempts]
  ensure
    trace&.disable
  end

  def test_the_last_line_tells_snoozed_retried_and_dead_apart
    q = db.queue("q", max_attempts: 2)
    q.enqueue_many(%w[ok ok snooze retry discard])
    q.enqueue("final", max_attempts: 1)
    thread = run_worker(q.worker("w", logger: @log)) do |job|
      raise Honker::Snooze.new(delay_s: 1000) if job.payload == "snooze"
      raise Honker::Discard if job.payload == "discard"
      raise "no" unless job.payload == "ok"
    end
    eventually { left(q) == [0, 2, 0, 2] }
    @stop = true
    assert ended?(thread)
    assert_includes @out.string, "INFO honker: w ended: 2 done, 1 snoozed, 1 retried, 2 dead, 0 released, 0 running\n"
  end

  def test_the_log_of_a_failure_has_no_frames_of_this_package_and_the_error_has_them_all
    own = File.join(PACKAGE, "lib/")
    q = db.queue("q", max_attempts: 1)
    q.enqueue_many(%w[mine sql])
    traces = Thread::Queue.new
    hook = Honker.on_error { |error, _| traces << error.backtrace }
    run_worker(q.worker("w", logger: @log)) { |job| job.payload == "mine" ? raise("no") : db.query("SELECT nothing") }
    q2 = db.queue("q2", max_attempts: 1)
    q2.enqueue("no task")
    run_worker(q2.worker("w2", logger: @log))
    eventually { traces.size == 3 && lines("ERROR").size == 3 }
    assert_equal(2, @out.string.lines.count { |line| line.start_with?(__FILE__) })
    refute_includes @out.string, own
    3.times { assert(traces.pop.any? { |line| line.start_with?(own) }) }
  ensure
    Honker::Hooks.remove(hook)
  end

  def test_schedules_beside_a_worker_are_added_and_stop_with_it
    db.scheduler.add(name: "there", queue: "q", schedule: "@every 1s", payload: "there")
    done = Thread::Queue.new
    pulse = { name: "pulse", queue: "q", schedule: "@every 1s", payload: "beat", max_attempts: 7 }
    thread = in_a_thread do
      Honker.work(@path, "q", "w", logger: @log, stop: -> { @stop }, schedules: [pulse]) { |job| done << [job.payload, job.max_attempts] }
    end
    seen = []
    eventually do
      seen << done.pop until done.empty?
      seen.uniq.size == 2
    end
    assert_equal [["beat", 7], ["there", 3]], seen.uniq.sort
    @stop = true
    assert ended?(thread)
    refute db.query_row("SELECT 1 FROM _honker_locks"), "it leads no more"
    error = assert_raises(Honker::Error) { db.worker("q").run(stop: -> { true }, schedules: [pulse.merge(schedule: "every day")]) { nil } }
    assert_match(/cron|schedule/, error.message)
    assert_raises(ArgumentError) { db.worker("q").run(schedules: [{ nme: "x" }]) { nil } }
  end

  # The file's owner may have triggers of his own.
  def test_a_settlement_that_the_file_refuses_neither_ends_the_worker_nor_stalls_it
    q = db.queue("q", max_attempts: 2)
    db.transaction do |tx|
      tx.execute("CREATE TRIGGER keep BEFORE DELETE ON _honker_live WHEN old.payload = '\"kept\"' AND old.attempts = 1 " \
                 "BEGIN SELECT RAISE(ABORT, 'it is not to go'); END")
      tx.execute("CREATE TRIGGER stay BEFORE UPDATE OF state ON _honker_live WHEN old.payload = '\"fails\"' AND new.state = 'pending' " \
                 "BEGIN SELECT RAISE(ABORT, 'it is not to wait'); END")
    end
    q.enqueue_many(["kept", "fails", *1..20])
    seen = Thread::Queue.new
    thread = run_worker(q.worker("w", concurrency: 4, logger: @log)) do |job|
      seen << [job.payload, job.attempts]
      raise "no" if job.payload == "fails"
    end
    eventually { lines("ERROR").grep(/could not be settled/).size == 2 && left(q) == [0, 0, 2, 0] } # claimed still
    assert_operator seen.size, :>=, 22
    q.enqueue("more")
    eventually { seen.size >= 23 }
    assert_match(/ERROR honker: job \d+ of q could not be settled, its claim lapses, and it will be tried again: .*it is not to go/, @out.string)
    assert_match(/it is not to wait/, @out.string)
    db.transaction { |tx| tx.execute("UPDATE _honker_live SET claim_expires_at = claim_expires_at - 1000 WHERE state = 'processing'") } # both lapse
    eventually { q.stats[:dead] == 1 && q.stats[:claimed].zero? }
    assert thread.alive?
    all = Array.new(seen.size) { seen.pop }
    assert_equal [["fails", 1], ["fails", 2], ["kept", 1], ["kept", 2]], all.select { |payload, _| %w[kept fails].include?(payload) }.sort
  end

  SIGNALLED = <<~'RUBY'
    require "honker"
    require "logger"
    $stdout.sync = true
    db = Honker::Database.new("app.db")
    Honker.logger = Logger.new($stdout, formatter: ->(level, _, _, text) { "#{level} #{text}\n" })
    trap("TERM") { puts "the program's own trap" }
    trap("INT", "DEFAULT") # which is ignored where the tests run in the background of a shell
    db.queue("q").worker("w", concurrency: 2).run(**OPTIONS) do |job|
      puts "begun"
      case job.payload
      when "slow" # its place is not free before the signal is heard
        sleep 0.01 until job.stopping?
        sleep 0.3
      when "looks" then sleep 0.01 until job.cancelled?
      when "leaves off" then sleep 0.01 until job.stopping?
      else sleep
      end
      puts "ended #{job.cancel_reason.inspect}"
    end
    puts "after"
    Process.kill("TERM", Process.pid)
    sleep 0.1
  RUBY

  # Runs it with these jobs, sends the signals when they have begun, and if `answered` each when it has printed a line about the
  # one before; what it printed, and its status.
  def signalled(jobs, signals, options = "{}", answered: false)
    q = db.queue("q")
    q.enqueue_many(jobs)
    IO.popen([RbConfig.ruby, "-I", File.join(PACKAGE, "lib"), "-e", "OPTIONS = #{options}\n#{SIGNALLED}", { chdir: @dir, err: %i[child out] }]) do |io|
      out = Array.new(jobs.size) { io.gets }
      q.enqueue("later") # a stopping worker does not take it
      signals.each_with_index do |signal, i|
        out << (answered ? io.gets : sleep(0.2) && "") if i.positive?
        Process.kill(signal, io.pid)
      end
      out << io.read
      [out.join, Process.wait2(io.pid)[1]]
    end
  end

  def test_a_signal_lets_what_runs_finish
    %w[TERM INT].each do |signal|
      out, status = signalled(%w[slow slow], [signal])
      assert status.success?, out
      assert_includes out, "INFO honker: w ended: 2 done, 0 snoozed, 0 retried, 0 dead, 0 released, 0 running\nafter\nthe program's own trap\n"
      assert_equal signal == "TERM" ? 2 : 1, out.scan("the program's own trap").size
      assert_equal %w[later], db.queue("q").claim_batch("t", 9).map(&:payload).tap { |_| db.queue("q").ack_batch((1..9).to_a, "t") }
    end
  end

  def test_a_handler_may_leave_off_as_soon_as_its_worker_is_told_to_stop
    # As many as it may run, so that no place is free for the job that comes before the signal.
    out, status = signalled(["leaves off", "leaves off"], %w[TERM], "{ stop_timeout_s: nil }")
    assert status.success?, out
    assert_equal 2, out.scan("ended nil\n").size, out
    assert_includes out, "2 done, 0 snoozed, 0 retried, 0 dead, 0 released, 0 running\n"
  end

  def test_after_the_time_to_stop_handlers_are_told_and_those_that_do_not_listen_fail_the_process
    out, status = signalled(%w[looks deaf], %w[TERM], "{ stop_timeout_s: 0.2 }")
    refute status.success?
    assert_includes out, "ended :stop\n"
    assert_includes out, "INFO honker: w ended: 1 done, 0 snoozed, 0 retried, 0 dead, 1 released, 1 running\n"
    assert_match(/w: 1 handlers have not returned \(Honker::UnfinishedError\)/, out)
    assert_equal([["deaf", 0], ["later", 0]], db.query("SELECT json_extract(payload, '$'), attempts FROM _honker_live WHERE state = 'pending' ORDER BY id"))
  end

  def test_a_second_signal_gives_back_at_once
    before = now
    out, status = signalled(%w[deaf deaf], %w[INT TERM], "{ stop_timeout_s: 100 }")
    assert_operator now - before, :<, 60
    refute status.success?
    assert_includes out, "0 done, 0 snoozed, 0 retried, 0 dead, 2 released, 2 running\n"
    assert_equal [3, 0, 0, 0], left(db.queue("q"))
  end

  def test_signals_may_be_left_to_the_program
    out, status = signalled(%w[deaf], %w[TERM INT], "{ signals: false }", answered: true)
    assert_equal ["INT", true], [Signal.signame(status.termsig || 2), out.include?("the program's own trap")]
    refute_includes out, "after"
  end

  # What polls every 100 ms would be switched to thirty times.
  def test_a_worker_without_stop_polls_nothing_while_it_is_idle
    skip_loudly "there is no /proc" unless File.exist?("/proc/self/status")
    db.queue("q")
    program = 'require "honker"; puts $$; $stdout.flush; Honker.logger = nil; Honker.work("app.db", "q") { }'
    IO.popen([RbConfig.ruby, "-I", File.join(PACKAGE, "lib"), "-e", program, { chdir: @dir }]) do |io|
      pid = Integer(io.gets)
      switches = -> { Integer(File.read("/proc/#{pid}/status")[/^voluntary_ctxt_switches:\s+(\d+)/, 1]) }
      eventually do # it may still be starting
        before = switches.call
        sleep 3
        switches.call - before < 15
      end
    ensure
      Process.kill("TERM", pid)
    end
  end

  def test_it_may_be_started_before_there_is_a_file_or_a_folder_and_goes_on_with_a_file_that_replaces_it
    @path = File.join(@dir, "folder", "app.db")
    done = Thread::Queue.new
    hold = Thread::Queue.new
    reasons = Thread::Queue.new
    in_a_thread do
      Honker.work(@path, { "q" => 1 }, "w", concurrency: 2, logger: @log, stop: -> { @stop }) do |job|
        done << job.payload
        hold.pop if job.payload == "held"
        reasons << job.cancel_reason
      end
    end
    eventually { lines("WARN").any? }
    sleep 0.5
    refute_path_exists @path
    assert_equal 1, lines("WARN").size
    FileUtils.mkdir_p(File.dirname(@path))
    first = open_database
    first.queue("q").enqueue_many(%w[one held])
    assert_equal %w[held one], [done.pop, done.pop].sort
    assert_nil reasons.pop
    first.close
    replace
    assert_equal "two", done.pop
    assert_nil reasons.pop
    hold << 1
    assert_equal :replaced, reasons.pop
    eventually { left(open_database.queue("q")).sum.zero? }
    assert_match(/^WARN honker: w cancels the \d jobs that run and opens the file anew: /, @out.string)
  end

  def test_a_worker_of_a_database_goes_on_with_the_new_file_too_and_ends_when_it_is_closed
    q = db.queue("q", visibility_timeout_s: 77)
    worker = q.worker("w", logger: @log)
    done = Thread::Queue.new
    thread = in_a_thread { worker.run { |job| done << [job.payload, job.claim_expires_at - Time.now.to_i] } }
    q.enqueue("one")
    assert_equal "one", done.pop.first
    replace
    payload, timeout_s = done.pop
    assert_equal "two", payload
    assert_includes 70..77, timeout_s
    worker.close
    assert_instance_of Honker::ClosedError, error_of(thread)
  end

  private

  # Puts a file with a job in the place of the old one.
  def replace
    other = File.join(@dir, "other.db")
    Honker::Database.open(other) { |db| db.queue("q").enqueue("two") }
    put_in_place(other, @path)
  end
end
