# frozen_string_literal: true

# What has to be delivered elsewhere, if and only if a transaction is committed.

require "honker"

@tries = 0

def post(payload)
  @tries += 1
  raise "503" if @tries == 1 # tried again after base_backoff_s, twice as long each further time

  puts "delivered #{payload[:order_id]} at the #{@tries}nd time"
end

db = Honker::Database.new("app.db")
webhooks = db.outbox("webhooks", ->(payload) { post(payload) }, base_backoff_s: 1)
db.transaction { |tx| tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER)") }

db.transaction do |tx|
  tx.execute("INSERT INTO orders (id, total) VALUES (?, ?)", [42, 99])
  webhooks.enqueue({ order_id: 42 }, tx: tx)
end
webhooks.run_worker("courier-1", stop: -> { @tries == 2 })
puts webhooks.queue.stats[:pending]
db.close
