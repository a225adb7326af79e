// Settings of queues.

#include <algorithm>

#include "support.hpp"

using honker::QueueChanges;

TEST_CASE("settings are set, kept, and set back") {
  const File file;
  const auto q = file.db.queue("q \"1\"");
  auto settings = q.settings();
  CHECK(settings.queue == "q \"1\"");
  CHECK_FALSE(settings.paused);
  CHECK(settings.max_attempts == 3);
  CHECK(settings.keep_done_s == 0);
  CHECK_FALSE(settings.concurrency.has_value());
  CHECK_FALSE(settings.rate.has_value());
  CHECK_FALSE(settings.retry.has_value());
  CHECK(file.db.queues().empty());

  QueueChanges changes;
  changes.paused = true;
  changes.concurrency = 10;
  changes.concurrency_per_key = 2;
  changes.rate = honker::Rate{100, 60};
  changes.max_attempts = 7;
  changes.retry = honker::Backoff{1, 1.5, 9, 0.25};
  changes.keep_done_s = 3600;
  changes.keep_dead_s = 0;
  q.configure(changes);
  const honker::Database other(file.path);
  settings = other.queue("q \"1\"").settings();
  CHECK(settings.paused);
  CHECK(settings.concurrency == 10);
  CHECK(settings.concurrency_per_key == 2);
  REQUIRE(settings.rate.has_value());
  CHECK(settings.rate->limit == 100);
  CHECK(settings.rate->per_s == 60);
  CHECK(settings.max_attempts == 7);
  REQUIRE(settings.retry.has_value());
  CHECK(settings.retry->base_s == 1);
  CHECK(settings.retry->factor == 1.5);
  CHECK(settings.retry->max_s == 9);
  CHECK(settings.retry->jitter == 0.25);
  CHECK(settings.keep_done_s == 3600);
  CHECK(settings.keep_dead_s == 0);

  changes = {};
  changes.concurrency = honker::use_default;
  changes.rate = honker::use_default;
  changes.max_attempts = 4;
  q.configure(changes);
  settings = q.settings();
  CHECK_FALSE(settings.concurrency.has_value());
  CHECK_FALSE(settings.rate.has_value());
  CHECK(settings.max_attempts == 4);
  CHECK(settings.concurrency_per_key == 2);  // as it was
  q.configure({});

  file.db.queue("another").enqueue("1");
  const auto queues = other.queues();
  REQUIRE(queues.size() == 2);
  CHECK(queues[0].queue == "another");
  CHECK(queues[0].max_attempts == 3);
  CHECK(queues[1].queue == "q \"1\"");
  CHECK(queues[1].max_attempts == 4);
}

TEST_CASE("settings that cannot be") {
  const File file;
  const auto q = file.db.queue("q");
  const auto check = [&](auto change) {
    QueueChanges changes;
    changes.keep_done_s = 60;
    change(changes);
    CHECK_FAILS(HONKER_INVALID, q.configure(changes));
    CHECK(q.settings().keep_done_s == 0);
  };
  check([](QueueChanges& changes) { changes.concurrency = 0; });
  check([](QueueChanges& changes) { changes.concurrency_per_key = -1; });
  check([](QueueChanges& changes) { changes.rate = honker::Rate{}; });
  check([](QueueChanges& changes) { changes.retry = honker::Backoff{1, std::numeric_limits<double>::quiet_NaN()}; });
  check([](QueueChanges& changes) { changes.retry = honker::Backoff{1, std::numeric_limits<double>::infinity()}; });
  check([](QueueChanges& changes) { changes.retry = honker::Backoff{1, 2, 3, 1.5}; });
  check([](QueueChanges& changes) { changes.keep_dead_s = smallest; });
}

TEST_CASE("a paused queue gives nothing to anyone") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue("1");
  q.pause();
  CHECK(q.settings().paused);
  CHECK_FALSE(q.claim_one("w").has_value());
  auto jobs = q.jobs("w");
  CHECK_FALSE(jobs.next(0ms).has_value());
  const Joined resuming(soon([&] { q.resume(); }));
  CHECK(jobs.next(long_time).has_value());  // woken by it
  CHECK_FALSE(q.settings().paused);
}

TEST_CASE("what a queue is made with, and a job, go before its settings") {
  const File file;
  QueueChanges changes;
  changes.max_attempts = 7;
  file.db.queue("q").configure(changes);
  const auto is = [&](const honker::Queue& q, std::int64_t id, const char* n) {
    CHECK(contains(q.get_job_json(id), std::string(R"("max_attempts":)") + n));
  };
  const auto q = file.db.queue("q");
  const auto made = file.db.queue("q", 300, 5);
  is(q, q.enqueue("1"), "7");
  is(q, made.enqueue("1"), "5");
  honker::EnqueueOptions options;
  options.max_attempts = 2;
  is(q, made.enqueue("1", options), "2");
  is(q, file.db.enqueue_many({{"q", "1"}})[0], "7");
}

TEST_CASE("a worker says when a job is tried again as its queue has it") {
  const File file;
  const auto q = file.db.queue("q");
  QueueChanges changes;
  changes.retry = honker::Backoff{1000, 2, 5000, 0};
  q.configure(changes);
  q.enqueue("1");
  honker::WorkerOptions options;
  options.retry_base_s = 7;
  std::optional<std::int64_t> next_try_s;
  options.on_error = [&](const honker::Failure& failure) { next_try_s = failure.next_try_s; };
  std::string lines;
  options.log = [&](honker::LogLevel, const std::string& line) { lines += line + "\n"; };
  auto worker = q.worker("w", options);
  worker.run([&](honker::Job&) {
    worker.stop();
    throw std::runtime_error("fails");
  });
  CHECK(next_try_s == 1000);
  CHECK(contains(lines, "next try in 1000 s"));
  CHECK(file.count("_honker_live WHERE run_at > unixepoch() + 900") == 1);
}

TEST_CASE("how long events and notifications are kept") {
  const File file;
  const auto s = file.db.stream("s");
  for (const char* event : {"1", "2", "3", "4"}) s.publish(event);
  CHECK(s.trim() == 0);
  honker::StreamChanges changes;
  changes.keep_n = 3;
  changes.keep_s = 3600;
  s.configure(changes);
  CHECK(s.trim() == 1);
  s.save_offset("c", 2);
  honker::TrimOptions options;
  options.keep_n = 0;
  CHECK(s.trim(options) == 1);
  options.past_consumers = true;
  CHECK(s.trim(options) == 2);
  changes.keep_s = -1;
  CHECK_FAILS(HONKER_INVALID, s.configure(changes));
  options.keep_s = smallest;
  CHECK_FAILS(HONKER_INVALID, s.trim(options));

  file.db.keep_notifications(60);
  CHECK(file.count("_honker_settings WHERE value = 60") == 1);
  file.db.keep_notifications(honker::use_default);
  CHECK(file.count("_honker_settings WHERE value = 60") == 0);
  CHECK_FAILS(HONKER_INVALID, file.db.keep_notifications(-1));
}
