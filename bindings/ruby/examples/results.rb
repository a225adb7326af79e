# frozen_string_literal: true

# What a job came to, for whoever enqueued it.

require "honker"
require "json"

db = Honker::Database.new("app.db")
sums = db.queue("sums")
worker = Thread.new do
  job = sums.claim("worker-1").first
  db.save_result(job.id, JSON.generate(job.payload.sum), ttl_s: 3600)
  job.ack
end
id = sums.enqueue([1, 2, 3])
puts db.wait_result(id, timeout: 10)
worker.join

begin
  db.wait_result(id + 1, timeout: 0.05)
rescue Timeout::Error => e
  puts e.message
end
puts db.sweep_results
db.close
