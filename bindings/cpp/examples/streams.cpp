// Events, and a consumer that handles each exactly once: its offset is saved with what it makes of them.

#include <iostream>

#include "honker.hpp"

int main() {
  honker::Database db{"app.db"};
  {
    auto tx = db.begin();
    tx.execute("CREATE TABLE totals (customer TEXT PRIMARY KEY, orders INTEGER NOT NULL)");
    tx.commit();
  }

  const auto orders = db.stream("orders");
  orders.publish(R"({"id":1})", "alice");
  orders.publish(R"({"id":2})", "bob");
  orders.publish(R"({"id":3})", "alice");

  auto events = orders.read_from_consumer("totals");
  auto tx = db.begin();
  for (const auto& event : events) {
    tx.execute("INSERT INTO totals VALUES (?, 1) ON CONFLICT DO UPDATE SET orders = orders + 1", {event.key});
  }
  if (!events.empty()) orders.save_offset_tx(tx, "totals", events.back().offset);
  tx.commit();

  for (const auto& row : db.query("SELECT customer, orders FROM totals ORDER BY customer")) {
    std::cout << row[0].text() << ": " << row[1].integer() << "\n";
  }
  std::cout << orders.read_from_consumer("totals").size() << " events left\n";
}
