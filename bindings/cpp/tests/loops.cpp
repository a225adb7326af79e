// What runs until it is told to stop: workers, the scheduler, outboxes.

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support.hpp"

TEST_CASE("what the file refuses to settle is an error, and keeps no other job") {
  const File file;
  const auto q = file.db.queue("q");
  refuse_poison(file, "DELETE");
  q.enqueue_many({"poison", "1"});
  auto jobs = q.jobs("w");
  auto poison = jobs.next(0ms);
  REQUIRE(poison.has_value());
  CHECK_FAILS(HONKER_CONSTRAINT, jobs.settle_next(*poison, honker::Outcome::ack(), 0ms));
  CHECK(file.count("_honker_live WHERE state = 'processing'") == 1);
  const auto settled = jobs.settle_next(*poison, honker::Outcome::retry(60, "later"), 0ms);
  CHECK(settled.held);
  REQUIRE(settled.next.has_value());
  CHECK(settled.next->payload() == "1");
  CHECK(settled.next->attempts() == 1);
}

TEST_CASE("jobs are waited for") {
  const File file;
  const auto q = file.db.queue("q", 1);
  auto jobs = q.jobs("w");
  CHECK_FALSE(jobs.next(0ms).has_value());
  CHECK(time_of([&] { CHECK_FALSE(jobs.next(30ms).has_value()); }) >= 30ms);
  {
    const Joined enqueueing(soon([&] { q.enqueue("1"); }));
    auto job = jobs.next();
    REQUIRE(job.has_value());
    CHECK(job->payload() == "1");
    CHECK(job->worker_id() == "w");
    CHECK(job->attempts() == 1);
    CHECK(job->claim_expires_at() <= now() + 1);
    CHECK_FALSE(job->cancelled());
    CHECK_FALSE(job->wait_cancelled(1ms));
  }
  // Nobody commits, and the claim lapses. The next one is for longer.
  auto again = file.db.queue("q").jobs("w2").next(long_time);
  REQUIRE(again.has_value());
  CHECK(again->attempts() == 2);
  CHECK(again->ack());
  // The first one has lost its job, which is nothing to wait for. A job that becomes due is.
  q.enqueue("later", 1);
  const auto due_at = *q.next_claim_at();
  auto later = jobs.next(0ms);
  // It may be due already: the second may have been over at once.
  CHECK(later.has_value() <= (now() >= due_at));
  if (!later) later = jobs.next(long_time);
  REQUIRE(later.has_value());
  CHECK(later->payload() == "later");
}

TEST_CASE("a job that is released has not been tried") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue("1");
  auto job = q.claim_one("w");
  CHECK(job->release());
  CHECK_FALSE(job->release());
  const auto before = now();
  job = q.claim_one("w");
  REQUIRE(job.has_value());
  CHECK(job->attempts() == 1);
  {
    auto tx = file.db.begin();
    CHECK(job->release_tx(tx, 60));
    tx.commit();
  }
  CHECK_FALSE(q.claim_one("w").has_value());
  CHECK(*q.next_claim_at() >= before + 60);
}

TEST_CASE("jobs in a for loop") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue_many({"1", "2", "3"});
  std::string seen;
  auto jobs = q.jobs("w");
  for (auto& job : jobs) {
    seen += job.payload();
    CHECK(job.ack());
    if (seen.size() == 3) jobs.wake();
  }
  CHECK(seen == "123");
}

TEST_CASE("batches") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue_many({"1", "2", "3"});
  auto jobs = q.jobs("w");
  CHECK(jobs.next_batch(2).size() == 2);
  CHECK(jobs.next_batch(2).size() == 1);
  CHECK(jobs.next_batch(2, 0ms).empty());
  CHECK(jobs.next_batch(0).empty());
  CHECK(jobs.next_batch(smallest).empty());
  CHECK_FAILS(HONKER_UTF8, q.jobs("\xff"));
}

