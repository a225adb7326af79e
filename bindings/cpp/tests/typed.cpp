// What is optional: typed payloads, the application's own connection, the hook around enqueue, and the helpers for
// tests.

#include "honker/typed.hpp"

#include <stdexcept>
#include <string>
#include <vector>

#include "honker/testing.hpp"
#include "support.hpp"
#if __has_include(<nlohmann/json.hpp>)
#include "honker/json.hpp"
#endif
#ifdef HONKER_TESTS_SQLITE3
#include "honker/sqlite3.hpp"
#endif

using honker::Job;
using honker::Outcome;
using honker::testing::advance;
using honker::testing::assert_enqueued;
using honker::testing::run_due;
using honker::testing::TemporaryDatabase;

namespace {

struct Resize {
  int width;
};

}  // namespace

template <>
struct honker::Codec<Resize> {
  static std::string encode(const Resize& resize) { return std::to_string(resize.width); }
  static Resize decode(std::string_view payload) {
    if (payload.empty() || payload.find_first_not_of("0123456789") != payload.npos)
      throw std::invalid_argument("no width");
    return {std::stoi(std::string(payload))};
  }
};

TEST_CASE("a payload of a type, and one that is something else") {
  TemporaryDatabase db;
  const auto q = db->queue("images");
  q.enqueue(honker::encode(Resize{640}));
  q.enqueue("{\"version\":2}");
  std::vector<int> seen;
  const auto drained = run_due(q, honker::typed<Resize>([&](const Resize& resize, Job& job) {
                                 CHECK(job.queue() == "images");
                                 seen.push_back(resize.width);
                               }));
  CHECK(seen == std::vector<int>{640});
  CHECK(drained.acked == 1);
  CHECK(drained.errors == std::vector<std::string>{"the payload cannot be decoded: no width"});
  CHECK(contains(q.dead_json(), "the payload cannot be decoded: no width"));
  q.enqueue("1");
  CHECK(run_due(q, honker::typed<Resize>([](const Resize&) { return Outcome::snooze(60); })).given_back == 1);
}

TEST_CASE("each queue has a handler of its own") {
  TemporaryDatabase db;
  db->enqueue_many({{"images", "1"}, {"other", "2"}});
  int handled = 0;
  const auto handler = honker::by_queue({{"images", honker::typed<Resize>([&](const Resize&) { ++handled; })}});
  CHECK(run_due(db->queue("images"), handler).acked == 1);
  CHECK(run_due(db->queue("other"), handler).errors.size() == 1);
  CHECK(handled == 1);
  CHECK(contains(db->queue("other").dead_json(), "no handler for the queue other"));
}

#ifdef HONKER_JSON_HPP

namespace {

struct SendEmail {
  std::string to;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SendEmail, to)

}  // namespace

TEST_CASE("payloads as JSON") {
  TemporaryDatabase db;
  const auto q = db->queue("emails");
  q.enqueue(honker::encode(SendEmail{"alice@example.com"}));
  assert_enqueued(*db, "emails", R"({"to":"alice@example.com"})");
  q.enqueue("no JSON");
  q.enqueue(R"({"version":2})");
  std::string to;
  const auto drained = run_due(q, honker::typed<SendEmail>([&](const SendEmail& email) { to = email.to; }));
  CHECK(to == "alice@example.com");
  CHECK(drained.acked == 1);
  CHECK(drained.errors.size() == 2);
  CHECK(contains(q.stats_json(), R"("pending":0,"delayed":0,"claimed":0,"expired":0,"dead":2)"));
}

#endif

TEST_CASE("the helpers of tests") {
  TemporaryDatabase db;
  const auto q = db->queue("q", 300, 2);
  q.enqueue("first", 3600);
  CHECK(run_due(q, [](Job&) {}).acked == 0);
  assert_enqueued(*db, "q", "first");
  assert_enqueued(*db, "q", [](const std::string& payload) { return payload.size() == 5; });
  CHECK_THROWS_WITH_AS(assert_enqueued(*db, "q", "second"), "no such job in q; there is:\n  first", std::logic_error);
  CHECK_THROWS_WITH_AS(assert_enqueued(*db, "r", "first"), "no such job in r; there is none", std::logic_error);

  advance(*db, 3600);
  const auto fails = [](Job&) { throw std::runtime_error("later"); };
  CHECK(run_due(q, fails).errors == std::vector<std::string>{"later"});
  CHECK(run_due(q, fails).errors.empty());  // not due
  advance(*db, 60);
  CHECK(run_due(q, fails).errors.size() == 1);
  CHECK(contains(q.stats_json(), R"("dead":1)"));

  // A thrown outcome is as good as a returned one.
  q.enqueue_many({"snoozed", "discarded", "done"});
  const auto thrown = run_due(q, [](Job& job) {
    if (job.payload() == "snoozed") throw Outcome::snooze(60);
    if (job.payload() == "discarded") throw Outcome::discard("never");
    throw Outcome::ack();
  });
  CHECK(thrown.given_back == 1);
  CHECK(thrown.errors == std::vector<std::string>{"never"});
  CHECK(thrown.acked == 1);
  CHECK(contains(q.stats_json(), R"("pending":0,"delayed":1,"claimed":0,"expired":0,"dead":2)"));

  q.enqueue("again");
  CHECK(run_due(q, [](Job&) { return Outcome::release(); }).given_back == 1);
  assert_enqueued(*db, "q", "again");
  // What a handler enqueues is handled too.
  int handled = 0;
  CHECK(run_due(q, [&](Job& job) {
          ++handled;
          if (job.payload() == "again") q.enqueue("more");
        }).acked == 2);
  CHECK(handled == 2);
}

