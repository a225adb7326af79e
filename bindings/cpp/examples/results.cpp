// What a job returns: saved by the worker before it acks, looked up by whoever enqueued it.

#include <iostream>

#include "honker.hpp"

int main() {
  honker::Database db{"app.db"};
  auto sums = db.queue("sums");

  const auto id = sums.enqueue("[1,2,3]");
  std::cout << (db.get_result(id) ? "there" : "not yet") << "\n";

  if (auto job = sums.claim_one("worker-1")) {
    sums.save_result(job->id(), "6", 3600);  // kept for an hour
    job->ack();
  }
  std::cout << db.get_result(id).value_or("not yet") << "\n";
}
