# frozen_string_literal: true

# What the package costs beside the C ABI: reads lines from standard input, each a workload and a number, and answers each
# with a line of JSON. Each has a queue of its own.

require "honker"
require "json"

DB = Honker::Database.new(File.join(ARGV.fetch(0), "bench.db"))

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

def timed
  before = now
  yield
  { seconds: now - before }
end

def enqueue(queue, count)
  timed { count.times { |i| queue.enqueue({ n: i }) } }
end

def claim_ack(queue, count)
  queue.enqueue_many(Array.new(count) { |i| { n: i } })
  timed { count.times { queue.claim_one("w").ack || raise("lost") } }
end

def batch(queue, count)
  queue.enqueue_many(Array.new(count) { |i| { n: i } })
  timed do
    until (jobs = queue.claim_batch("w", 100)).empty?
      queue.ack_batch(jobs.map(&:id), "w")
    end
  end
end

def wake(queue, count)
  got = Thread::Queue.new
  consumer = Thread.new do
    queue.claim("w") do |job|
      got << now
      job.ack
      break if job.payload[:n] == count - 1
    end
  end
  times = Array.new(count) do |i|
    sleep 0.002
    sent = now
    queue.enqueue({ n: i })
    got.pop - sent
  end
  consumer.join
  { p50_us: times.sort[count / 2] * 1e6 }
end

$stdin.each_line.with_index do |line, i|
  workload, count = line.split
  raise "unknown workload: #{workload}" unless %w[enqueue claim_ack batch wake].include?(workload)

  puts JSON.generate(send(workload, DB.queue("bench-#{i}"), Integer(count)))
  $stdout.flush
end
DB.close
