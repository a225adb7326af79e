// Opening, closing, and what a Database does by itself: results and notifications.

#include <fstream>

#include "support.hpp"

using honker::Database;

TEST_CASE("the ways to open a file") {
  const Directory directory;
  const std::string path = directory / "app.db";
  CHECK(Database(path).path() == path);
  CHECK(Database{path, "./libhonker.so"}.path() == path);
  for (const char* backend : {"", "auto", "poll", "polling", "kernel", "kernel-watcher", "shm", "shm-fast-path"}) {
    CHECK(Database(path, "", backend, 20).path() == path);
  }
  CHECK(Database("file:" + path).query("SELECT 1").size() == 1);
  CHECK(Database::open(std::nothrow, path)->path() == path);
  CHECK_FALSE(Database(path).warning().has_value());  // 64-bit Linux has none

  CHECK_FAILS(HONKER_INVALID, Database(path, "", "fast"));
  CHECK_FAILS(HONKER_INVALID, Database(path, "", "auto", 0));
  CHECK_REFUSED(HONKER_INVALID, Database::open(std::nothrow, path, "", "fast"));
  CHECK_REFUSED(HONKER_INVALID, Database::open(std::nothrow, path, "", "", -1));
}

TEST_CASE("options") {
  honker::Options options;
  for (const auto mode : {honker::JournalMode::wal, honker::JournalMode::remove, honker::JournalMode::truncate,
                          honker::JournalMode::persist}) {
    options.journal_mode = mode;
    const File file(options);
    static const char* const names[] = {"wal", "delete", "truncate", "persist"};
    auto tx = file.db.begin();
    CHECK(tx.query("PRAGMA journal_mode")[0][0].text() == names[static_cast<int>(mode)]);
  }
  const auto pragma = [](const honker::Options& with, const char* name) {
    const File file(with);
    auto tx = file.db.begin();
    return tx.query(std::string("PRAGMA ") + name)[0][0].integer();
  };
  CHECK(pragma({}, "synchronous") == 1);
  options = {};
  options.durability = honker::Durability::full;
  options.wal_autocheckpoint_pages = 123;
  CHECK(pragma(options, "synchronous") == 2);
  CHECK(pragma({}, "wal_autocheckpoint") == 10000);
  CHECK(pragma(options, "wal_autocheckpoint") == 123);

  const Directory directory;
  const auto open = [&](const honker::Options& with) { Database(directory / "app.db", with); };
  options = {};
  options.busy_timeout_ms = -1;
  CHECK_FAILS(HONKER_INVALID, open(options));
  options = {};
  options.readers_max = 0;
  CHECK_FAILS(HONKER_INVALID, open(options));
  options = {};
  options.wal_autocheckpoint_pages = 0xffffffff;
  CHECK_FAILS(HONKER_INVALID, open(options));
  options = {};
  options.durability = static_cast<honker::Durability>(9);
  CHECK_REFUSED(HONKER_INVALID, Database::open(std::nothrow, directory / "app.db", options));
}

TEST_CASE("files that cannot be opened") {
  const Directory directory;
  CHECK_FAILS(HONKER_CANNOT_OPEN, Database(directory / "no/such/directory/app.db"));
  CHECK_REFUSED(HONKER_CANNOT_OPEN, Database::open(std::nothrow, directory / "no/such/directory/app.db"));
  CHECK_FAILS(HONKER_INVALID, Database(":memory:"));
  CHECK_FAILS(HONKER_INVALID, Database(""));
  CHECK_FAILS(HONKER_UTF8, Database("\xff.db"));
  CHECK_FAILS(HONKER_INVALID, Database(std::string_view("a\0b", 3)));

  std::ofstream(directory / "text.db") << std::string(8192, 'x');
  const auto corrupt = Database::open(std::nothrow, directory / "text.db");
  REQUIRE_FALSE(corrupt.ok());
  CHECK(corrupt.error().status() == HONKER_CORRUPT);
  CHECK(corrupt.error().sqlite_code() == 26);  // SQLITE_NOTADB
  CHECK(corrupt.error().sqlite_extended_code() == 26);
}

