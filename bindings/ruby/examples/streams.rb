# frozen_string_literal: true

# Events that stay, and consumers that know how far they have come.

require "honker"

db = Honker::Database.new("app.db")
orders = db.stream("orders")
orders.publish({ id: 1, total: 99 })
orders.publish_with_key("alice", { id: 2, total: 5 })
db.transaction { |tx| orders.publish_tx(tx, { id: 3, total: 1 }) }

# In steps, with the offset saved in the transaction of what the events caused.
events = orders.read_from_consumer("totals", 2)
db.transaction do |tx|
  events.each { |event| puts "#{event.offset} #{event.key.inspect}: #{event.payload[:total]}" }
  orders.save_offset("totals", events.last.offset, tx: tx)
end
puts "#{orders.read_from_consumer("totals").size} to go"

# Waiting for them. An event is finished when the next one is asked for.
orders.subscribe(consumer: "mailer") do |event|
  puts "mail for order #{event.payload[:id]}"
  break if event.payload[:id] == 3 # this one is not finished: it would come again
end
puts orders.get_offset("mailer")
db.close