TEST_CASE("settling a job and claiming the next one") {
  using honker::Outcome;
  const File file;
  const auto q = file.db.queue("q", 300, 1);
  q.enqueue_many({"1", "2", "3", "4", "5"});
  auto jobs = q.jobs("w");
  auto job = jobs.next();
  auto settled = jobs.settle_next(*job, Outcome::ack(), 0ms);
  CHECK(settled.held);
  REQUIRE(settled.next.has_value());
  CHECK(settled.next->payload() == "2");
  CHECK(file.count("_honker_live") == 4);
  CHECK_FALSE(jobs.settle_next(*job, Outcome::ack(), 0ms).held);  // claims the third, and forgets it
  settled = jobs.settle_next(*settled.next, Outcome::discard("never"), 0ms);
  CHECK(settled.held);
  CHECK(settled.next->payload() == "4");
  settled = jobs.settle_next(*settled.next, Outcome::retry(0, "\xff zero\0"), 0ms);
  CHECK(settled.held);
  CHECK(settled.next->payload() == "5");
  settled = jobs.settle_next(*settled.next, Outcome::snooze(60), 0ms);
  CHECK(settled.held);
  CHECK_FALSE(settled.next.has_value());
  CHECK(contains(q.dead_json(), "never"));
  CHECK(contains(q.dead_json(), "? zero"));
  CHECK(contains(q.stats_json(), "\"delayed\":1"));
}

TEST_CASE("an exception that says nothing") {
  const File file;
  const auto outbox = file.db.outbox(
      "o", [](std::string_view) { throw Mute(); }, 60, 1);
  outbox.enqueue("1");
  CHECK(outbox.run_once("w"));
  CHECK(contains(outbox.queue().dead_json(), "says nothing"));
}

TEST_CASE("an outbox whose database its delivery closes") {
  const File file;
  honker::Database other(file.path);
  const auto outbox = other.outbox("o", [&](std::string_view) { other.close(); });
  outbox.enqueue("1");
  std::atomic<bool> stop{false};
  CHECK_FAILS(HONKER_CLOSED_HANDLE, outbox.run("w", stop));
  CHECK(file.count("_honker_live WHERE state = 'processing'") == 1);
}

#ifdef __cpp_lib_jthread

TEST_CASE("loops that a token stops") {
  const File file;
  std::stop_source source;
  const auto outbox = file.db.outbox("o", [&](std::string_view) { source.request_stop(); });
  outbox.enqueue("1", 1);
  {
    const Joined scheduling(std::thread([&] { file.db.scheduler().run(source.get_token()); }));
    outbox.run("w", source.get_token());
  }
  CHECK(file.count("_honker_live") == 0);
  CHECK(file.count("_honker_locks") == 0);
  outbox.run("w", source.get_token());  // stopped before it began
}

#endif

TEST_CASE("an outbox") {
  const File file;
  std::vector<std::string> delivered;
  const auto mails = file.db.outbox("mails", [&](std::string_view json) {
    delivered.emplace_back(json);
    if (json == "bad") throw std::runtime_error("refused: \xff");
    if (json == "odd") throw NoException();
  });
  CHECK(mails.name() == "mails");
  CHECK(mails.queue().name() == "_outbox:mails");
  CHECK_FALSE(mails.run_once("w"));
  const auto good = mails.enqueue(R"({"to":"alice"})");
  CHECK(mails.run_once("w"));
  CHECK(delivered == std::vector<std::string>{R"({"to":"alice"})"});
  CHECK(mails.queue().get_job_json(good).empty());
  {
    auto tx = file.db.begin();
    mails.enqueue_tx(tx, "never");
  }
  CHECK_FALSE(mails.run_once("w"));
  {
    auto tx = file.db.begin();
    mails.enqueue_tx(tx, "bad");
    tx.commit();
  }
  // 5, 10, 20 and 40 seconds later; the fifth failure is the last.
  for (const int wait : {5, 10, 20, 40}) {
    const auto before = now();
    CHECK(mails.run_once("w"));
    const std::int64_t at = mails.queue().next_claim_at().value();
    CHECK(at >= before + wait);
    CHECK(at <= now() + wait);
    file.run("UPDATE _honker_live SET run_at = unixepoch()");
  }
  CHECK(mails.run_once("w"));
  CHECK(delivered.size() == 6);
  CHECK(contains(mails.queue().dead_json(), "refused: ?"));
  CHECK(file.count("_honker_live") == 0);

  const auto other = file.db.outbox(
      "other", [](std::string_view) { throw NoException(); }, 60, 1);
  honker::EnqueueOptions options;
  options.priority = 7;
  other.enqueue("odd", options);
  CHECK(other.run_once("w"));
  CHECK(contains(other.queue().dead_json(), "no std::exception"));
  CHECK_FAILS(HONKER_INVALID, file.db.outbox("none", nullptr));
  CHECK_FAILS(HONKER_INVALID, file.db.outbox("none", honker::Outbox::Delivery()));
  CHECK_FAILS(HONKER_UTF8, other.run_once("\xff"));
}

