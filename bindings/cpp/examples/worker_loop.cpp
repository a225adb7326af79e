// What a worker is made of, for programs whose own threads do the work: jobs that are waited for, one by one.

#include <future>
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

static void poll(const honker::Queue& q) {
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
  emails.enqueue(R"({"to":"alice@example.com"})");
  const auto stop = emails.enqueue(R"("stop")");
  try {
    poll(emails);
  } catch (const Stop&) {
    emails.cancel(stop);
  }

  auto jobs = emails.jobs("worker-1");
  auto thread = std::async(std::launch::async, [&] {
    while (auto job = jobs.next()) {  // until wake() is called
      try {
        send_email(job->payload());
        job->ack();
      } catch (const std::exception& e) {
        job->retry(60, e.what());
      }
    }
  });

  emails.enqueue(R"({"to":"nowhere"})");
  const auto last = emails.enqueue(R"({"to":"bob@example.com"})");
  while (!emails.get_job_json(last).empty()) std::this_thread::yield();
  jobs.wake();
  thread.get();
  std::cout << emails.stats_json() << "\n";  // the one that failed is delayed
}
