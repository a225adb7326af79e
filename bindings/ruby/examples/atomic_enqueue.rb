# frozen_string_literal: true

# A row of your own and a job, both or neither.

require "honker"

db = Honker::Database.new("app.db")
q = db.queue("emails")
db.transaction do |tx|
  tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER, customer_id TEXT)")
end

db.transaction do |tx|
  id, = tx.query_row("INSERT INTO orders (total, customer_id) VALUES (?, ?) RETURNING id", [9900, "alice"])
  q.enqueue({ order_id: id, email_type: "confirmation" }, tx: tx) # what raises here takes back the order, too
end

begin
  db.transaction do |tx|
    q.enqueue_tx(tx, { order_id: 1, email_type: "again" })
    tx.execute("INSERT INTO orders (id, total, customer_id) VALUES (?, ?, ?)", [1, 1, "bob"])
  end
rescue Honker::ConstraintError => e
  puts "neither: #{e.name}"
end

owed, customer = db.query_row("SELECT total, customer_id FROM orders WHERE id = ?", [1])
puts "#{customer} owes #{owed}, #{q.stats[:pending]} job"

# What a job does, and its end, in one transaction: exactly once.
q.worker.run(stop: -> { q.stats.values_at(:claimed, :pending).sum.zero? }) do |job|
  db.transaction do |tx|
    tx.execute("UPDATE orders SET total = total + 1 WHERE id = ?", [job.payload[:order_id]])
    job.ack(tx: tx) || tx.rollback! # the claim was lost
  end
end

db.query("SELECT id, total FROM orders WHERE total < ?", [10_000.5]).each { |id, total| puts "order #{id}: #{total}" }
db.close
