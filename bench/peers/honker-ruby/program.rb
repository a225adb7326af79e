# frozen_string_literal: true

# honker for Ruby, with its worker.

require "honker"
require "json"

URL = ENV.fetch("PEER_URL")
DAY_S = 86_400

# What the driver asks, and the answers; see bench/peers/README.md.
class Producer
  def initialize(db)
    @db = db
    @queue = db.queue("bench")
  end

  def run
    answer({ ready: true })
    $stdin.each_line do |line|
      answer(act(JSON.parse(line)))
    rescue StandardError => e
      answer({ error: "#{e.class}: #{e.message}" })
    end
  end

  private

  def answer(value)
    puts JSON.generate(value)
    $stdout.flush
  end

  def act(request)
    kind, first, count = request.values_at("kind", "first", "count")
    batch = request.fetch("batch", 1)
    way = request.fetch("way", "plain")
    at = Process.clock_gettime(Process::CLOCK_REALTIME, :nanosecond)
    started = now
    done = 0
    while done < count && now - started < request.fetch("cap_s", 3600)
      jobs = Array.new([batch, count - done].min) { |i| [kind, first + done + i] }
      enqueue(way, jobs, request.fetch("commit", true))
      done += jobs.size
    end
    { at: at, count: done, seconds: now - started }
  end

  def enqueue(way, jobs, commit)
    case way
    when "transact" then transact(jobs.first, commit)
    when "later" then @queue.enqueue_many(jobs, delay: DAY_S)
    else jobs.size == 1 ? @queue.enqueue(jobs.first) : @queue.enqueue_many(jobs)
    end
  end

  def transact(job, commit)
    @db.transaction do |tx|
      tx.execute("INSERT INTO orders (n) VALUES (?)", [job.last])
      @queue.enqueue(job, tx: tx)
      tx.rollback! unless commit
    end
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end

def work(db)
  events = File.open(ENV.fetch("PEER_EVENTS"), File::WRONLY | File::APPEND)
  db.queue("bench").worker(concurrency: ENV.fetch("PEER_CONCURRENCY").to_i).run do |job|
    kind, number = job.payload
    if kind == "append"
      sleep 0.002
      db.transaction { |tx| tx.execute("INSERT INTO appended (n) VALUES (?)", [number]) }
      sleep 0.002
    end
    events.syswrite("#{kind} #{number} #{Process.clock_gettime(Process::CLOCK_REALTIME, :nanosecond)} #{Process.pid}\n")
    sleep 3600 if kind == "hold"
  end
end

db = Honker::Database.new(URL, durability: ENV["PEER_DURABILITY"] == "synced" ? :full : :normal)
ARGV == ["work"] ? work(db) : Producer.new(db).run
