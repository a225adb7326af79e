# frozen_string_literal: true

# A worker that sleeps until there is a job, runs several side by side, and ends when it is told to.

require "honker"

db = Honker::Database.new("app.db")
emails = db.queue("emails", max_attempts: 10)

stop = false
trap("TERM") { stop = true } # what runs has 30 seconds then
thread = Thread.new do
  worker = emails.worker("worker-1", concurrency: 4)
  worker.run(stop: -> { stop }) do |job|
    raise "the mail server is down" if job.payload["to"] == "nowhere" # again in 15 seconds, then 30, 60, ...
    raise Honker::Discard, "no address" if job.payload["to"].empty? # never again

    10.times { job.check } # ends here if somebody has cancelled the job, or the worker stops
    puts "sent to #{job.payload["to"]}"
  end
ensure
  worker&.close
end

ids = ["alice", "nowhere", ""].map { |to| emails.enqueue({ to: to }) }
sleep 0.01 while emails.get_job(ids[0]) || emails.stats[:delayed].zero? || emails.stats[:dead].zero?

stop = true
thread.join
puts emails.stats.slice(:pending, :delayed, :dead).to_h

# One after the other, as an enumerator, which ends when there was no job for a second:
emails.enqueue({ to: "carol" })
emails.claim("worker-2", timeout: 1) do |job|
  puts "sent to #{job.payload["to"]}"
  job.ack
end
db.close
