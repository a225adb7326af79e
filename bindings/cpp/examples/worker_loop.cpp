// A worker that sleeps until there is a job, and runs until it is told to stop.

#include <atomic>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>

#include "honker.hpp"

static void send_email(const std::string& payload) {
  if (payload.find("nowhere") != std::string::npos) throw std::runtime_error("no such address");
  std::cout << "sent " << payload << "\n";
}

int main() {
  honker::Database db{"app.db"};
  const auto emails = db.queue("emails");
  std::atomic<bool> stop{false};

  auto worker = emails.worker("worker-1");
  std::thread thread([&] {
    worker.run([](honker::Job& job) { send_email(job.payload()); }, stop);  // throws: again in a minute
  });

  emails.enqueue(R"({"to":"alice@example.com"})");
  emails.enqueue(R"({"to":"nowhere"})");
  const auto id = emails.enqueue(R"({"to":"bob@example.com"})");
  while (!emails.get_job_json(id).empty()) std::this_thread::yield();

  stop = true;
  worker.wake();  // or it looks within 100 ms
  thread.join();
  std::cout << emails.stats_json() << "\n";
}
