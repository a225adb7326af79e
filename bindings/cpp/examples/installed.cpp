// One job goes into a queue and comes out again, with the library that the program is linked with.

#include "honker.hpp"

#include <iostream>
#include <nlohmann/json.hpp>

// The sample of the README, as it stands.
// clang-format off
int main() {
  #include "honker.hpp"
  honker::Database db{"app.db"};
  auto q = db.queue("greetings");
  q.enqueue(R"({"name":"world"})");
  if (auto job = q.claim_one("worker-1")) {
    auto payload = nlohmann::json::parse(job->payload());
    std::cout << "hello, " << payload["name"].get<std::string>() << "!\n";
    job->ack();
  }
}
