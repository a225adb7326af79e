// A job that is enqueued if and only if the order beside it is stored.

#include <iostream>
#include <stdexcept>

#include "honker.hpp"

static void order(honker::Database& db, honker::Queue& q) {
  // clang-format off
  auto tx = db.begin();
  tx.execute("INSERT INTO orders (id, total) VALUES (?, ?)", {42, 99});
  q.enqueue_tx(tx, R"({"to":"alice","order_id":42})");
  tx.commit();
  // clang-format on
}

int main() {
  honker::Database db{"app.db"};
  auto q = db.queue("emails");
  {
    auto tx = db.begin();
    tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER NOT NULL)");
    tx.commit();
  }

  order(db, q);
  try {
    order(db, q);  // there is an order 42: neither it nor its job is stored
  } catch (const honker::ConstraintError& error) {
    std::cout << error.name() << ": " << error.what() << "\n";
  }

  // The worker's side: what the job does and its end, together.
  if (auto job = q.claim_one("worker-1")) {
    auto tx = db.begin();
    tx.execute("UPDATE orders SET total = total + 1 WHERE id = ?", {42});
    if (job->ack_tx(tx)) tx.commit();  // else the claim was lost, and the destructor rolls back
  }

  for (const auto& row : db.query("SELECT id, total FROM orders WHERE total < ?", {1000.5})) {
    std::cout << "order " << row["id"].integer() << ": " << row["total"].integer() << "\n";
  }
  std::cout << q.stats_json() << "\n";
}
