// Queues and jobs.

#include "support.hpp"

TEST_CASE("a job from end to end") {
  const File file;
  const auto q = file.db.queue("greetings");
  CHECK(q.name() == "greetings");
  CHECK_FALSE(q.claim_one("w").has_value());
  const std::string payload = "{\"name\":\"w\xc3\xb6rld\"}";
  const auto id = q.enqueue(payload);
  CHECK(contains(q.get_job_json(id), R"("state":"pending")"));
  CHECK(contains(q.get_job_json(id), R"("max_attempts":3)"));

  const auto before = now();
  auto job = q.claim_one("worker-1");
  REQUIRE(job.has_value());
  CHECK(job->id() == id);
  CHECK(job->queue() == "greetings");
  CHECK(job->payload() == payload);
  CHECK(job->worker_id() == "worker-1");
  CHECK(job->attempts() == 1);
  CHECK(job->claim_expires_at() >= before + 300);
  CHECK(job->claim_expires_at() <= now() + 300);
  CHECK(contains(q.get_job_json(id), R"("state":"processing")"));

  CHECK(job->ack());
  CHECK_FALSE(job->ack());
  CHECK_FALSE(job->retry(0, "late"));
  CHECK_FALSE(job->fail("late"));
  CHECK_FALSE(job->heartbeat(60));
  CHECK(q.get_job_json(id) == "");
}

TEST_CASE("order and delay") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue("low");
  q.enqueue("high", 0, 10);
  q.enqueue("later", 3600, 100);
  q.enqueue("past", -3600);
  const auto jobs = q.claim_batch("w", 10);
  REQUIRE(jobs.size() == 3);
  CHECK(jobs[0].payload() == "high");
  CHECK(jobs[1].payload() == "past");
  CHECK(jobs[2].payload() == "low");
  CHECK(q.next_claim_at().value() <= now() + 301);  // the claims
  CHECK(q.ack_batch({jobs[0].id(), jobs[1].id(), jobs[2].id(), 12345}, "w") == 3);
  CHECK(q.ack_batch({}, "w") == 0);
  CHECK(q.next_claim_at().value() > now() + 3500);
  CHECK_FALSE(file.db.queue("empty").next_claim_at().has_value());
}

TEST_CASE("options of a job") {
  const File file;
  const auto q = file.db.queue("q", 300, 7);
  honker::EnqueueOptions options;
  const auto job = [&](std::int64_t id) { return q.get_job_json(id); };
  CHECK(contains(job(q.enqueue("1", options)), R"("max_attempts":7)"));
  options.max_attempts = 2;
  options.priority = -5;
  options.run_at = 1000;
  CHECK(contains(job(q.enqueue("1", options)), R"("priority":-5,"run_at":1000)"));
  CHECK(contains(job(q.enqueue("1", options)), R"("max_attempts":2)"));
  options.delay_s = 60;
  CHECK_FALSE(contains(job(q.enqueue("1", options)), R"("run_at":1000)"));
  CHECK(contains(job(q.enqueue("1", options)), R"("expires_at":null)"));
  options.expires_s = 0;
  const auto born_expired = q.enqueue("1", options);
  CHECK_FALSE(contains(job(born_expired), R"("expires_at":null)"));
  CHECK(q.sweep_expired() == 1);
  CHECK(contains(q.dead_json(), R"("last_error":"expired")"));

  auto tx = file.db.begin();
  const auto id = q.enqueue_tx(tx, "1", options);
  CHECK(q.enqueue_tx(tx, "1", 60, 3) == id + 1);
  tx.commit();
  CHECK(contains(job(id), R"("priority":-5)"));
  CHECK(contains(job(id + 1), R"("priority":3)"));
}

TEST_CASE("many at once for several queues, each with options of its own") {
  const File file;
  honker::EnqueueOptions later;
  later.delay_s = 60;
  later.max_attempts = 7;
  later.metadata = R"({"traceparent":"00-1"})";
  const auto ids = file.db.enqueue_many({{"a", "1"}, {"b", "2", later}, {"a", "3"}});
  REQUIRE(ids.size() == 3);
  CHECK(ids[0] < ids[1]);
  CHECK(ids[1] < ids[2]);
  CHECK(contains(file.db.stats_json(), R"("queue":"a","pending":2,"delayed":0)"));
  CHECK(contains(file.db.stats_json(), R"("queue":"b","pending":0,"delayed":1)"));
  CHECK(file.count("_honker_live WHERE max_attempts = 7") == 1);
  file.run("UPDATE _honker_live SET run_at = unixepoch()");
  CHECK(file.db.queue("b").claim_one("w")->metadata() == later.metadata);

  CHECK(file.db.enqueue_many({}).empty());
  later.metadata = "[]";
  CHECK_FAILS(HONKER_INVALID, file.db.enqueue_many({{"a", "4"}, {"b", "5", later}}));  // all or none
  later.metadata = {};
  later.run_at = largest;
  CHECK_FAILS(HONKER_INVALID, file.db.enqueue_many({{"a", "4"}, {"b", "5", later}}));
  auto tx = file.db.begin();
  CHECK(file.db.enqueue_many_tx(tx, {{"c", "1"}}).size() == 1);
  tx.rollback();
  CHECK(file.count("_honker_live") == 3);
}

