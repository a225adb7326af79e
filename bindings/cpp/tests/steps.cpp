// Steps of jobs.

#include <stdexcept>
#include <string>

#include "support.hpp"

using honker::Job;
using honker::Result;
using honker::Transaction;

namespace {

struct Point {
  int x = 0;
};

}  // namespace

template <>
struct honker::Codec<Point> {
  static std::string encode(const Point& point) { return std::to_string(point.x); }
  static Point decode(std::string_view text) { return {std::stoi(std::string(text))}; }
};

namespace {

// A file with one job, which is claimed, and a table.
struct Claimed : File {
  honker::Queue q = db.queue("q");
  std::int64_t id = q.enqueue("1");
  Job job = *q.claim_one("w");

  Claimed() { run("CREATE TABLE rows (x)"); }

  // The next attempt.
  void again() {
    CHECK(job.release());
    job = *q.claim_one("w");
  }
};

}  // namespace

TEST_CASE("a step is run once, whatever is retried") {
  Claimed file;
  int runs = 0;
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto text = file.job.step("text", [&] { return "run " + std::to_string(++runs); });
    static_assert(std::is_same_v<decltype(text), const std::string>);
    CHECK(text == "run 1");
    CHECK(file.job.step("literal", [&] { return ++runs == 2 ? "two" : "more"; }) == "two");
    const Point point = file.job.step("point", [&] { return Point{++runs}; });
    CHECK(point.x == 3);
    file.job.step("nothing", [&] { ++runs; });
    CHECK(file.job.step("", [] { return std::string(); }) == "");
    file.again();
  }
  CHECK(runs == 4);
  CHECK(file.db.get_step(file.id, "text") == "run 1");
  CHECK(file.db.get_step(file.id, "nothing") == "null");
  CHECK_FALSE(file.db.get_step(file.id, "other").has_value());
  CHECK(file.job.fail("dead"));
  CHECK(file.db.get_step(file.id, "text") == "run 1");
  CHECK(file.q.dead_requeue(file.id));
  CHECK(file.q.claim_one("w")->step("text", [] { return "again"; }) == "run 1");
}

TEST_CASE("a step that fails is not done") {
  Claimed file;
  int runs = 0;
  const auto throws = [&]() -> std::string {
    ++runs;
    throw NoException();
  };
  CHECK_THROWS_AS(file.job.step("s", throws), NoException);
  CHECK_REFUSED(HONKER_INVALID, file.job.step(std::nothrow, "s", throws));
  CHECK_REFUSED(HONKER_IO, file.job.step(std::nothrow, "s", [&]() -> Result<std::string> {
    ++runs;
    return honker::Error(HONKER_IO, "no");
  }));
  CHECK_FAILS(HONKER_IO, file.job.step("s", [&]() -> Result<void> { return honker::Error(HONKER_IO, "no"); }));
  CHECK_FAILS(HONKER_UTF8, file.job.step("s", [] { return "\xff"; }));
  CHECK(runs == 3);
  CHECK_FALSE(file.db.get_step(file.id, "s").has_value());
  const auto made = file.job.step(std::nothrow, "s", [&]() -> Result<Point> { return Point{5}; });
  CHECK(made->x == 5);
  file.job.step("text", [] { return "no number"; });
  CHECK_THROWS_AS(file.job.step("text", [] { return Point{}; }), std::invalid_argument);
  CHECK_REFUSED(HONKER_INVALID, file.job.step(std::nothrow, "text", [] { return Point{}; }));
}

TEST_CASE("a step with a transaction is done together with what it writes") {
  Claimed file;
  const auto insert = [](Transaction& tx) {
    tx.execute("INSERT INTO rows VALUES (1)");
    return "done";
  };
  CHECK(file.job.step("own", insert) == "done");
  file.again();
  CHECK(file.job.step("own", insert) == "done");
  CHECK(file.count("rows") == 1);

  const auto breaks = [&](Transaction& tx) {
    insert(tx);
    throw NoException();
  };
  CHECK_THROWS_AS(file.job.step("breaks", breaks), NoException);
  CHECK_REFUSED(HONKER_INVALID, file.job.step(std::nothrow, "breaks", breaks));
  CHECK(file.count("rows") == 1);

  auto tx = file.db.begin();
  CHECK(file.job.step_tx(tx, "given", [&] { return insert(tx); }) == "done");
  CHECK(file.job.step_tx(tx, "given too", insert) == "done");
  tx.rollback();
  CHECK(file.count("rows") == 1);
  CHECK_FALSE(file.db.get_step(file.id, "given").has_value());
  tx = file.db.begin();
  file.job.step_tx(tx, "given", insert);
  CHECK(file.job.ack_tx(tx));
  tx.commit();
  CHECK(file.count("rows") == 2);
}