TEST_CASE("a hook around everything that enqueues") {
  std::vector<std::string> seen;
  honker::Options options;
  options.around_enqueue = [&](std::vector<honker::JobSpec>& jobs, const std::function<void()>& next) {
    for (auto& job : jobs) {
      seen.push_back(job.queue + " " + job.payload);
      if (job.payload == "refused") throw std::runtime_error("not today");
      if (job.payload == "dropped") return;
      job.options.metadata = R"({"traceparent":"00-1"})";
    }
    next();
    next();  // once is enough
    throw NoException();
  };
  const File file(options);
  const auto q = file.db.queue("q");
  q.enqueue("1");
  q.enqueue_many({"2"});
  file.db.enqueue_many({{"r", "3"}});
  auto tx = file.db.begin();
  q.enqueue_tx(tx, "4");
  tx.commit();
  file.db.outbox("o", [](std::string_view) {}).enqueue("5");
  CHECK(seen == std::vector<std::string>{"q 1", "q 2", "r 3", "q 4", "_outbox:o 5"});
  CHECK(q.claim_one("w")->metadata() == R"({"traceparent":"00-1"})");
  CHECK_FAILS(HONKER_INVALID, q.enqueue("dropped"));
  CHECK_REFUSED(HONKER_INVALID, q.enqueue(std::nothrow, "refused"));
  CHECK(file.count("_honker_live") == 5);
}

#ifdef HONKER_SQLITE3_HPP

TEST_CASE("jobs are enqueued through a connection of the application's own") {
  const File file;
  const auto q = file.db.queue("q");
  sqlite3* connection = nullptr;
  REQUIRE(sqlite3_open(file.path.c_str(), &connection) == SQLITE_OK);
  sqlite3_busy_timeout(connection, 20000);  // the package writes as well, when it is woken
  const auto sql = [&](const char* text) {
    CHECK(sqlite3_exec(connection, text, nullptr, nullptr, nullptr) == SQLITE_OK);
  };

  sql("BEGIN");
  honker::enqueue_sql(connection, "q", "rolled back");
  sql("ROLLBACK");
  sql("BEGIN");
  honker::EnqueueOptions later;
  later.delay_s = 60;
  later.priority = 7;
  later.max_attempts = 10;
  later.expires_s = 600;
  const auto id = honker::enqueue_sql(connection, "q", "later", later);
  sql("COMMIT");
  CHECK(file.count("_honker_live") == 1);
  const auto job = q.get_job_json(id);
  CHECK(contains(job, R"("priority":7)"));
  CHECK(contains(job, R"("max_attempts":10)"));
  CHECK(file.count("_honker_live WHERE run_at = created_at + 60 AND expires_at = created_at + 600") == 1);

  // A worker that sleeps is woken by the commit.
  auto jobs = q.jobs("w");
  {
    const Joined enqueueing(soon([&] { honker::enqueue_sql(connection, "q", "now"); }));
    CHECK(jobs.next(long_time)->payload() == "now");
  }  // it may not have left the connection yet

  later.metadata = "{}";
  CHECK_FAILS(HONKER_UNSUPPORTED, honker::enqueue_sql(connection, "q", "1", later));
  CHECK_FAILS(HONKER_INVALID, honker::enqueue_sql(connection, std::string_view("q\0", 2), "1"));
  later.metadata = "";
  const auto check_unsupported = [&](auto change) {
    auto options = later;
    change(options);
    CHECK_REFUSED(HONKER_UNSUPPORTED, honker::enqueue_sql(std::nothrow, connection, "q", "1", options));
  };
  check_unsupported([](auto& options) { options.unique_key = "k"; });
  check_unsupported([](auto& options) { options.concurrency_key = "k"; });
  check_unsupported([](auto& options) { options.batch_id = 1; });
  check_unsupported([](auto& options) { options.member = honker::BatchMember{1, "w"}; });
  check_unsupported([](auto& options) { options.max_run_s = 1; });
  honker::QueueChanges changes;
  changes.max_attempts = 5;
  file.db.queue("set").configure(changes);
  honker::enqueue_sql(connection, "set", "1");
  CHECK(file.db.queue("set").claim_one("w")->max_attempts() == 5);
  later.run_at = largest;
  CHECK_FAILS(HONKER_INVALID, honker::enqueue_sql(connection, "q", "1", later));
  {
    auto tx = file.db.begin();
    sqlite3_busy_timeout(connection, 0);
    CHECK_REFUSED(HONKER_BUSY, honker::enqueue_sql(std::nothrow, connection, "q", "1"));
  }
  CHECK(sqlite3_close(connection) == SQLITE_OK);
}

#endif
