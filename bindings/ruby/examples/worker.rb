# frozen_string_literal: true

# A worker as it may go to production: it sleeps until there is a job, runs four side by side, retries what fails, and ends on
# SIGTERM and Ctrl-C when what runs is done.

require "honker"

def send_email(payload)
  raise "the mail server is down" if payload[:to] == "nowhere"

  puts "sent to #{payload[:to]}"
  Process.kill("TERM", Process.pid) if payload[:to] == "bob" # the end of this example
end

db = Honker::Database.new("app.db")
emails = db.queue("emails", max_attempts: 10)
emails.enqueue({ to: "alice" })
emails.enqueue_many([{ to: "nowhere" }, { to: "bob" }])

emails.worker(concurrency: 4).run do |job|
  send_email(job.payload) # raises: logged, and tried again in 15 seconds, then 30, 60, ... for two hours
end
puts JSON.generate(emails.stats.slice(:pending, :claimed, :dead))
db.close
