// The scheduler in a thread of its own. Every process of an application may run one: one leads, the others stand by.

#include <atomic>
#include <chrono>
#include <future>
#include <iostream>

#include "honker.hpp"

int main() {
  honker::Database db{"app.db"};
  auto scheduler = db.scheduler();
  std::atomic<bool> stop{false};
  auto thread = std::async(std::launch::async, [&] { scheduler.run(stop, "host-7"); });

  scheduler.add("pulse", "health", "@every 1s", R"("beat")");
  if (auto job = db.queue("health").jobs("worker-1").next(std::chrono::seconds(5))) {
    std::cout << job->payload() << "\n";
    job->ack();
  }

  stop = true;
  thread.get();
  std::cout << "stopped\n";
}
