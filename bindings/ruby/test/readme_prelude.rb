# frozen_string_literal: true

# What the snippets of the README take for granted: test_examples.rb puts this before them.

require "timeout"
require "honker"

def send_email(_payload); end

def post(_payload); end

def stopping
  (@asked = (@asked || 0) + 1) > 2
end

Honker::Database.open("app.db", extension_path: "./libhonker.so") do |db|
  db.transaction { |tx| tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER, customer_id TEXT)") }
end
db = q = nil
