// What runs until it is told to stop: workers, the scheduler, outboxes.

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support.hpp"

namespace {

struct NoException {};

struct Mute : std::exception {
  const char* what() const noexcept override { return nullptr; }
};

void ignore(honker::Job&) {}

// Waits until `done` is true, which it has to become.
template <class Done>
void wait_until(Done&& done) {
  for (int i = 0; i < 2000 && !done(); ++i) std::this_thread::sleep_for(10ms);
  CHECK(done());
}

}  // namespace

TEST_CASE("a worker waits for jobs") {
  const File file;
  const auto q = file.db.queue("q", 1);
  auto worker = q.worker("w");
  CHECK_FALSE(worker.next(0ms).has_value());
  CHECK(time_of([&] { CHECK_FALSE(worker.next(30ms).has_value()); }) >= 30ms);
  {
    const Joined enqueueing(soon([&] { q.enqueue("1"); }));
    auto job = worker.next();
    REQUIRE(job.has_value());
    CHECK(job->payload() == "1");
    CHECK(job->worker_id() == "w");
    CHECK(job->attempts() == 1);
    CHECK(job->claim_expires_at() <= now() + 1);
  }
  // Nobody commits, and the claim lapses.
  auto again = q.worker("w2").next(long_time);
  REQUIRE(again.has_value());
  CHECK(again->attempts() == 2);
  CHECK(again->ack());
  // A job that becomes due, likewise.
  q.enqueue("later", 1);
  CHECK(worker.next(0ms) == std::nullopt);
  CHECK(worker.next(4s).has_value());
}

TEST_CASE("batches") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue_many({"1", "2", "3"});
  auto worker = q.worker("w");
  CHECK(worker.next_batch(2).size() == 2);
  CHECK(worker.next_batch(2).size() == 1);
  CHECK(worker.next_batch(2, 0ms).empty());
  CHECK(worker.next_batch(0).empty());
  CHECK(worker.next_batch(smallest).empty());
  CHECK_FAILS(HONKER_UTF8, q.worker("\xff"));
}

TEST_CASE("settling a job and claiming the next one") {
  const File file;
  const auto q = file.db.queue("q", 300, 1);
  q.enqueue_many({"1", "2", "3", "4"});
  auto worker = q.worker("w");
  auto job = worker.next();
  auto settled = worker.settle_next(honker::Settlement::ack(*job), 0ms);
  CHECK(settled.held);
  REQUIRE(settled.next.has_value());
  CHECK(settled.next->payload() == "2");
  CHECK(file.count("_honker_live") == 3);
  CHECK_FALSE(worker.settle_next(honker::Settlement::ack(*job), 0ms).held);  // claims the third, and forgets it
  settled = worker.settle_next(honker::Settlement::fail(*settled.next, "never"), 0ms);
  CHECK(settled.held);
  CHECK(settled.next->payload() == "4");
  settled = worker.settle_next(honker::Settlement::retry(*settled.next, 0, "\xff zero\0"), 0ms);
  CHECK(settled.held);
  CHECK_FALSE(settled.next.has_value());
  CHECK(contains(q.dead_json(), "never"));
  CHECK(contains(q.dead_json(), "? zero"));
}