TEST_CASE("an outbox that runs") {
  const File file;
  std::atomic<bool> stop{false};
  std::atomic<int> failures{2};
  std::vector<std::string> delivered;
  const auto mails = file.db.outbox(
      "mails",
      [&](std::string_view json) {
        delivered.emplace_back(json);
        if (json == "bad" && failures-- > 0) throw std::runtime_error("busy");
        if (json == "stop") stop = true;
      },
      60, 5, 0);
  mails.enqueue("bad");
  const Joined enqueueing(std::thread([&] {
    wait_until([&] { return failures < 0; });  // what is tried again in a later second would come after it
    mails.enqueue("stop", 1);
  }));
  mails.run("w", stop);
  CHECK(delivered == std::vector<std::string>{"bad", "bad", "bad", "stop"});
  CHECK(file.count("_honker_live") == 0);
  mails.enqueue("left");
  mails.run("w", stop);
  CHECK(file.count("_honker_live") == 1);
}

TEST_CASE("a delivery that took too long is somebody else's") {
  const File file;
  const auto slow = file.db.outbox("o", [&](std::string_view) {
    file.run("UPDATE _honker_live SET claim_expires_at = unixepoch() - 1");
    CHECK(file.db.queue("_outbox:o").claim_one("thief").has_value());
    throw std::runtime_error("too late");
  });
  const auto id = slow.enqueue("1");
  CHECK(slow.run_once("w"));
  CHECK(contains(slow.queue().get_job_json(id), "thief"));
}

TEST_CASE("the scheduler runs, and hands over") {
  const File file;
  const auto scheduler = file.db.scheduler();
  const auto holder = [&] {
    const auto rows = file.db.query("SELECT owner FROM _honker_locks WHERE name = 'honker-scheduler'");
    return rows.empty() ? std::string() : rows[0][0].text();
  };
  std::atomic<bool> stop_first{false};
  std::atomic<bool> stop_second{false};
  std::thread first([&] { scheduler.run(stop_first, "first"); });
  wait_until([&] { return holder() == "first"; });
  std::thread second([&] { scheduler.run(stop_second, "second"); });
  // Added while it waits for nothing.
  auto jobs = file.db.queue("health").jobs("w");
  scheduler.add("pulse", "health", "@every 1s", "beat");
  auto beat = jobs.next(long_time);
  REQUIRE(beat.has_value());
  CHECK(beat->payload() == "beat");
  CHECK(holder() == "first");
  CHECK(beat->ack());
  stop_first = true;
  first.join();
  wait_until([&] { return holder() == "second"; });
  CHECK(jobs.next(long_time).has_value());
  stop_second = true;
  second.join();
  CHECK(holder().empty());
  // Each second once.
  CHECK(
      file.db.query("SELECT count(*) FROM (SELECT run_at FROM _honker_live GROUP BY run_at HAVING count(*) > 1)")[0][0]
          .integer() == 0);
  scheduler.run(stop_second);  // stopped before it began
}

TEST_CASE("leaders") {
  const File file;
  const auto scheduler = file.db.scheduler();
  std::optional<honker::Leader> first = scheduler.leader("first");
  auto second = scheduler.leader();
  CHECK(first->next(0ms).empty());
  CHECK(first->leads());
  CHECK(second.next(0ms).empty());
  CHECK_FALSE(second.leads());
  scheduler.add("n", "q", "@every 1s", "1");
  const auto fires = first->next(long_time);
  REQUIRE_FALSE(fires.empty());
  CHECK(fires[0].name == "n");
  CHECK(fires[0].queue == "q");
  CHECK(fires[0].fire_at <= now() + 1);
  CHECK(file.db.queue("q").claim_one("w")->id() == fires[0].job_id);
  // Destroyed, it hands over, and the other one is woken.
  {
    const Joined going(soon([&] { first.reset(); }));
    CHECK(second.next(long_time).size() >= 1);
  }
  CHECK(second.leads());
  // Robbed, it stops, and does not touch the thief's lock.
  file.run("UPDATE _honker_locks SET owner = 'thief', expires_at = unixepoch() + 60");
  CHECK(second.next(1500ms).empty());
  CHECK_FALSE(second.leads());
  second.resign();
  CHECK(file.db.query("SELECT owner FROM _honker_locks")[0][0].text() == "thief");
  CHECK_FAILS(HONKER_UTF8, scheduler.leader("\xff"));
}
