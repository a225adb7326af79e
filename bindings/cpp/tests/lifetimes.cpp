// Objects that outlive the Database they came from, in every order of destruction, and moves.

#include <memory>

#include "support.hpp"

using honker::Database;

TEST_CASE("what came from a database keeps it open") {
  const Directory directory;
  const std::string path = directory / "app.db";
  {
    const auto q = Database(path).queue("q");
    const auto s = Database(path).stream("s");
    const auto scheduler = Database(path).scheduler();
    q.enqueue("1");
    s.publish("1");
    scheduler.add("n", "q", "@every 1h", "1");
    CHECK(std::filesystem::exists(path + "-wal"));
    auto job = Database(path).queue("q").claim_one("w");
    REQUIRE(job.has_value());
    CHECK(job->heartbeat(10));
    CHECK(job->ack());
    auto lock = Database(path).try_lock("l");
    REQUIRE(lock.has_value());
    CHECK(lock->heartbeat());
    auto tx = Database(path).begin();
    tx.execute("CREATE TABLE t (x)");
    tx.commit();
  }
  CHECK_FALSE(std::filesystem::exists(path + "-wal"));  // the last one closed it
  CHECK(Database(path).query("SELECT count(*) FROM _honker_locks")[0][0].integer() == 0);
  CHECK(Database(path).query("SELECT count(*) FROM t")[0][0].integer() == 0);
}

TEST_CASE("a transaction that outlives its database is rolled back and closes it") {
  const Directory directory;
  const std::string path = directory / "app.db";
  {
    auto db = std::make_unique<Database>(path);
    const auto q = db->queue("q");
    auto tx = db->begin();
    db.reset();
    q.enqueue_tx(tx, "1");
  }
  CHECK_FALSE(std::filesystem::exists(path + "-wal"));
  CHECK(Database(path).query("SELECT count(*) FROM _honker_live")[0][0].integer() == 0);
}

TEST_CASE("a database that is closed with everything still there") {
  const Directory directory;
  const std::string path = directory / "app.db";
  Database db(path);
  const auto q = db.queue("q");
  q.enqueue("1");
  auto job = q.claim_one("w");
  auto lock = db.try_lock("l");
  auto tx = db.begin();
  q.enqueue_tx(tx, "2");
  db.close();
  std::filesystem::remove(path);
  CHECK_FAILS(HONKER_CLOSED_HANDLE, job->ack());
  CHECK_FAILS(HONKER_CLOSED_HANDLE, lock->release());
  CHECK_FAILS(HONKER_CLOSED_HANDLE, q.enqueue_tx(tx, "3"));
  CHECK_FALSE(tx.commit(std::nothrow).ok());
  // Their destructors have nothing left to do, and do not mind.
}

TEST_CASE("moving a database") {
  const Directory directory;
  Database first(directory / "first.db");
  const auto q = first.queue("q");
  Database second(std::move(first));
  q.enqueue("1");
  CHECK(second.queue("q").claim_one("w").has_value());
  CHECK_FAILS(HONKER_MISUSE, first.queue("q").enqueue("1"));
  CHECK_FAILS(HONKER_MISUSE, first.close());

  second = Database(directory / "second.db");
  CHECK(second.path() == directory / "second.db");
  q.enqueue("2");  // still open, because of q
  first = std::move(second);
  CHECK(first.queue("q").enqueue("1") == 1);

  static_assert(!std::is_copy_constructible_v<Database>);
  static_assert(!std::is_copy_constructible_v<honker::Job>);
  static_assert(!std::is_copy_constructible_v<honker::Lock>);
  static_assert(std::is_nothrow_move_constructible_v<Database>);
  static_assert(std::is_nothrow_move_constructible_v<honker::Job>);
  static_assert(std::is_nothrow_move_constructible_v<honker::Lock>);
  static_assert(std::is_nothrow_move_constructible_v<honker::Transaction>);
  static_assert(std::is_nothrow_destructible_v<honker::Lock>);
}

TEST_CASE("texts outlive what they were read from") {
  const Directory directory;
  std::string payload;
  std::vector<honker::StreamEvent> events;
  honker::Rows rows;
  {
    Database db(directory / "app.db");
    db.queue("q").enqueue(std::string(1000, 'x'));
    payload = db.queue("q").claim_one("w")->payload();
    db.stream("s").publish(std::string(1000, 'y'));
    events = db.stream("s").read_since(0);
    rows = db.query("SELECT payload FROM _honker_stream");
    db.close();
  }
  CHECK(payload == std::string(1000, 'x'));
  CHECK(events[0].payload == std::string(1000, 'y'));
  CHECK(rows[0]["payload"].text() == std::string(1000, 'y'));
}

TEST_CASE("a lock whose thread has a transaction open is left to its time") {
  const File file;
  auto lock = file.db.try_lock("l");
  {
    auto tx = file.db.begin();
    lock.reset();  // its release would have to wait for the transaction of the same thread
  }
  CHECK(file.count("_honker_locks") == 1);
}
