# frozen_string_literal: true

# A job goes into a queue and comes out of it.

require "honker"
db = Honker::Database.new("app.db")
q = db.queue("greetings")
q.enqueue({ name: "world" })
job = q.claim_one("worker-1")
puts "hello, #{job.payload[:name]}!"
job.ack
