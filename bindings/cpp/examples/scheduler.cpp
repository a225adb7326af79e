// A schedule is in the file; whoever ticks enqueues what is due, once. Here the clock is set by hand.

#include <cstdint>
#include <iostream>

#include "honker.hpp"

int main() {
  honker::Database db{"app.db"};
  auto scheduler = db.scheduler();
  scheduler.add("nightly", "backups", "CRON_TZ=Europe/Berlin 0 3 * * *", R"({"what":"everything"})");
  scheduler.add("pulse", "health", "@every 5m", "null");

  scheduler.pause("nightly");  // the pulse is the next one then, at whatever time of the day this runs
  const std::int64_t at = scheduler.soonest().value();
  for (const auto& fire : scheduler.tick(at)) {  // tick() in real life
    std::cout << fire.name << " -> job " << fire.job_id << " in " << fire.queue << "\n";
  }
  std::cout << scheduler.tick(at).size() << " more\n";

  scheduler.update("pulse", "@every 10m");
  std::cout << scheduler.list_json() << "\n";
}
