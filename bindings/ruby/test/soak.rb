# frozen_string_literal: true

# A soak: workers with eight jobs at a time that are killed, stopped and started again, and whose handlers fail in every way. At
# the end no job is missing, and none was acknowledged twice.
#
#     HONKER_LIBRARY=... ruby -I lib test/soak.rb [seconds]

require "honker"
require "rbconfig"
require "tmpdir"

SECONDS = Float(ARGV[0] || 600)
WORKERS = 3
QUEUES = %w[a b].freeze

WORKER = <<~'RUBY'
  require "honker"
  Honker.logger = Logger.new(File.open("log.txt", "a"))
  Honker.work("app.db", { "a" => 3, "b" => 1 }, concurrency: 8, visibility_timeout_s: 5, max_run_s: 20, retry_base_s: 1, retry_max_s: 2,
              stop_timeout_s: 1) do |job|
    job.check!
    sleep rand * 0.05
    db = job.database
    case rand(100)
    when 0...10 then raise "at random"
    when 10...13 then raise Honker::Snooze.new(delay_s: 1)
    when 13...15 then Thread.exit
    when 15...16 then sleep(3) && raise("late")
    when 16...18 then raise Honker::Cancelled, "at random"
    when 18...60
      # What it does and its end are one: exactly once.
      db.transaction { |tx| (tx.execute("INSERT INTO done (id, n) VALUES (?, ?)", [job.id, job.payload]) if job.ack(tx: tx)) || tx.rollback! }
    else db.transaction { |tx| tx.execute("INSERT INTO tried (id, n) VALUES (?, ?)", [job.id, job.payload]) } # and at least once
    end
  end
RUBY

def start
  spawn(RbConfig.ruby, "-I", File.expand_path("../lib", __dir__), "-e", WORKER, %i[out err] => ["err.txt", "a"])
end

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

dir = Dir.mktmpdir("honker-soak")
Dir.chdir(dir) do
  db = Honker::Database.new("app.db")
  # No primary key: what is done twice is counted, not refused.
  db.transaction do |tx|
    tx.execute("CREATE TABLE done (id INTEGER, n INTEGER)")
    tx.execute("CREATE TABLE tried (id INTEGER, n INTEGER)")
  end
  workers = Array.new(WORKERS) { start }
  enqueued = kills = stops = 0
  till = now + SECONDS
  while now < till
    queue = db.queue(QUEUES.sample, max_attempts: 1000)
    queue.enqueue_many(Array.new(20) { enqueued += 1 }) if db.query_row("SELECT count(*) FROM _honker_live")[0] < 500
    sleep 0.05
    next unless rand < 0.03

    pid = workers.delete(workers.sample)
    signal = rand < 0.5 ? "KILL" : "TERM"
    signal == "KILL" ? kills += 1 : stops += 1
    Process.kill(signal, pid)
    Process.wait(pid)
    workers << start
  end
  till = now + 120
  sleep 0.2 until db.query_row("SELECT count(*) FROM _honker_live")[0].zero? || now > till
  workers.each { |one| Process.kill("TERM", one) && Process.wait(one) }
  left = db.query_row("SELECT count(*) FROM _honker_live")[0]
  dead = db.query_row("SELECT count(*) FROM _honker_dead")[0]
  missing = enqueued - db.query_row("SELECT count(DISTINCT n) FROM (SELECT n FROM done UNION ALL SELECT n FROM tried)")[0]
  twice = db.query_row("SELECT count(*) FROM (SELECT id FROM done GROUP BY id HAVING count(*) > 1)")[0]
  puts "#{enqueued} jobs, #{kills} kills, #{stops} stops: #{left} left, #{dead} dead, #{missing} missing, #{twice} done twice"
  puts File.read("err.txt").lines.grep_v(/\A\s*from |UnfinishedError|handlers have not returned/).first(5)
  db.close
  exit 1 unless [left, dead, missing, twice].all?(&:zero?)
end
FileUtils.remove_entry(dir)
