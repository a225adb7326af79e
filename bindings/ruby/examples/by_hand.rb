# frozen_string_literal: true

# The steps of a worker, one by one, and without waiting. Most programs want worker.rb.

require "honker"

def send_email(payload)
  exit if payload["to"] == "nobody" # the end of this example
  raise "no such address" if payload["to"] == "nowhere"

  puts "sent to #{payload["to"]}"
end

db = Honker::Database.new("app.db")
q = db.queue("emails")
%w[alice nowhere bob nobody].each { |to| q.enqueue({ to: to }) }

loop do
  job = q.claim_one("worker-1")
  if job.nil?
    sleep 0.1
    next
  end
  begin
    send_email(job.payload)
  rescue StandardError => e
    job.retry(delay_s: 60, error: e.message)
  else
    job.ack
  end
end
