# frozen_string_literal: true

# A worker that sleeps until there is a job, and runs until it is told to stop.

require "honker"

db = Honker::Database.new("app.db")
emails = db.queue("emails")

stop = false
thread = Thread.new do
  worker = emails.worker("worker-1")
  worker.run(stop: -> { stop }) do |job|
    raise "no such address" if job.payload["to"] == "nowhere" # again in a minute

    puts "sent to #{job.payload["to"]}"
  end
ensure
  worker&.close
end

emails.enqueue({ to: "alice" })
emails.enqueue({ to: "nowhere" })
id = emails.enqueue({ to: "bob" })
sleep 0.01 while emails.get_job(id)

stop = true
thread.join
puts emails.stats.slice(:pending, :delayed, :dead).to_h

# The same as an enumerator, which ends when there was no job for a second:
emails.enqueue({ to: "carol" })
emails.claim("worker-2", timeout: 1) do |job|
  puts "sent to #{job.payload["to"]}"
  job.ack
end
db.close
