# frozen_string_literal: true

# What an application hangs around its jobs: metrics, error reports, metadata.

require "honker"

def report(text)
  puts "to Sentry: #{text}"
end

def measure(queue, seconds)
  puts "#{queue}: took #{seconds.positive? ? "some time" : "none"}"
end

Honker.logger = nil # standard error, if it is not said
Honker.on_error { |error, job| report("#{job.queue_name}: #{error.message}") } # Sentry and the like
Honker.around_job do |job, perform|
  started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  perform.call
ensure
  measure(job.queue_name, Process.clock_gettime(Process::CLOCK_MONOTONIC) - started)
end
Honker.around_enqueue { |job, enqueue| job.metadata["tenant"] = "acme" and enqueue.call }

db = Honker::Database.new("app.db")
q = db.queue("emails")
q.enqueue({ to: "alice" })
stop = false
q.worker.run(stop: -> { stop }) do |job|
  stop = true
  raise "no such address, says #{job.metadata[:tenant]}"
end
db.close
