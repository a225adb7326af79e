// How an application tests what it does with jobs.

#include <iostream>
#include <string>

#include "honker.hpp"
#include "honker/testing.hpp"

static void welcome(const honker::Database& db, const std::string& to) {
  db.queue("emails").enqueue(R"({"to":")" + to + R"("})", 86400);
}

static void send_email(honker::Job& job) { std::cout << job.payload() << "\n"; }

int main() {
  using namespace honker::testing;
  TemporaryDatabase db;
  const auto emails = db->queue("emails");
  welcome(*db, "alice@example.com");  // enqueues an e-mail for tomorrow
  assert_enqueued(*db, "emails", R"({"to":"alice@example.com"})");
  advance(*db, 86400);
  std::cout << run_due(emails, send_email).acked << " sent\n";
}
