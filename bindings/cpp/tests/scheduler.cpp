// The scheduler.

#include "support.hpp"

TEST_CASE("a schedule from end to end") {
  const File file;
  const auto scheduler = file.db.scheduler();
  CHECK(scheduler.list_json() == "[]");
  CHECK_FALSE(scheduler.soonest().has_value());
  CHECK(scheduler.tick().empty());

  const auto before = now();
  scheduler.add("pulse", "health", "@every 10s", "[1]", 5, 60, 9);
  const auto first = scheduler.soonest().value();
  CHECK(first >= before + 10);
  CHECK(scheduler.tick(first - 1).empty());
  const auto fires = scheduler.tick(first + 10);
  REQUIRE(fires.size() == 2);
  CHECK(fires[0].name == "pulse");
  CHECK(fires[0].queue == "health");
  CHECK(fires[0].fire_at == first);
  CHECK(fires[1].fire_at == first + 10);
  const auto job = file.db.queue("health").get_job_json(fires[1].job_id);
  CHECK(contains(job, R"("payload":"[1]")"));
  CHECK(contains(job, R"("priority":5)"));
  CHECK(contains(job, R"("max_attempts":9)"));
  CHECK(contains(job, "\"expires_at\":" + std::to_string(first + 70)));
  CHECK(scheduler.tick(first + 10).empty());

  CHECK(scheduler.pause("pulse"));
  CHECK_FALSE(scheduler.pause("pulse"));
  CHECK(contains(scheduler.list_json(), R"("enabled":false)"));
  CHECK_FALSE(scheduler.soonest().has_value());
  CHECK(scheduler.resume("pulse"));
  CHECK_FALSE(scheduler.resume("pulse"));
  CHECK(scheduler.remove("pulse"));
  CHECK_FALSE(scheduler.remove("pulse"));
  CHECK_FALSE(scheduler.pause("pulse"));
}

TEST_CASE("tick without a time is now") {
  const File file;
  const auto scheduler = file.db.scheduler();
  scheduler.add("past", "q", "@every 1h", "1");
  file.run("UPDATE _honker_scheduler_tasks SET next_fire_at = unixepoch() - 1");
  CHECK(scheduler.tick().size() == 1);
  CHECK(contains(scheduler.list_json(), R"("expires_s":null)"));
  CHECK(contains(scheduler.list_json(), R"("max_attempts":3)"));
}

TEST_CASE("each part is updated by itself") {
  const File file;
  const auto scheduler = file.db.scheduler();
  scheduler.add("s", "q", "@every 1h", "old", 1, 60, 4);
  const auto has = [&](const std::string& part) { return contains(scheduler.list_json(), part); };

  CHECK_FALSE(scheduler.update("s"));
  CHECK_FALSE(scheduler.update("nobody", "@every 2h"));
  CHECK(scheduler.update("s", "@every 2h"));
  CHECK(has(R"("cron_expr":"@every 2h")"));
  CHECK(has(R"("payload":"old")"));
  CHECK(scheduler.update("s", {}, "new"));
  CHECK(has(R"("payload":"new")"));
  CHECK(has(R"("priority":1)"));
  CHECK(scheduler.update("s", {}, {}, 2));
  CHECK(has(R"("priority":2)"));
  CHECK(has(R"("expires_s":60)"));
  CHECK(scheduler.update("s", {}, {}, {}, 90));
  CHECK(has(R"("expires_s":90)"));
  CHECK(has(R"("max_attempts":4)"));
  CHECK(scheduler.update("s", {}, {}, {}, {}, 8));
  CHECK(has(R"("max_attempts":8)"));
  CHECK(has(R"("expires_s":90)"));
  CHECK(scheduler.update("s", {}, {}, {}, honker::never_expires));
  CHECK(has(R"("expires_s":null)"));
  CHECK(has(R"("cron_expr":"@every 2h")"));
}

TEST_CASE("expressions") {
  using honker::Scheduler;
  CHECK(Scheduler::next_after("CRON_TZ=UTC 0 3 * * *", 0) == 10800);
  CHECK(Scheduler::next_after("@every 5s", 100) == 105);
  CHECK_FAILS(HONKER_INVALID, Scheduler::next_after("0 3 * *", 0));
  CHECK_FAILS(HONKER_INVALID, Scheduler::next_after("0 0 30 2 *", 0));
  const File file;
  CHECK_FAILS(HONKER_INVALID, file.db.scheduler().add("s", "q", "often", "1"));
  CHECK(file.db.scheduler().list_json() == "[]");
}
