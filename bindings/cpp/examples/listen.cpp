// Notifications: whoever listens to a channel is told, in any process, as soon as it is committed.

#include <chrono>
#include <future>
#include <iostream>

#include "honker.hpp"

int main() {
  honker::Database db{"app.db"};
  db.notify("orders", R"({"id":0})");  // nobody listens yet

  auto orders = db.listen("orders");
  auto shop = std::async(std::launch::async, [&] {
    db.notify("orders", R"({"id":1})");
    db.notify("weather", R"("rain")");
    db.notify("orders", R"({"id":2})");
  });
  for (int i = 0; i < 2; ++i) {
    if (auto notification = orders.recv(std::chrono::seconds(5))) {
      std::cout << notification->channel << ": " << notification->payload << "\n";
    }
  }
  shop.get();
  if (!orders.recv(std::chrono::milliseconds(10))) std::cout << "nothing more\n";
}