TEST_CASE("a step of a job that was lost is not done") {
  Claimed file;
  const auto lose = [&] { return file.q.cancel(file.id) ? "lost" : "not lost"; };
  CHECK_THROWS_AS(file.job.step("s", lose), honker::LostError);
  CHECK_REFUSED(HONKER_LOST, file.job.step(std::nothrow, "s", [] { return "late"; }));
  CHECK_THROWS_AS(file.job.step("tx", [](Transaction& tx) { tx.execute("INSERT INTO rows VALUES (1)"); }),
                  honker::LostError);
  CHECK(file.count("rows") == 0);
  CHECK_FALSE(file.db.get_step(file.id, "s").has_value());
}

TEST_CASE("steps under a worker") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue("1");
  honker::WorkerOptions options;
  options.retry_base_s = 0;
  options.log = [](honker::LogLevel, const std::string&) {};
  auto worker = q.worker("w", options);
  int charged = 0;
  worker.run([&](Job& job) {
    CHECK(job.step("charge", [&] { return ++charged == 1 ? "paid" : "paid twice"; }) == "paid");
    if (job.attempts() < 3) throw std::runtime_error("no network");
    worker.stop();
  });
  CHECK(charged == 1);
}

namespace {

// What a step may have come to that has no text.
struct NoText {};

}  // namespace

template <>
struct honker::Codec<NoText> {
  static std::string encode(const NoText&) { throw std::runtime_error("there is no text"); }
  static NoText decode(std::string_view) { return {}; }
};

TEST_CASE("a step that has run, and whose value has no text, is not run again") {
  const File file;
  file.run("CREATE TABLE rows (x)");
  const auto q = file.db.queue("q");
  honker::WorkerOptions options;
  options.retry_base_s = 0;
  options.log = [](honker::LogLevel, const std::string&) {};
  int runs = 0;
  const auto no_text = [&] {
    ++runs;
    return NoText();
  };
  const auto writes = [&](Transaction& tx) {
    tx.execute("INSERT INTO rows VALUES (1)");
    return no_text();
  };
  const auto no_utf8 = [&] {
    ++runs;
    return "\xff";
  };
  // What SQLite says of a gigabyte, without one.
  file.run(
      "CREATE TRIGGER too_big BEFORE INSERT ON _honker_steps WHEN NEW.value = 'huge' "
      "BEGIN SELECT zeroblob(1000000001 + 0 * NEW.job_id); END");
  const auto huge = [&] {
    ++runs;
    return "huge";
  };
  for (const char* payload : {"value", "transaction", "text", "size", "last"}) q.enqueue(payload);
  auto worker = q.worker("w", options);
  worker.run([&](Job& job) {
    if (job.payload() == "value") job.step("charge", no_text);
    if (job.payload() == "transaction") job.step("charge", writes);
    if (job.payload() == "text") job.step("charge", no_utf8);
    if (job.payload() == "size") job.step("charge", huge);
    worker.stop();
  });
  CHECK(runs == 4);
  CHECK(file.count("rows") == 0);
  const auto dead = file.db.jobs({}).page().jobs;
  REQUIRE(dead.size() == 4);
  for (const auto& job : dead) {
    CHECK(job.state == honker::JobState::dead);
    CHECK(job.last_error->rfind("step charge has run, and is not saved: ", 0) == 0);
  }
  CHECK(dead.back().last_error->find("there is no text") != std::string::npos);

  q.enqueue("by hand");
  const auto job = *q.claim_one("w");
  CHECK_THROWS_AS(job.step("charge", no_text), honker::UnsavedStepError);
  const auto refused = job.step(std::nothrow, "charge", writes);
  CHECK(refused.error().is_unsaved_step());
  CHECK(refused.error().status() == HONKER_INVALID);
}
