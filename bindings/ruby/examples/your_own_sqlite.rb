# frozen_string_literal: true

# honker's SQL functions in a connection of the sqlite3 gem, beside Honker::Database on the same file.

require "honker"
require "sqlite3"

db = Honker::Database.new("app.db")
conn = SQLite3::Database.new("app.db")
Honker.setup(conn) # HONKER_EXTENSION_PATH, or the copy in the gem
conn.busy_handler { sleep 0.001 } # busy_timeout would not let other threads run meanwhile

conn.transaction(:immediate) do
  conn.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
  conn.execute("INSERT INTO orders VALUES (42)")
  conn.execute("SELECT honker_enqueue('emails', '{\"order_id\":42}', NULL, NULL, 0, 3, NULL)")
end
puts db.queue("emails").claim_one("worker-1").payload[:order_id]
conn.close
db.close
