// The same without exceptions, for programs that are compiled with -fno-exceptions or do not care for them:
// std::nothrow comes first, and what comes back is a honker::Result.

#include <cstdio>
#include <string>

#include "honker.hpp"

static void log(const char* text) { std::printf("%s\n", text); }

int main() {
  auto db = honker::Database::open(std::nothrow, "app.db");
  if (!db.ok()) {
    log(db.error().what());
    return 1;
  }

  auto emails = db->queue("emails");
  auto id = emails.enqueue(std::nothrow, R"({"to":"alice@example.com"})");
  if (!id.ok()) log(id.error().what());

  auto job = emails.claim_one(std::nothrow, "worker-1");
  if (!job.ok()) {
    log(job.error().what());
  } else if (*job) {  // empty if there is nothing to do
    auto acked = (*job)->ack(std::nothrow);
    if (!acked.ok()) {
      log(acked.error().what());
    } else if (!*acked) {
      log("the claim was lost");
    } else {
      log("done");
    }
  }

  const auto refused = emails.enqueue(std::nothrow, "\xff");
  if (!refused.ok() && refused.error().status() == HONKER_UTF8) log(refused.error().name());
}
