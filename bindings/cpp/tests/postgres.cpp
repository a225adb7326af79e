// A Postgres server, and jobs that are enqueued with libpq. CMakeLists.txt starts the server.

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "honker/libpq.hpp"
#include "support.hpp"

namespace {

std::string server() {
  const char* const url = std::getenv("HONKER_POSTGRES_URL");
  REQUIRE(url != nullptr);
  return url;
}

honker::Database open() { return honker::Database(server() + "&honker_migrate=on"); }

class Connection {
 public:
  Connection() : connection_(PQconnectdb(server().c_str()), PQfinish) { REQUIRE(PQstatus(get()) == CONNECTION_OK); }

  PGconn* get() const { return connection_.get(); }

  bool execute(const char* sql) const {
    const std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQexec(get(), sql), PQclear);
    return PQresultStatus(result.get()) == PGRES_COMMAND_OK;
  }

 private:
  std::unique_ptr<PGconn, void (*)(PGconn*)> connection_;
};

// A worker in a thread of its own.
class Working {
 public:
  explicit Working(honker::Worker worker) : worker_(std::move(worker)), thread_([this] { run(); }) {}
  ~Working() {
    worker_.stop();
    thread_.join();
  }

  bool has(const std::string& payload) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::find(done_.begin(), done_.end(), payload) != done_.end();
  }

 private:
  void run() {
    worker_.run([this](honker::Job& job) {
      const std::lock_guard<std::mutex> lock(mutex_);
      done_.push_back(job.payload());
    });
  }

  honker::Worker worker_;
  std::mutex mutex_;
  std::vector<std::string> done_;
  std::thread thread_;
};

template <class F>
honker::Error error_of(F&& f) {
  try {
    f();
  } catch (const honker::Error& error) {
    return error;
  }
  FAIL("there was no error");
  return honker::Error(HONKER_OK, "");
}

}  // namespace

TEST_CASE("everything works on a URL") {
  const auto db = open();
  CHECK(db.status_json().find("\"postgres\":\"") != std::string::npos);
  Working worker(honker::Worker(server(), {{"api"}}, "worker"));  // it opens the URL itself
  auto subscription = db.listen("api");
  auto events = db.stream("api").subscribe("consumer");
  {
    auto tx = db.begin();
    tx.execute("DROP TABLE IF EXISTS api");
    tx.execute("CREATE TABLE api (id bigint PRIMARY KEY, name text)");
    tx.execute("INSERT INTO api VALUES (?, ?2), (?, 'a ? in a text')", {1, "alice", 2});
    db.queue("api").enqueue_tx(tx, "in a transaction");
    db.stream("api").publish_tx(tx, "event");
    db.notify_tx(tx, "api", "hello");
    tx.commit();
  }
  wait_until([&] { return worker.has("in a transaction"); });
  CHECK(events.next(std::chrono::seconds(60))->payload == "event");
  CHECK(subscription.recv(std::chrono::seconds(60))->payload == "hello");
  CHECK(db.query("SELECT name FROM api WHERE id = ?", {2})[0][0].text() == "a ? in a text");

  const auto scheduler = db.scheduler();
  scheduler.add("api", "api", "@every 1s", "scheduled");
  wait_until([&] { return scheduler.tick(std::nullopt).size() < 100 && worker.has("scheduled"); });
  CHECK(scheduler.remove("api"));
}

