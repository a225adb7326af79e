# frozen_string_literal: true

# Notifications, for whoever listens at the time.

require "honker"

db = Honker::Database.new("app.db")
listener = db.listen("orders")
shop = Thread.new do
  db.notify("orders", { id: 1 })
  db.notify("weather", "rain")
  db.transaction { |tx| db.notify_tx(tx, "orders", { id: 2 }) }
end
2.times do
  notification = listener.next(timeout: 5)
  puts "#{notification.channel}: #{notification.payload[:id]}"
end
shop.join
puts "pruned #{db.prune_notifications(max_keep: 1)}"
listener.close
db.close
