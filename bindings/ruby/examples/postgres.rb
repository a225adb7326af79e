# frozen_string_literal: true

# Jobs in a Postgres database, enqueued in transactions of the pg gem. ActiveRecord::Base and a Sequel::Database are used in the
# same way. DATABASE_URL says where it is.

require "honker"
require "pg"

url = ENV.fetch("DATABASE_URL") # postgres://…
db = Honker::Database.new(url)
conn = PG.connect(url)
conn.exec("CREATE TABLE orders (id int PRIMARY KEY, total int)")

conn.transaction do
  conn.exec_params("INSERT INTO orders (id, total) VALUES ($1, $2)", [42, 9900])
  Honker.enqueue_on(conn, "emails", { order_id: 42 }, unique_key: "order 42")
end

db.queue("emails").claim("worker-1") do |job|
  puts job.payload[:order_id]
  job.ack
  break
end
conn.close
db.close