TEST_CASE("many at once") {
  const File file;
  const auto q = file.db.queue("q");
  honker::EnqueueOptions options;
  options.priority = 4;
  const auto ids = q.enqueue_many({"1", "2", "3"}, options);
  CHECK(ids.size() == 3);
  CHECK(ids[0] < ids[1]);
  CHECK(ids[1] < ids[2]);
  CHECK(contains(q.get_job_json(ids[2]), R"("payload":"3","state":"pending","priority":4)"));
  CHECK(q.enqueue_many({}).empty());
  CHECK_FAILS(HONKER_UTF8, q.enqueue_many({"4", "\xff"}));  // all or none
  CHECK(file.count("_honker_live") == 3);

  CHECK(q.claim_batch("w", 0).empty());
  CHECK(q.claim_batch("w", -1).empty());
  CHECK(q.claim_batch("w", smallest).empty());
  CHECK(q.claim_batch("w", 2).size() == 2);
  CHECK(q.claim_batch("w", largest).size() == 1);
}

TEST_CASE("the visibility timeout is the queue's") {
  const File file;
  const auto q = file.db.queue("q", 7);
  q.enqueue("1");
  auto job = q.claim_one("w");
  CHECK(job->claim_expires_at() <= now() + 7);
  CHECK(job->heartbeat(1000));
  CHECK(q.next_claim_at().value() > now() + 900);
  file.run("UPDATE _honker_live SET claim_expires_at = unixepoch() - 1");
  CHECK_FALSE(job->ack());
  CHECK(q.claim_one("other")->attempts() == 2);
}

TEST_CASE("retry, fail and the dead") {
  const File file;
  const auto q = file.db.queue("q", 300, 2);
  const auto id = q.enqueue("1");
  CHECK(q.claim_one("w")->retry(0, "once"));
  CHECK(q.claim_one("w")->retry(0, "twice"));
  CHECK_FALSE(q.claim_one("w").has_value());
  CHECK(contains(q.dead_json(), R"("last_error":"twice")"));
  CHECK(contains(q.stats_json(), R"("dead":1)"));

  CHECK(q.dead_requeue(id));
  CHECK_FALSE(q.dead_requeue(id));
  CHECK(q.claim_one("w")->fail("for good"));
  CHECK(contains(q.dead_json(), R"("last_error":"for good")"));
  CHECK(q.dead_json(0) == "[]");
  CHECK(contains(q.dead_json(-1), "for good"));
  CHECK(file.db.queue("other").dead_json() == "[]");
  CHECK(file.db.queue("other").dead_purge(-1) == 0);
  CHECK(q.dead_purge(3600) == 0);
  CHECK(q.dead_purge(-1) == 1);
  CHECK(q.dead_json() == "[]");

  q.enqueue("2");
  CHECK(q.claim_one("w")->retry(3600, "later"));
  CHECK(contains(q.stats_json(), R"("delayed":1)"));
}

TEST_CASE("an error text that is not UTF-8 does not stop a worker") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue_many({"1", "2", "3"});
  CHECK(q.claim_one("w")->fail("caf\xe9 \xff closed"));
  CHECK(contains(q.dead_json(), R"("last_error":"caf? ? closed")"));
  CHECK(q.claim_one("w")->fail(std::string_view("a\0b", 3)));
  CHECK(contains(q.dead_json(), R"("last_error":"a?b")"));
  CHECK(q.claim_one("w")->fail("caf\xc3\xa9"));
  CHECK(contains(q.dead_json(), "caf\xc3\xa9"));  // what is valid is stored as it is
}

TEST_CASE("settled in a transaction") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue_many({"1", "2", "3"});
  auto jobs = q.claim_batch("w", 3);
  const auto settle = [&](honker::Transaction& tx) {
    CHECK(jobs[0].ack_tx(tx));
    CHECK(jobs[1].retry_tx(tx, 60, "later"));
    CHECK(jobs[2].fail_tx(tx, "never"));
    CHECK_FALSE(jobs[0].ack_tx(tx));
  };
  {
    auto tx = file.db.begin();
    settle(tx);
  }
  CHECK(contains(q.stats_json(), R"("claimed":3)"));
  auto tx = file.db.begin();
  settle(tx);
  tx.commit();
  CHECK(contains(q.stats_json(), R"("pending":0,"delayed":1,"claimed":0,"expired":0,"dead":1)"));
}

TEST_CASE("cancel") {
  const File file;
  const auto q = file.db.queue("q");
  const auto id = q.enqueue("1");
  auto job = q.claim_one("w");
  CHECK(q.cancel(id));
  CHECK_FALSE(q.cancel(id));
  CHECK_FALSE(job->ack());
}

TEST_CASE("any text is a name, also none") {
  const File file;
  for (const char* name : {"", " ", "_outbox:x", "\xf0\x9f\x9a\x80"}) {
    const auto q = file.db.queue(name);
    q.enqueue("1");
    CHECK(contains(q.stats_json(), R"("pending":1)"));  // of this queue, and not of all of them
    CHECK(q.claim_one(name)->ack());
  }
  CHECK(file.db.queue(std::string_view()).enqueue(std::string_view()) > 0);
}

TEST_CASE("metadata comes back with the job") {
  const File file;
  const auto q = file.db.queue("q");
  honker::EnqueueOptions options;
  options.metadata = R"({"trace":"00-ab"})";
  options.max_attempts = 7;
  q.enqueue("1", options);
  q.enqueue_many({"2"}, options);
  q.enqueue("3");
  for (auto& job : q.claim_batch("w", 2)) {
    CHECK(job.metadata() == options.metadata);
    CHECK(job.max_attempts() == 7);
  }
  CHECK(q.claim_one("w")->metadata().empty());
  options.metadata = "[]";
  CHECK_FAILS(HONKER_INVALID, q.enqueue("1", options));
}