TEST_CASE("a worker that runs: what returns is done, what throws is tried again") {
  const File file;
  const auto q = file.db.queue("q", 300, 2);
  const auto good = q.enqueue("good");
  const auto bad = q.enqueue("bad");
  const auto odd = q.enqueue("odd");
  const auto mine = q.enqueue("mine");
  auto worker = q.worker("w");
  std::atomic<bool> stop{false};
  std::multiset<std::string> seen;
  const auto handler = [&](honker::Job& job) {
    seen.insert(job.payload());
    stop = seen.size() == 7;
    if (job.payload() == "bad") throw std::runtime_error("no such \xff address");
    if (job.payload() == "odd") throw NoException();
    if (job.payload() == "mine") CHECK(job.fail("settled by the handler"));
  };
  {
    const Joined enqueueing(soon([&] { q.enqueue("late"); }));
    worker.run(handler, stop, 0);
  }
  CHECK(seen == std::multiset<std::string>{"good", "bad", "bad", "odd", "odd", "mine", "late"});
  CHECK(file.count("_honker_live") == 0);
  CHECK(file.count("_honker_dead") == 3);
  CHECK(contains(q.dead_json(), "no such ? address"));
  CHECK(contains(q.dead_json(), "no std::exception"));
  CHECK(contains(q.dead_json(), "settled by the handler"));
  CHECK(good < bad);
  CHECK(odd < mine);

  // Stopped before it began.
  q.enqueue("left");
  worker.run(handler, stop);
  CHECK(file.count("_honker_live") == 1);
  // A minute is the default, and stop comes in the middle of a job: it is the last.
  const auto next = q.enqueue("next");
  stop = false;
  worker.run(
      [&](honker::Job&) {
        stop = true;
        throw std::runtime_error("later");
      },
      stop);
  CHECK(contains(q.get_job_json(next), "\"attempts\":0"));
  CHECK(*q.next_claim_at() >= now() + 58);
  CHECK(*q.next_claim_at() <= now() + 60);
  CHECK_FAILS(HONKER_INVALID, worker.run(nullptr, stop));
}

TEST_CASE("a worker that runs stops soon, at once if it is woken") {
  const File file;
  auto worker = file.db.queue("q").worker("w");
  std::atomic<bool> stop{false};
  {
    const Joined stopping(soon([&] { stop = true; }));
    CHECK(time_of([&] { worker.run(ignore, stop); }) < 5s);
  }
  stop = false;
  const Joined stopping(soon([&] {
    stop = true;
    worker.wake();
  }));
  CHECK(worker.run(std::nothrow, ignore, stop).ok());
}

TEST_CASE("a worker that runs waits out who holds the write lock, and finds jobs that become due") {
  honker::Options options;
  options.busy_timeout_ms = 5;
  const File file(options);
  const auto q = file.db.queue("q");
  q.enqueue("1");
  q.enqueue("2", 1);
  honker::Database other(file.path);
  auto tx = other.begin();
  auto worker = q.worker("w");
  std::atomic<bool> stop{false};
  std::atomic<int> handled{0};
  const auto begin = std::chrono::steady_clock::now();
  const Joined releasing(soon([&] {
    CHECK(handled == 0);
    tx.rollback();
  }));
  worker.run([&](honker::Job&) { stop = ++handled == 2; }, stop);
  CHECK(std::chrono::steady_clock::now() - begin < 4s);
  CHECK(file.count("_honker_live") == 0);
}

TEST_CASE("an exception that says nothing") {
  const File file;
  const auto q = file.db.queue("q", 300, 1);
  q.enqueue("1");
  std::atomic<bool> stop{false};
  auto worker = q.worker("w");
  worker.run(
      [&](honker::Job&) {
        stop = true;
        throw Mute();
      },
      stop);
  CHECK(contains(q.dead_json(), "says nothing"));
  const auto outbox = file.db.outbox(
      "o", [](std::string_view) { throw Mute(); }, 60, 1);
  outbox.enqueue("1");
  CHECK(outbox.run_once("w"));
  CHECK(contains(outbox.queue().dead_json(), "says nothing"));
}

