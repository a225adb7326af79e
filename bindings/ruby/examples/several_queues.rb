# frozen_string_literal: true

# One worker for several queues, what a handler may say of its job, and other ways to enqueue and to claim.

require "honker"

db = Honker::Database.new("app.db")
emails = db.queue("emails", max_attempts: 10)

db.enqueue_many(
  [
    { queue: emails, payload: { to: "alice" }, metadata: { tenant: "acme" } },
    { queue: emails, payload: { to: "" } },
    { queue: emails, payload: { to: "later" } },
    { queue: "reports", payload: { month: 7 }, priority: 1, delay: 1, max_attempts: 3 }
  ]
)

worker = db.worker({ "emails" => 3, "reports" => 1 }, concurrency: 8, max_run_s: 600)
stop = false
worker.run(stop: -> { stop }) do |job|
  raise Honker::Discard, "no address" if job.payload[:to] == "" # never again
  raise Honker::Snooze.new(delay_s: 60) if job.payload[:to] == "later" # and this attempt does not count

  10.times { job.check! } # ends here if somebody has cancelled the job, or the worker stops
  puts "#{job.queue_name}: #{JSON.generate(job.payload)} #{job.metadata[:tenant]}"
  stop = true if job.queue_name == "reports"
end
worker.close
puts JSON.generate(emails.stats.slice(:pending, :delayed, :dead))

# One after the other, until there was no job for a second:
emails.enqueue({ to: "carol" })
emails.claim("worker-2", timeout: 1) do |job|
  puts "sent to #{job.payload[:to]}"
  job.ack
end
db.close
