// A worker as it goes into production: four e-mails at a time, until SIGTERM or SIGINT. Jobs that fail are tried again
// later, up to ten times. Here it sends three e-mails, one of which fails, and then has itself stopped.

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <future>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>

#include "honker.hpp"
#include "honker/json.hpp"

struct SendEmail {
  std::string to;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SendEmail, to)

static void send_email(const SendEmail& email) {
  if (email.to == "nowhere") throw std::runtime_error("no such address");
  std::cout << "sent to " + email.to + "\n";
}

static void report_to_sentry(const honker::Failure& failure) {
  std::cout << "reported job " + std::to_string(failure.job_id) + "\n";
}

int main() {
  honker::Database db{"app.db"};
  const auto emails = db.queue("emails", 300, 10);  // claims last 300 seconds; ten attempts
  emails.enqueue(honker::encode(SendEmail{"alice@example.com"}));

  emails.enqueue(honker::encode(SendEmail{"nowhere"}));
  const auto last = emails.enqueue(honker::encode(SendEmail{"bob@example.com"}));
  const auto operator_of_the_host = std::async(std::launch::async, [&] {
    while (!emails.get_job_json(last).empty()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    kill(getpid(), SIGTERM);
  });

  honker::WorkerOptions options;
  options.concurrency = 4;
  options.max_run_s = 60;
  options.on_error = report_to_sentry;
  honker::Worker worker("app.db", {{"emails"}}, "host-7", options);
  const auto report = worker.run(honker::typed<SendEmail>(send_email));  // until SIGTERM or SIGINT
  if (report.running > 0) std::_Exit(1);                                 // handlers that do not return

  std::cout << emails.stats_json() << "\n";  // the one that failed is delayed
}
