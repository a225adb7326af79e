# frozen_string_literal: true

# A row of your own and a job, both or neither.

require "honker"

db = Honker::Database.new("app.db")
q = db.queue("emails")
db.transaction do |tx|
  tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER, customer_id TEXT)")
end

db.transaction do |tx|
  tx.execute("INSERT INTO orders (id, total, customer_id) VALUES (?, ?, ?)", [42, 9900, "alice"])
  q.enqueue({ order_id: 42, email_type: "confirmation" }, tx: tx)
end

begin
  db.transaction do |tx|
    q.enqueue_tx(tx, { order_id: 42, email_type: "again" })
    tx.execute("INSERT INTO orders (id, total, customer_id) VALUES (?, ?, ?)", [42, 1, "bob"])
  end
rescue Honker::ConstraintError => e
  puts "neither: #{e.name}"
end

total, customer = db.query_row("SELECT total, customer_id FROM orders WHERE id = ?", [42])
puts "#{customer} owes #{total}, #{q.stats[:pending]} job"

# What a job does, and its end, in one transaction: exactly once.
job = q.claim_one("worker-1")
db.transaction do |tx|
  tx.execute("UPDATE orders SET total = 0 WHERE id = ?", [job.payload[:order_id]])
  job.ack(tx: tx) || tx.rollback!
end
puts db.query("SELECT * FROM orders").inspect
db.close
