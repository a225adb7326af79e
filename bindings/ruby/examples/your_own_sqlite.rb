# frozen_string_literal: true

# Jobs that are enqueued on a connection of the sqlite3 gem, in its transaction, beside Honker::Database on the same file. A
# Sequel::Database and ActiveRecord::Base are used in the same way.

require "honker"
require "sqlite3"

db = Honker::Database.new("app.db")
conn = SQLite3::Database.new("app.db")
conn.busy_handler { sleep 0.001 } # busy_timeout would not let other threads run meanwhile
conn.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER)")

conn.transaction do
  conn.execute("INSERT INTO orders (id, total) VALUES (?, ?)", [42, 9900])
  Honker.enqueue_on(conn, "emails", { order_id: 42 }, max_attempts: 10)
end
puts db.queue("emails").claim_one("worker-1").payload[:order_id]

# With the loadable extension, from HONKER_EXTENSION_PATH or the gem, SQL has all of honker's functions:
Honker.setup(conn)
conn.execute("SELECT honker_enqueue('emails', '{}')")
puts conn.get_first_value("SELECT json_extract(honker_stats('emails'), '$.pending')")
conn.close
db.close
