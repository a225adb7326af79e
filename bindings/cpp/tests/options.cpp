// Options of an enqueue, what has come of it, and those of schedules.

#include "honker/testing.hpp"
#include "support.hpp"

using honker::EnqueueOptions;
using honker::EnqueueStatus;
using honker::JobSpec;

TEST_CASE("a unique job is there once") {
  const File file;
  const auto q = file.db.queue("q");
  EnqueueOptions options;
  options.unique_key = "k";
  const auto first = q.enqueue("1", options);
  CHECK(first.status == EnqueueStatus::enqueued);
  const auto second = q.enqueue("2", options);
  CHECK(second.status == EnqueueStatus::exists);
  CHECK(second.id == first.id);
  options.on_conflict = honker::OnConflict::replace;
  const auto third = q.enqueue("3", options);
  CHECK(third.status == EnqueueStatus::replaced);
  CHECK(third.id == first.id);
  const std::int64_t id = third;  // which it is wherever a number is wanted
  CHECK(contains(q.get_job_json(third), R"("payload":"3")"));
  CHECK(file.db.queue("other").enqueue("4", options).status == EnqueueStatus::enqueued);

  auto tx = file.db.begin();
  CHECK(q.enqueue_tx(tx, "5", options).status == EnqueueStatus::replaced);
  tx.rollback();
  auto job = q.claim_one("w");
  REQUIRE(job.has_value());
  CHECK(job->payload() == "3");
  CHECK(job->id() == id);
  CHECK(q.enqueue("6", options).status == EnqueueStatus::exists);  // one that runs is not replaced
  CHECK(job->ack());
  CHECK(q.enqueue("7", options).status == EnqueueStatus::enqueued);

  const auto outbox = file.db.outbox("o", [](std::string_view) {});
  CHECK(outbox.enqueue("1", options).status == EnqueueStatus::enqueued);
  CHECK(outbox.enqueue("1", options).status == EnqueueStatus::replaced);
}

TEST_CASE("until when a unique job has its key") {
  const File file;
  const auto q = file.db.queue("q");
  EnqueueOptions claimed;
  claimed.unique_key = "claimed";
  claimed.unique_until = honker::UniqueUntil::claimed;
  EnqueueOptions throttled;
  throttled.unique_key = "throttled";
  throttled.unique_for_s = 3600;
  q.enqueue("1", claimed);
  q.enqueue("1", throttled);
  for (auto& job : q.claim_batch("w", 2)) CHECK(job.ack());
  CHECK(q.enqueue("2", claimed).status == EnqueueStatus::enqueued);
  CHECK(q.claim_one("w").has_value());
  CHECK(q.enqueue("3", claimed).status == EnqueueStatus::enqueued);  // while the other runs
  CHECK(q.enqueue("3", claimed).status == EnqueueStatus::exists);
  CHECK(q.enqueue("2", throttled).status == EnqueueStatus::exists);  // done, and yet
  honker::testing::advance(file.db, 3600);
  CHECK(q.enqueue("2", throttled).status == EnqueueStatus::enqueued);
}

TEST_CASE("what has come of each of many") {
  const File file;
  EnqueueOptions options;
  options.unique_key = "k";
  const auto made = file.db.enqueue_many({{"a", "1", options}, {"b", "2"}, {"a", "3", options}, {"c", "4", options}});
  REQUIRE(made.size() == 4);
  CHECK(made[0].status == EnqueueStatus::enqueued);
  CHECK(made[1].status == EnqueueStatus::enqueued);
  CHECK(made[2].status == EnqueueStatus::exists);
  CHECK(made[2].id == made[0].id);
  CHECK(made[3].status == EnqueueStatus::enqueued);
  const auto same = file.db.queue("d").enqueue_many({"1", "2"}, options);
  CHECK(same[1].status == EnqueueStatus::exists);
  CHECK(same[1].id == same[0].id);
}

TEST_CASE("what is enqueued around may have options") {
  honker::Options open;
  open.around_enqueue = [](std::vector<JobSpec>& jobs, const std::function<void()>& next) {
    for (auto& job : jobs) job.options.unique_key = job.payload;
    next();
  };
  const File file(open);
  const auto q = file.db.queue("q");
  CHECK(q.enqueue("1", EnqueueOptions{}).status == EnqueueStatus::enqueued);
  CHECK(q.enqueue("1", EnqueueOptions{}).status == EnqueueStatus::exists);
}

