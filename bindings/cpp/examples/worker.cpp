// A worker that runs until it is told to stop: jobs that fail are tried again in a minute, and end among the dead when
// their attempts are used up. Here it runs in a thread and sends three e-mails, one of which fails.

#include <chrono>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>

#include "honker.hpp"

// No std::exception, and so not a failure of the job.
struct Stop {};

static void send_email(const std::string& payload) {
  if (payload == R"("stop")") throw Stop();
  if (payload.find("nowhere") != std::string::npos) throw std::runtime_error("no such address");
  std::cout << "sent " << payload << "\n";
}

static void work(const honker::Queue& q) {
  // clang-format off
  for (;;) {
    if (auto job = q.claim_one("worker-1")) {
      try { send_email(job->payload()); job->ack(); }
      catch (const std::exception& e) { job->retry(60, e.what()); }
    } else std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  // clang-format on
}

int main() {
  honker::Database db{"app.db"};
  const auto emails = db.queue("emails");
  std::thread worker([&] {
    try {
      work(emails);
    } catch (const Stop&) {
    }
  });

  emails.enqueue(R"({"to":"alice@example.com"})");
  emails.enqueue(R"({"to":"nowhere"})");
  emails.enqueue(R"({"to":"bob@example.com"})");
  const auto stop = emails.enqueue(R"("stop")");
  worker.join();
  emails.cancel(stop);

  std::cout << emails.stats_json() << "\n";  // the one that failed is delayed
}
