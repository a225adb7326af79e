// A consumer of a stream that waits for its events. It goes on where it was, also after a crash.

#include <future>
#include <iostream>

#include "honker.hpp"

static void handle(const honker::StreamEvent& event) { std::cout << event.offset << ": " << event.payload << "\n"; }

int main() {
  honker::Database db{"app.db"};
  const auto orders = db.stream("orders");
  orders.publish("\"before\"");

  auto subscription = orders.subscribe("mailer");
  auto consumer = std::async(std::launch::async, [&] {
    for (const auto& event : subscription) {  // until wake() is called
      handle(event);
      if (event.payload == "\"last\"") break;
    }
    subscription.ack();  // the one in hand is finished too
  });
  orders.publish("\"live\"");
  orders.publish("\"last\"");
  consumer.get();

  subscription.save_offset();  // the destructor would have done it
  std::cout << "saved: " << orders.get_offset("mailer") << "\n";
}
