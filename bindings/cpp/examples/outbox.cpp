// An outbox: the order and the message about it are committed together; the message is delivered afterwards, and again
// should that fail.

#include <atomic>
#include <iostream>
#include <stdexcept>
#include <string_view>

#include "honker.hpp"

static int failures = 1;

static void post(std::string_view json) {
  if (failures-- > 0) throw std::runtime_error("503 service unavailable");
  std::cout << "posted " << json << "\n";
}

int main() {
  honker::Database db{"app.db"};
  {
    auto tx = db.begin();
    tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER NOT NULL)");
    tx.commit();
  }

  const auto webhooks = db.outbox("webhooks", post, 60, 5, 0);  // tried again at once; 5 seconds is the default
  auto tx = db.begin();
  tx.execute("INSERT INTO orders (id, total) VALUES (?, ?)", {42, 99});
  webhooks.enqueue_tx(tx, R"({"order_id":42})");
  tx.commit();

  while (webhooks.run_once("worker-1")) {  // webhooks.run("worker-1", stop) waits for more
  }
  std::cout << webhooks.queue().stats_json() << "\n";
}
