require "honker"

queue = Honker::Database.new("app.db").queue("greetings")
queue.enqueue("hello")
queue.worker.run { |job| puts job.payload }
