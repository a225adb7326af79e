# frozen_string_literal: true

# A forked process opens the database for itself.

require "honker"

db = Honker::Database.new("app.db")

child = fork do
  own = Honker::Database.new("app.db")
  own.queue("greetings").enqueue({ name: "child" })
  own.close
end
Process.wait(child)
puts db.queue("greetings").claim_one("worker-1").payload[:name]
db.close