TEST_CASE("answers that are JSON are read without SQLite") {
  const auto db = open();
  const auto queue = db.queue("json");
  honker::QueueChanges changes;
  changes.retry = honker::Backoff{7, 1.5, 70, 0.25};
  changes.concurrency = 3;
  queue.configure(changes);
  const auto settings = queue.settings();
  CHECK(settings.queue == "json");
  CHECK(settings.concurrency == 3);
  REQUIRE(settings.retry.has_value());
  CHECK(settings.retry->factor == 1.5);
  CHECK(settings.retry->jitter == 0.25);
  CHECK_FALSE(db.queues().empty());

  honker::EnqueueOptions options;
  options.metadata = R"({"trace":"1"})";
  const auto batch = db.create_batch(honker::BatchOptions());
  options.batch_id = batch.id();
  const auto id = queue.enqueue("1", options);
  honker::JobFilter filter;
  filter.queue = "json";
  const auto page = db.jobs(filter).page();
  REQUIRE(page.jobs.size() == 1);
  CHECK(page.jobs[0].id == id);
  CHECK(page.jobs[0].batch_id == batch.id());
  CHECK(page.jobs[0].metadata == R"({"trace":"1"})");
  CHECK(batch.get()->total == 1);
  CHECK(db.jobs(filter).apply(honker::JobAction::cancel()).changed == 1);
}

TEST_CASE("a job may say on a server how long it runs") {
  const auto db = open();
  std::atomic<bool> is_cancelled = false;
  honker::EnqueueOptions options;
  options.max_run_s = 1;
  options.max_attempts = 1;
  db.queue("limited").enqueue("1", options);
  std::string why;
  honker::WorkerOptions telling;
  telling.on_error = [&why](const honker::Failure& failure) { why = failure.outcome.error(); };
  auto worker = db.worker({{"limited"}}, "worker", telling);
  std::thread stopping([&] {
    wait_until([&] { return db.queue("limited").stats_json().find("\"dead\":1") != std::string::npos; });
    worker.stop();
  });
  worker.run([&](honker::Job& job) {
    wait_until([&] { return job.cancelled(); });
    is_cancelled = true;
  });
  stopping.join();
  CHECK(is_cancelled);
  CHECK(why == "timeout after 1 s");
  CHECK(db.queue("limited").dead_json().find("timeout after 1 s") != std::string::npos);
}

TEST_CASE("a job goes with the transaction of libpq") {
  const auto db = open();
  const Connection connection;
  CHECK(connection.execute("CREATE TEMPORARY TABLE orders (id int)"));
  Working worker(db.worker({{"own"}}, "worker"));
  CHECK(connection.execute("BEGIN"));
  honker::enqueue_sql(connection.get(), "own", "rolled back");
  CHECK(connection.execute("ROLLBACK"));
  CHECK(connection.execute("BEGIN"));
  CHECK(connection.execute("INSERT INTO orders VALUES (1)"));
  honker::enqueue_sql(connection.get(), "own", "committed");
  CHECK(connection.execute("COMMIT"));
  wait_until([&] { return worker.has("committed"); });
  CHECK_FALSE(worker.has("rolled back"));
}

TEST_CASE("libpq enqueues with all options") {
  const auto db = open();
  const Connection connection;
  honker::EnqueueOptions options;
  options.delay_s = 100;
  options.expires_s = 200;
  options.priority = -3;
  options.max_attempts = 7;
  options.metadata = R"({"trace":"1"})";
  options.unique_key = "k";
  const auto added = honker::enqueue_sql(connection.get(), "options", "{}", options);
  CHECK(added.status == honker::EnqueueStatus::enqueued);
  const auto again = honker::enqueue_sql(connection.get(), "options", "{}", options);
  CHECK(again.status == honker::EnqueueStatus::exists);
  CHECK(again.id == added.id);
  honker::JobFilter filter;
  filter.queue = "options";
  const auto listed = db.jobs(filter).page().jobs.at(0);
  CHECK(listed.run_at == listed.created_at + 100);
  CHECK(listed.expires_at == listed.created_at + 200);
  options.on_conflict = honker::OnConflict::replace;
  CHECK(honker::enqueue_sql(connection.get(), "options", "[]", options).status == honker::EnqueueStatus::replaced);
  const auto job = db.jobs(filter).page().jobs.at(0);
  CHECK(job.payload == "[]");
  CHECK(job.priority == -3);
  CHECK(job.max_attempts == 7);
  CHECK(job.metadata == R"({"trace":"1"})");

  const auto batch = db.create_batch(honker::BatchOptions());
  honker::EnqueueOptions of_batch;
  of_batch.batch_id = batch.id();
  honker::enqueue_sql(connection.get(), "members", "1", of_batch);
  batch.seal();
  const auto member = db.queue("members").claim_one("w");
  REQUIRE(member.has_value());
  CHECK(error_of([&] { honker::enqueue_sql(connection.get(), "members", "2", of_batch); }).status() == HONKER_INVALID);
  honker::enqueue_sql(connection.get(), "members", "2", batch.join(*member));
  CHECK(batch.get()->total == 2);
}