TEST_CASE("close") {
  File file;
  const auto q = file.db.queue("q");
  q.enqueue("1");
  file.db.close();
  file.db.close();
  CHECK(file.db.close(std::nothrow).ok());
  CHECK(file.db.path() == file.path);
  CHECK_FALSE(std::filesystem::exists(file.path + "-wal"));

  CHECK_FAILS(HONKER_CLOSED_HANDLE, q.enqueue("2"));
  CHECK_THROWS_AS(q.enqueue("2"), honker::ClosedError);
  CHECK_FAILS(HONKER_CLOSED_HANDLE, file.db.query("SELECT 1"));
  CHECK_FAILS(HONKER_CLOSED_HANDLE, file.db.begin());
  CHECK_FAILS(HONKER_CLOSED_HANDLE, file.db.interrupt());
  CHECK_FAILS(HONKER_CLOSED_HANDLE, file.db.try_lock("l"));
  CHECK_FAILS(HONKER_CLOSED_HANDLE, file.db.stream("s").read_since(0));
  CHECK_FAILS(HONKER_CLOSED_HANDLE, file.db.scheduler().tick());
  CHECK_FAILS(HONKER_CLOSED_HANDLE, file.db.get_result(1));
  const auto refused = q.claim_one(std::nothrow, "w");
  REQUIRE_FALSE(refused.ok());
  CHECK(contains(refused.error().what(), file.path));
  CHECK(q.claim_batch("w", 0).empty());

  CHECK(Database(file.path).queue("q").claim_batch("w", 5).size() == 1);
}

TEST_CASE("results") {
  const File file;
  const auto q = file.db.queue("q");
  CHECK_FALSE(file.db.get_result(7).has_value());
  file.db.save_result(7, "first");
  q.save_result(7, "second", 60);
  CHECK(file.db.get_result(7) == "second");
  file.db.save_result(8, "");
  CHECK(file.db.get_result(8) == "");

  auto tx = file.db.begin();
  file.db.save_result_tx(tx, 9, "undone");
  CHECK(file.db.save_result_tx(std::nothrow, tx, 9, "undone").ok());
  tx.rollback();
  CHECK_FALSE(file.db.get_result(9).has_value());

  file.run("UPDATE _honker_results SET expires_at = unixepoch() WHERE job_id = 7");
  CHECK_FALSE(file.db.get_result(7).has_value());
  CHECK(file.db.sweep_results() == 1);
  CHECK(file.db.sweep_results() == 0);
  CHECK(file.db.get_result(8) == "");  // no ttl: it stays
}

TEST_CASE("notifications") {
  const File file;
  const auto first = file.db.notify("c", "1");
  CHECK(file.db.notify("c", "2") > first);
  {
    auto tx = file.db.begin();
    CHECK(file.db.notify_tx(tx, "c", "3") > first);
    CHECK(file.count("_honker_notifications") == 2);
    tx.commit();
  }
  CHECK(file.db.query("SELECT channel, payload FROM _honker_notifications")[2]["payload"].text() == "3");

  CHECK(file.db.prune_notifications(std::nullopt) == 0);
  CHECK(file.db.prune_notifications(3600) == 0);
  CHECK(file.db.prune_notifications(3600, largest) == 0);
  CHECK_FAILS(HONKER_INVALID, file.db.prune_notifications(std::nullopt, -1));
  CHECK(file.db.prune_notifications(std::nullopt, 2) == 1);
  CHECK(file.db.prune_notifications(-1) == 2);
}

TEST_CASE("a query only reads") {
  const File file;
  CHECK_FAILS(HONKER_READONLY, file.db.query("DELETE FROM _honker_live"));
  CHECK_FAILS(HONKER_SQL, file.db.query("SELECT honker_enqueue('q', '1')"));
  CHECK_FAILS(HONKER_SQL, file.db.query("no SQL"));
}

TEST_CASE("statistics of all queues") {
  const File file;
  CHECK(file.db.stats_json() == "[]");
  CHECK(contains(file.db.status_json(), R"("file":)"));
  file.db.queue("a").enqueue("1");
  file.db.queue("b").enqueue("1", 60);
  CHECK(contains(file.db.stats_json(), R"("queue":"a","pending":1)"));
  CHECK(contains(file.db.stats_json(), R"("queue":"b","pending":0,"delayed":1)"));
}

TEST_CASE("the dead of all queues") {
  const File file;
  for (const char* name : {"a", "b"}) {
    file.db.queue(name).enqueue("1");
    CHECK(file.db.queue(name).claim_one("w")->fail(name));
  }
  CHECK(contains(file.db.dead_json(), R"("last_error":"a")"));
  CHECK(contains(file.db.dead_json(), R"("last_error":"b")"));
  CHECK_FALSE(contains(file.db.dead_json(1), R"("last_error":"a")"));  // newest first
  CHECK(file.db.dead_purge(3600) == 0);
  CHECK(file.db.dead_purge(-1) == 2);
}

TEST_CASE("versions") {
  CHECK(contains(honker::build_info(), std::string("\"version\":\"") + honker::version() + "\""));
}
