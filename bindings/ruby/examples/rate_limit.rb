# frozen_string_literal: true

# A limit for all processes on the file: three in an hour.

require "honker"

db = Honker::Database.new("app.db")
4.times do
  puts db.try_rate_limit("sms", limit: 3, per: 3600)
end
puts db.sweep_rate_limits(older_than_s: 3600)
db.close