TEST_CASE("what libpq's connection refuses is the package's error") {
  const auto db = open();
  const Connection connection;
  const auto refusal = [&](std::string_view queue, const honker::EnqueueOptions& options = {}) {
    return error_of([&] { honker::enqueue_sql(connection.get(), queue, "1", options); }).status();
  };
  honker::EnqueueOptions no_batch;
  no_batch.batch_id = 1'000'000;
  CHECK(refusal("own", no_batch) == HONKER_INVALID);  // HK001
  CHECK(refusal(std::string_view("a\0b", 3)) == HONKER_INVALID);
  CHECK(connection.execute("BEGIN"));
  CHECK_FALSE(connection.execute("SELECT 1/0"));
  CHECK(refusal("own") == HONKER_ABORTED);
  CHECK(connection.execute("ROLLBACK"));
  CHECK(connection.execute("BEGIN READ ONLY"));
  CHECK(refusal("own") == HONKER_READONLY);
  CHECK(connection.execute("ROLLBACK"));
  CHECK(connection.execute("BEGIN"));
  CHECK(connection.execute("DO $$ BEGIN PERFORM honker._move_begin('6d', 'postgres://db.example/app'); END $$"));
  CHECK(refusal("own") == HONKER_MOVED);
  CHECK(connection.execute("ROLLBACK"));
  CHECK_FALSE(connection.execute("SELECT pg_terminate_backend(pg_backend_pid())"));
  CHECK_THROWS_AS(honker::enqueue_sql(connection.get(), "own", "1"), honker::ConnectionError);
}

TEST_CASE("closing ends what waits for a server, and errors have no password") {
  auto db = open();
  std::thread waiting([jobs = db.queue("closing").jobs("w")]() mutable {
    CHECK_THROWS_AS(jobs.next(honker::forever), honker::ClosedError);
  });
  auto worker = db.worker({{"closing too"}}, "worker");
  std::string ended_by;
  std::thread working([&] {
    const auto ended = worker.run(std::nothrow, [](honker::Job&) {});
    REQUIRE_FALSE(ended.ok());
    CHECK(ended.error().is_closed());
    ended_by = ended.error().what();
  });
  const auto id = db.queue("closing too").enqueue("1");
  wait_until([&] { return db.queue("closing too").get_job_json(id).empty(); });
  db.close();
  waiting.join();
  working.join();
  const auto closed = error_of([&] { db.queue("closing").enqueue("1"); });
  CHECK(closed.is_closed());
  CHECK(std::string(closed.what()).find("host=") == std::string::npos);
  CHECK(ended_by.find("host=") == std::string::npos);
  CHECK(honker::detail::name_of("postgres://me:s@cret@h:1/app?password=x") == "postgres://h:1/app");
  CHECK(honker::detail::name_of("postgres://h/app") == "postgres://h/app");
  CHECK(honker::detail::name_of("a@b?c") == "a@b?c");

  const auto away = error_of([] { honker::Database("postgres://me:secret@localhost/app?host=/nowhere"); });
  CHECK(away.is_connection());
  CHECK(away.is_transient());
  CHECK(away.status() == -33);
  CHECK(std::string(away.what()).find("secret") == std::string::npos);
  CHECK(error_of([] { honker::Database("postgres://localhost/app?no=1"); }).status() == HONKER_INVALID);
}
