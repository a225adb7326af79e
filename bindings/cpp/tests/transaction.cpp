// Transactions.

#include <stdexcept>

#include "support.hpp"

TEST_CASE("committed together") {
  const File file;
  file.run("CREATE TABLE orders (id INTEGER PRIMARY KEY, total)");
  const auto q = file.db.queue("q");
  auto tx = file.db.begin();
  CHECK(tx.execute("INSERT INTO orders (id, total) VALUES (?, ?)", {42, 99}) == 1);
  const auto id = q.enqueue_tx(tx, "1");
  CHECK(tx.query("SELECT count(*) FROM _honker_live")[0][0].integer() == 1);
  CHECK(tx.query("SELECT honker_enqueue('q', '2')")[0][0].integer() == id + 1);
  CHECK(file.count("orders") == 0);
  CHECK(file.count("_honker_live") == 0);
  tx.commit();
  CHECK(file.count("orders") == 1);
  CHECK(file.count("_honker_live") == 2);
}

TEST_CASE("rolled back by the destructor, on an exception too") {
  const File file;
  const auto q = file.db.queue("q");
  const auto events = file.db.stream("s");
  {
    auto tx = file.db.begin();
    q.enqueue_tx(tx, "1");
  }
  try {
    auto tx = file.db.begin();
    q.enqueue_tx(tx, "1");
    q.enqueue_many_tx(tx, {"2", "3"});
    events.publish_tx(tx, "1");
    file.db.notify_tx(tx, "c", "1");
    throw std::runtime_error("changed my mind");
  } catch (const std::runtime_error&) {
  }
  CHECK(file.count("_honker_live") == 0);
  CHECK(file.count("_honker_stream") == 0);
  CHECK(file.count("_honker_notifications") == 0);
  q.enqueue("1");  // the writer is free
}

TEST_CASE("over is over") {
  const File file;
  const auto q = file.db.queue("q");
  {
    auto tx = file.db.begin();
    q.enqueue_tx(tx, "1");
    tx.commit();
    tx.commit();
    tx.rollback();
    CHECK(tx.commit(std::nothrow).ok());
    CHECK_FAILS(HONKER_MISUSE, q.enqueue_tx(tx, "2"));
    CHECK_FAILS(HONKER_MISUSE, tx.execute("DELETE FROM _honker_live"));
    CHECK_FAILS(HONKER_MISUSE, tx.query("SELECT 1"));
  }
  CHECK(file.count("_honker_live") == 1);
  {
    auto tx = file.db.begin();
    q.enqueue_tx(tx, "2");
    tx.rollback();
    tx.rollback();
    CHECK(tx.rollback(std::nothrow).ok());
    CHECK_FAILS(HONKER_MISUSE, tx.commit());  // it would be a lie
    CHECK_REFUSED(HONKER_MISUSE, tx.commit(std::nothrow));
  }
  CHECK(file.count("_honker_live") == 1);
}

TEST_CASE("a commit that fails") {
  const File file;
  file.run("CREATE TABLE parent (id INTEGER PRIMARY KEY)");
  file.run("CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED)");
  auto tx = file.db.begin();
  file.db.queue("q").enqueue_tx(tx, "1");
  tx.execute("INSERT INTO child VALUES (1)");
  REQUIRE(tx.query("PRAGMA foreign_keys")[0][0].integer() == 1);
  CHECK_THROWS_AS(tx.commit(), honker::ConstraintError);
  CHECK_FAILS(HONKER_MISUSE, tx.commit());
  tx.rollback();
  CHECK(file.count("_honker_live") == 0);
}

TEST_CASE("a statement that fails leaves the transaction as it was") {
  const File file;
  file.run("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  auto tx = file.db.begin();
  tx.execute("INSERT INTO t VALUES (1)");
  CHECK_THROWS_AS(tx.execute("INSERT INTO t VALUES (2), (1)"), honker::ConstraintError);
  CHECK_FAILS(HONKER_SQL, tx.execute("no SQL"));
  CHECK_FAILS(HONKER_SQL, tx.query("SELECT * FROM nobody"));
  tx.commit();
  CHECK(file.count("t") == 1);
}

TEST_CASE("moving") {
  const File file;
  const auto q = file.db.queue("q");
  auto first = file.db.begin();
  q.enqueue_tx(first, "1");
  auto second = std::move(first);
  q.enqueue_tx(second, "2");

  CHECK_FAILS(HONKER_MISUSE, first.execute("SELECT 1"));
  CHECK_FAILS(HONKER_MISUSE, first.commit());
  CHECK_FAILS(HONKER_MISUSE, first.rollback());
  second.commit();
  // Without a transaction it would be enqueued at once: what was moved from is not "no transaction".
  CHECK_FAILS(HONKER_MISUSE, q.enqueue_tx(first, "3"));
  CHECK(file.count("_honker_live") == 2);

  // An assignment rolls back what was there.
  const File other;
  auto tx = other.db.begin();
  other.db.queue("q").enqueue_tx(tx, "1");
  tx = file.db.begin();
  q.enqueue_tx(tx, "3");
  tx.commit();
  CHECK(other.count("_honker_live") == 0);
  CHECK(file.count("_honker_live") == 3);
  static_assert(!std::is_copy_constructible_v<honker::Transaction>);
}

TEST_CASE("transactions do not nest, and stay in their database") {
  const File file;
  const File other;
  auto tx = file.db.begin();
  CHECK_FAILS(HONKER_MISUSE, file.db.begin());
  CHECK_FAILS(HONKER_MISUSE, file.db.queue("q").enqueue("1"));
  CHECK_FAILS(HONKER_MISUSE, other.db.queue("q").enqueue_tx(tx, "1"));
  tx.commit();
  CHECK(file.count("_honker_live") == 0);
  CHECK(other.count("_honker_live") == 0);
}
