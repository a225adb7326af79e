// A program whose one thread polls: notifications and jobs, and whatever else it has descriptors for.

#include <poll.h>

#include <iostream>
#include <thread>

#include "honker.hpp"

using namespace std::chrono_literals;

int main() {
  honker::Database db{"app.db"};
  auto orders = db.listen("orders");
  auto jobs = db.queue("emails").jobs("worker-1");
  const auto waiter = db.waiter();

  db.queue("emails").enqueue(R"({"to":"alice@example.com"})", 1);  // due in a second
  std::thread shop([&] { db.notify("orders", R"({"id":42})"); });

  bool is_done[2] = {};
  while (!is_done[0] || !is_done[1]) {
    pollfd fds[] = {{waiter.fd(), POLLIN, 0}};  // and others
    poll(fds, 1, -1);                           // no time: what becomes due makes it readable
    const auto ready = waiter.ready();
    if (ready.has(orders)) {
      while (auto notification = orders.recv(0ms)) {
        std::cout << notification->payload << "\n";
        is_done[0] = true;
      }
    }
    if (ready.has(jobs)) {
      while (auto job = jobs.next(0ms)) {
        std::cout << job->payload() << "\n";
        is_done[1] = job->ack();
      }
    }
  }
  shop.join();
}