TEST_CASE("a handler may do what it likes with its job, its worker and its database: what it has done is done") {
  const File file;
  const auto q = file.db.queue("q");
  std::atomic<bool> stop{false};
  for (const bool stops : {false, true}) {
    CAPTURE(stops);
    const auto run = [&](honker::Worker& worker, const std::function<void(honker::Job&)>& handler) {
      q.enqueue("1");
      stop = false;
      auto ended = worker.run(
          std::nothrow,
          [&](honker::Job& job) {
            handler(job);
            stop = stops;
          },
          stop);
      CHECK(ended.ok() == stops);
      CHECK(file.count("_honker_live") == 0);
      return ended;
    };

    auto closed = q.worker("w");
    auto ended = run(closed, [&](honker::Job&) { closed.close(); });
    CHECK((stops || ended.error().is_closed()));

    auto moved = q.worker("w");
    std::optional<honker::Worker> elsewhere;
    ended = run(moved, [&](honker::Job&) { elsewhere = std::move(moved); });
    CHECK((stops || ended.error().status() == HONKER_MISUSE));
    CHECK_FALSE(elsewhere->next(0ms).has_value());

    std::optional<honker::Job> kept;
    auto worker = q.worker("w");
    ended = run(worker, [&](honker::Job& job) {
      kept = std::move(job);
      if (!stops) worker.close();
    });
    CHECK(kept->payload() == "1");
    CHECK_FALSE(kept->ack());
  }

  // A database that is closed takes nothing any more: the job goes to whoever claims next, once its time is over.
  for (const bool stops : {false, true}) {
    honker::Database own(file.path);
    own.queue("q").enqueue("1");
    stop = false;
    auto worker = own.queue("q").worker("w");
    CHECK_FAILS(HONKER_CLOSED_HANDLE, worker.run(
                                          [&](honker::Job&) {
                                            own.close();
                                            stop = stops;
                                          },
                                          stop));
    honker::Database other(file.path);
    const auto outbox = other.outbox("o", [&](std::string_view) { other.close(); });
    outbox.enqueue("1");
    stop = false;
    CHECK_FAILS(HONKER_CLOSED_HANDLE, outbox.run("w", stop));
  }
  CHECK(file.count("_honker_live WHERE state = 'processing'") == 4);
}

TEST_CASE("loops with a rollback journal go on when a look meets a commit") {
  honker::Options options;
  options.journal_mode = honker::JournalMode::remove;
  options.busy_timeout_ms = 0;
  const File file(options);
  const auto q = file.db.queue("q");
  const auto outbox = file.db.outbox("o", [](std::string_view) {});
  auto worker = q.worker("w");
  std::atomic<bool> stop{false};
  std::atomic<int> failed{0};
  const auto check = [&](const honker::Result<void>& ended) {
    if (!ended.ok()) ++failed;
  };
  {
    const Joined working(std::thread([&] { check(worker.run(std::nothrow, ignore, stop)); }));
    const Joined delivering(std::thread([&] { check(outbox.run(std::nothrow, "w", stop)); }));
    // A process of its own would do the same.
    honker::Database other(file.path, options);
    for (int i = 0; i < 1500 && failed == 0; ++i) {
      static_cast<void>(other.queue("other").enqueue(std::nothrow, "1").ok());
      worker.wake();
    }
    stop = true;
  }
  CHECK(failed == 0);
}

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
    CHECK(mails.run_once("w"));
    CHECK_FALSE(mails.run_once("w"));
    const std::int64_t at = mails.queue().next_claim_at().value();
    CHECK(at >= now() + wait - 2);
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
  const Joined enqueueing(soon([&] { mails.enqueue("stop", 1); }));
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
  auto worker = file.db.queue("health").worker("w");
  scheduler.add("pulse", "health", "@every 1s", "beat");
  auto beat = worker.next(4s);
  REQUIRE(beat.has_value());
  CHECK(beat->payload() == "beat");
  CHECK(holder() == "first");
  CHECK(beat->ack());
  stop_first = true;
  CHECK(time_of([&] { first.join(); }) < 2s);
  wait_until([&] { return holder() == "second"; });
  CHECK(worker.next(4s).has_value());
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
  scheduler.add("n", "q", "@every 1s", "1");
  std::optional<honker::Leader> first = scheduler.leader("first");
  auto second = scheduler.leader();
  CHECK(first->next(0ms).empty());
  CHECK(first->leads());
  CHECK(second.next(0ms).empty());
  CHECK_FALSE(second.leads());
  const auto fires = first->next(4s);
  REQUIRE(fires.size() == 1);
  CHECK(fires[0].name == "n");
  CHECK(fires[0].queue == "q");
  CHECK(fires[0].fire_at <= now() + 1);
  CHECK(file.db.queue("q").claim_one("w")->id() == fires[0].job_id);
  // Destroyed, it hands over, and the other one is woken.
  {
    const Joined going(soon([&] { first.reset(); }));
    CHECK(second.next(4s).size() >= 1);
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
