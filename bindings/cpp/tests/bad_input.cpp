// Texts and numbers that cannot be used. Nothing is done with them, and the next call works.

#include "support.hpp"

TEST_CASE("text that is not UTF-8, or has a NUL in it") {
  const File file;
  const auto& db = file.db;
  const auto q = db.queue("q");
  const auto s = db.stream("s");
  const auto scheduler = db.scheduler();
  q.enqueue("1");
  auto job = q.claim_one("w");
  auto lock = db.try_lock("l");

  const auto check = [&](std::string_view bad, honker_status_t status) {
#define CHECK_BAD(expression) CHECK(status_of([&] { static_cast<void>(expression); }) == status)
    CHECK_BAD(q.enqueue(bad));
    CHECK_BAD(q.enqueue_many({"1", std::string(bad)}));
    CHECK_BAD(db.queue(bad).enqueue("1"));
    CHECK_BAD(db.queue(bad).claim_one("w"));
    CHECK_BAD(db.queue(bad).stats_json());
    CHECK_BAD(q.claim_one(bad));
    CHECK_BAD(q.ack_batch({1}, bad));
    CHECK_BAD(q.save_result(1, bad));
    CHECK_BAD(s.publish(bad));
    CHECK_BAD(s.publish("1", bad));
    CHECK_BAD(db.stream(bad).publish("1"));
    CHECK_BAD(s.save_offset(bad, 1));
    CHECK_BAD(s.get_offset(bad));
    CHECK_BAD(s.read_from_consumer(bad));
    CHECK_BAD(scheduler.add(bad, "q", "@daily", "1"));
    CHECK_BAD(scheduler.add("n", bad, "@daily", "1"));
    CHECK_BAD(scheduler.add("n", "q", bad, "1"));
    CHECK_BAD(scheduler.add("n", "q", "@daily", bad));
    CHECK_BAD(scheduler.update("n", {}, bad));
    CHECK_BAD(scheduler.remove(bad));
    CHECK_BAD(honker::Scheduler::next_after(bad, 0));
    CHECK_BAD(db.try_lock(bad));
    CHECK_BAD(db.try_lock("m", bad));
    CHECK_BAD(db.try_rate_limit(bad, 1, 1));
    CHECK_BAD(db.notify(bad, "1"));
    CHECK_BAD(db.notify("c", bad));
    CHECK_BAD(db.query(bad));
    CHECK_BAD(db.query("SELECT ?", {bad}));
    honker::EnqueueOptions options;
    options.unique_key = bad;
    CHECK_BAD(q.enqueue("1", options));
    options = {};
    options.concurrency_key = bad;
    CHECK_BAD(q.enqueue("1", options));
    CHECK_BAD(db.queue(bad).pause());
    CHECK_BAD(db.queue(bad).settings());
    CHECK_BAD(job->step(bad, [] { return "1"; }));
    CHECK_BAD(job->step("s", [&] { return bad; }));
    CHECK_BAD(db.get_step(job->id(), bad));
    CHECK_BAD(db.create_batch({honker::JobSpec{std::string(bad), "1"}}));
    CHECK_BAD(db.create_batch({honker::JobSpec{"q", std::string(bad)}}));
    auto tx = db.begin();
    CHECK_BAD(tx.execute(bad));
    CHECK_BAD(job->step_tx(tx, "s", [&] { return bad; }));
    CHECK_BAD(q.enqueue_tx(tx, bad));
    q.enqueue_tx(tx, "2");
    tx.rollback();
#undef CHECK_BAD
  };
  check("\xff", HONKER_UTF8);
  check("{\"a\":\"\xc3\"}", HONKER_UTF8);
  check("\xed\xa0\x80", HONKER_UTF8);  // half a surrogate pair
  check(std::string_view("a\0b", 3), HONKER_INVALID);

  CHECK(file.count("_honker_live") == 1);
  CHECK(file.count("_honker_stream") == 0);
  CHECK(file.count("_honker_notifications") == 0);
  CHECK(file.count("_honker_scheduler_tasks") == 0);
  CHECK(file.count("_honker_queues") == 0);
  CHECK(file.count("_honker_steps") == 0);
  CHECK(file.count("_honker_batches") == 0);
  CHECK(job->ack());
  CHECK(lock->release());
}

TEST_CASE("numbers that are too large or too small") {
  const File file;
  const auto& db = file.db;
  const auto q = db.queue("q");
  const auto scheduler = db.scheduler();
  honker::EnqueueOptions options;

  // The largest number means "not set" in the C ABI. Here it means the largest number, which overflows: a job that was
  // to wait forever must not become due at once.
  CHECK_FAILS(HONKER_INVALID, q.enqueue("1", largest));
  CHECK_FAILS(HONKER_INVALID, q.enqueue("1", largest - 1));
  options.run_at = largest;
  CHECK_FAILS(HONKER_INVALID, q.enqueue("1", options));
  CHECK_REFUSED(HONKER_INVALID, q.enqueue(std::nothrow, "1", options));
  CHECK_FAILS(HONKER_INVALID, q.enqueue_many({"1"}, options));
  options = {};
  options.expires_s = largest;
  CHECK_FAILS(HONKER_INVALID, q.enqueue("1", options));
  options.expires_s = largest - 1;
  CHECK_FAILS(HONKER_INVALID, q.enqueue("1", options));
  CHECK(file.count("_honker_live") == 0);

  scheduler.add("n", "q", "@every 1s", "1");
  CHECK_FAILS(HONKER_INVALID, scheduler.tick(largest));
  CHECK(scheduler.tick(smallest).empty());
  CHECK_FAILS(HONKER_INVALID, scheduler.add("m", "q", "@every 1s", "1", 0, largest));
  CHECK_FAILS(HONKER_INVALID, scheduler.update("n", {}, {}, {}, largest));
  CHECK_FAILS(HONKER_INVALID, scheduler.update("n", {}, {}, {}, {}, largest));

  options = {};
  options.run_at = smallest;
  options.priority = largest;
  options.max_attempts = largest;
  CHECK(q.enqueue("1", options) > 0);
  auto job = q.claim_one("w");
  REQUIRE(job.has_value());
  CHECK_FAILS(HONKER_INVALID, job->heartbeat(largest));
  CHECK_FAILS(HONKER_INVALID, job->retry(largest, "error"));
  CHECK_FAILS(HONKER_INVALID, db.queue("q", largest).claim_one("w"));
  CHECK(job->ack());

  CHECK_FALSE(q.cancel(largest));
  CHECK_FALSE(q.cancel(smallest));
  CHECK_FALSE(q.cancel(-1));
  CHECK(q.get_job_json(smallest) == "");
  CHECK_FALSE(db.get_result(smallest).has_value());
  CHECK(q.ack_batch({largest, smallest, 0}, "w") == 0);
  CHECK_FAILS(HONKER_INVALID, db.save_result(1, "1", largest));
  CHECK_FAILS(HONKER_INVALID, db.try_lock("l", "me", largest));
  CHECK(db.stream("s").read_since(largest).empty());
  CHECK(db.stream("s").read_since(smallest).empty());
}
