# frozen_string_literal: true

# Locks between processes.

require "honker"

db = Honker::Database.new("app.db")
db.try_lock("nightly-backup", ttl_s: 60) do |lock|
  puts "backing up"
  puts "somebody is at it" if db.try_lock("nightly-backup").nil?
  puts "too slow: somebody else has it" unless lock.heartbeat # 60 more seconds
end
lock = db.try_lock("nightly-backup", owner: "me", ttl_s: 60)
puts "#{lock.owner}: #{lock.release} #{lock.released?}"
db.close
