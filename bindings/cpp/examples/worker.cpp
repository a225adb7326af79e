// A worker as it goes into production: four e-mails at a time, until SIGINT or SIGTERM. Jobs that fail are tried again
// later, up to ten times. Here it sends three e-mails, one of which fails, and then tells itself to stop.

#include <signal.h>
#include <unistd.h>

#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>

#include "honker.hpp"

static void send_email(const std::string& payload) {
  if (payload.find("nowhere") != std::string::npos) throw std::runtime_error("no such address");
  std::cout << "sent " + payload + "\n";
}

int main() {
  // Signals are for the thread that waits for them. All threads that begin later have them blocked as well.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  honker::Database db{"app.db"};
  const auto emails = db.queue("emails", 300, 10);  // 300 seconds to notice that a worker died, ten attempts

  honker::WorkerOptions options;
  options.concurrency = 4;
  options.max_run_s = 60;
  options.on_failure = [](const honker::Failure& failure) {
    std::cerr << "job " << failure.job_id << ", attempt " << failure.attempts << ": " << failure.outcome.error()
              << "\n";
  };
  auto worker = emails.worker("host-7", options);

  std::thread waiting_for_signals([&] {
    for (int signal = 0; sigwait(&signals, &signal) == 0;) {
      worker.stop();  // the first time: handlers finish, for up to 30 seconds; the second time: at once
      if (signal == SIGTERM) break;
    }
  });

  emails.enqueue(R"({"to":"alice@example.com"})");
  emails.enqueue(R"({"to":"nowhere"})");
  const auto last = emails.enqueue(R"({"to":"bob@example.com"})");
  std::thread stopping([&] {
    while (!emails.get_job_json(last).empty()) std::this_thread::yield();
    kill(getpid(), SIGTERM);
  });

  const auto report = worker.run([](honker::Job& job) { send_email(job.payload()); });
  std::cout << report.released << " released\n";

  stopping.join();
  waiting_for_signals.join();
  std::cout << emails.stats_json() << "\n";  // the one that failed is delayed
}
