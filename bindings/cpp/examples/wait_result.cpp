// A result that is waited for: by whoever enqueued the job, while a worker computes it.

#include <chrono>
#include <iostream>
#include <thread>

#include "honker.hpp"

int main() {
  honker::Database db{"app.db"};
  auto sums = db.queue("sums");
  std::thread thread([&] {
    if (auto job = sums.jobs("worker-1").next()) {
      sums.save_result(job->id(), "6");
      job->ack();
    }
  });

  const auto id = sums.enqueue("[1,2,3]");
  if (auto result = sums.wait_result(id, std::chrono::seconds(10))) {
    std::cout << *result << "\n";
  } else {
    std::cout << "too slow\n";
  }
  thread.join();
}
