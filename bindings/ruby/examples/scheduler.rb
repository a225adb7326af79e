# frozen_string_literal: true

# Jobs at times of the calendar, or at intervals.

require "honker"

db = Honker::Database.new("app.db")
scheduler = db.scheduler
scheduler.add(name: "nightly", queue: "backups", cron: "CRON_TZ=Europe/Berlin 0 3 * * *", payload: { what: "everything" })
scheduler.add(name: "pulse", queue: "health", schedule: "@every 1s")
puts scheduler.list.map { |schedule| schedule[:name] }.inspect
scheduler.pause("nightly")
scheduler.update("nightly", schedule: "@daily", expires_s: 3600)

stop = false
runner = Thread.new do
  scheduler.run(owner: "host-7", stop: -> { stop })
end
job = db.queue("health").worker("worker-1").next(timeout: 10)
puts "a job of #{job.queue_name}"
job.ack
stop = true
runner.join
scheduler.pause("pulse")

db.worker(%w[health backups]).run(schedules: [{ name: "tick", queue: "health", schedule: "@every 1s" }]) do |health|
  puts "beside a worker, a job of #{health.queue_name}"
  Process.kill("TERM", Process.pid) # the end of this example
end
puts "removed #{scheduler.remove("pulse") + scheduler.remove("nope")}"
db.close
