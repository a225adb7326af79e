# frozen_string_literal: true

# A worker of another language: its handlers run until their job is cancelled, and say so.
#
#     ruby worker.rb DATABASE QUEUE

require "honker"

TIMEOUT_S = 600

# One write for each line: two handlers speak at once.
def say(line)
  $stdout.syswrite("#{line}\n")
end

Honker::Database.open(ARGV.fetch(0)) do |db|
  db.worker(ARGV.fetch(1), concurrency: 2).run(stop_timeout_s: 0) do |job|
    say("begun #{job.id}")
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + TIMEOUT_S
    sleep 0.01 until job.cancelled? || Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
    say("cancelled #{job.id}") if job.cancelled?
  end
end
