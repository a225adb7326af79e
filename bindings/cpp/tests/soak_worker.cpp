// The worker of tests/soak.py: eight handlers at a time, of which some fail, some are slow, and some settle their job
// in a transaction with what they write.

#include <chrono>
#include <stdexcept>

#include "honker.hpp"

int main(int argc, char** argv) {
  if (argc == 2) {
    honker::Database{argv[1]};
    return 0;
  }
  if (argc != 3) return 2;
  honker::WorkerOptions options;
  options.concurrency = 8;
  options.visibility_timeout_s = 3;
  options.max_run_s = 2;
  options.retry_base_s = 1;
  options.retry_factor = 1;
  options.stop_timeout = std::chrono::milliseconds(200);
  options.cancel_timeout = std::chrono::milliseconds(200);
  honker::Worker worker(argv[1], {{"a", 3}, {"b", 1, 4}}, argv[2], options);
  const auto report = worker.run([](honker::Job& job) {
    switch (job.id() % 10) {
      case 0:
        if (job.attempts() < 3) throw std::runtime_error("asked to fail");
        break;
      case 1:
        if (job.attempts() == 1) job.wait_cancelled(std::chrono::seconds(10));
        break;
      case 2:
        if (job.attempts() == 1) return honker::Outcome::retry(1, "asked to come again");
        break;
      case 3:
        job.wait_cancelled(std::chrono::milliseconds(20));
        break;
      case 4: {
        auto tx = job.begin();
        tx.execute("INSERT INTO done (job) VALUES (?)", {job.id()});
        if (job.ack_tx(tx)) tx.commit();
        break;
      }
      default:
        break;
    }
    return honker::Outcome::ack();
  });
  return report.running == 0 ? 0 : 1;
}