TEST_CASE("options that cannot be") {
  const File file;
  const auto q = file.db.queue("q");
  const auto scheduler = file.db.scheduler();
  const auto check = [&](auto change) {
    EnqueueOptions options;
    change(options);
    CHECK_FAILS(HONKER_INVALID, q.enqueue("1", options));
    CHECK_REFUSED(HONKER_INVALID, q.enqueue_many(std::nothrow, {"1"}, options));
    CHECK_FAILS(HONKER_INVALID, scheduler.add("n", "q", "@every 1h", "1", honker::ScheduleOptions{options}));
    honker::BatchOptions batch;
    batch.on_finished = JobSpec{"q", "1", options};
    CHECK_FAILS(HONKER_INVALID, file.db.create_batch(batch));
  };
  check([](EnqueueOptions& options) { options.unique_key = ""; });
  check([](EnqueueOptions& options) { options.concurrency_key = ""; });
  check([](EnqueueOptions& options) { options.unique_for_s = 10; });  // of no key
  check([](EnqueueOptions& options) { options.on_conflict = honker::OnConflict::replace; });
  check([](EnqueueOptions& options) { options.unique_until = honker::UniqueUntil::claimed; });
  check([](EnqueueOptions& options) { options.batch_id = 0; });
  check([](EnqueueOptions& options) { options.member = honker::BatchMember{1, ""}; });
  for (const std::int64_t number : {std::int64_t{0}, std::int64_t{-1}, smallest}) {
    check([&](EnqueueOptions& options) { options.max_run_s = number; });
    check([&](EnqueueOptions& options) {
      options.unique_key = "k";
      options.unique_for_s = number;
    });
  }
  check([](EnqueueOptions& options) { options.metadata = R"({"a":1})"; });
  check([](EnqueueOptions& options) { options.metadata = R"({"a":"b"},"priority":9,"metadata":{})"; });
  EnqueueOptions nowhere;
  nowhere.batch_id = 12345;
  CHECK_FAILS(HONKER_INVALID, q.enqueue("1", nowhere));
  CHECK(file.count("_honker_live") == 0);
  CHECK(file.count("_honker_batches") == 0);
  CHECK(scheduler.list_json() == "[]");
}

TEST_CASE("a job may say for how long it may run") {
  const File file;
  const auto q = file.db.queue("q", 300, 1);
  EnqueueOptions options;
  options.max_run_s = 1;
  q.enqueue("1", options);
  honker::WorkerOptions of_worker;
  of_worker.max_run_s = 3600;
  std::string error;
  auto worker = q.worker("w", of_worker);
  of_worker.on_error = [&](const honker::Failure& failure) {
    error = failure.outcome.error();
    worker.stop();
  };
  of_worker.log = [](honker::LogLevel, const std::string&) {};
  worker = q.worker("w", of_worker);
  worker.run([](honker::Job& job) { CHECK(job.wait_cancelled(long_time)); });
  CHECK(error == "timeout after 1 s");
  CHECK(contains(q.dead_json(), "timeout after 1 s"));
}

TEST_CASE("options of a schedule") {
  const File file;
  const auto scheduler = file.db.scheduler();
  honker::ScheduleOptions options;
  options.overlap = honker::Overlap::skip;
  options.job.priority = 4;
  options.job.expires_s = 86400;
  options.job.max_attempts = 7;
  options.job.metadata = R"({"a":"b"})";
  scheduler.add("skips", "q", "@every 1h", "1", options);
  CHECK(contains(scheduler.list_json(), R"("priority":4,"expires_s":86400)"));
  CHECK(contains(scheduler.list_json(), R"("max_attempts":7)"));
  file.run("UPDATE _honker_scheduler_tasks SET next_fire_at = unixepoch() - 3600");
  auto fires = scheduler.tick();
  REQUIRE(fires.size() == 2);
  CHECK(fires[0].status == EnqueueStatus::enqueued);
  CHECK(fires[1].status == EnqueueStatus::skipped);
  CHECK(fires[1].job_id == 0);
  CHECK(file.db.queue("q").claim_one("w")->metadata() == options.job.metadata);
  CHECK(scheduler.remove("skips"));

  options = {};
  options.job.unique_key = "k";
  scheduler.add("unique", "u", "@every 1h", "1", options);
  file.run("UPDATE _honker_scheduler_tasks SET next_fire_at = unixepoch() - 3600");
  fires = scheduler.tick();
  REQUIRE(fires.size() == 2);
  CHECK(fires[0].status == EnqueueStatus::enqueued);
  CHECK(fires[1].status == EnqueueStatus::exists);
  CHECK(fires[1].job_id == fires[0].job_id);

  options.job.run_at = 1000;
  CHECK_FAILS(HONKER_INVALID, scheduler.add("unique", "u", "@every 1h", "1", options));
  options.job.run_at = std::nullopt;
  options.job.expires_s = largest;
  CHECK_FAILS(HONKER_INVALID, scheduler.add("unique", "u", "@every 1h", "1", options));
}
