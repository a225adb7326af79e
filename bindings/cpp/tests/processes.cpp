// Other processes: a child that was forked, and one that is killed.

#include <atomic>
#include <csignal>
#include <optional>
#include <thread>

#include "support.hpp"
#ifdef HONKER_TESTS_SQLITE3
#include "honker/sqlite3.hpp"
#endif

// A fork may catch a lock of AddressSanitizer's allocator in the hands of another thread, such as the one that watches
// a file. The child then hangs in malloc.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED_ADDRESSES
#endif
#endif

#if (defined(__unix__) || defined(__APPLE__)) && !defined(SANITIZED_ADDRESSES)

#include <sys/wait.h>
#include <unistd.h>

namespace {

// Runs `body` in a forked child; what it returns, or minus the signal that ended it. The child's destructors do not
// run.
template <class Body>
int in_child(Body&& body) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int code = 99;
    try {
      code = body();
    } catch (...) {
    }
    _exit(code);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

TEST_CASE("a forked child cannot use what it has inherited, and may destroy it") {
  File file;
  const auto q = file.db.queue("q");
  q.enqueue("1");
  std::optional<honker::Job> job = q.claim_one("w");
  std::optional<honker::Lock> lock = file.db.try_lock("l", "me");
  std::optional<honker::Transaction> tx = file.db.begin();
  const int code = in_child([&] {
    if (status_of([&] { q.enqueue("2"); }) != HONKER_FORKED) return 1;
    if (status_of([&] { job->ack(); }) != HONKER_FORKED) return 2;
    if (status_of([&] { tx->commit(); }) != HONKER_FORKED) return 3;
    if (q.claim_one(std::nothrow, "w").error().status() != HONKER_FORKED) return 4;
    job.reset();
    lock.reset();
    tx.reset();
    // One that it opens itself works.
    honker::Database own(file.path);
    if (own.queue("q").stats_json().empty()) return 5;
    file.db = std::move(own);
    return 0;
  });
  CHECK(code == 0);
  // The parent's are as they were.
  q.enqueue_tx(*tx, "2");
  tx->commit();
  CHECK(job->ack());
  CHECK(lock->heartbeat());
  CHECK(q.claim_one("w")->payload() == "2");
}

TEST_CASE("what a killed process leaves behind") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue("1");
  const int code = in_child([&] {
    honker::Database own(file.path);
    auto job = own.queue("q", 1).claim_one("child");
    auto lock = own.try_lock("l", "child", 1);
    auto tx = own.begin();
    own.queue("q").enqueue_tx(tx, "never");
    if (job && lock) kill(getpid(), SIGKILL);
    return 0;
  });
  CHECK(code == -SIGKILL);
  // The transaction never happened; the job and the lock are the child's until their time is over.
  CHECK(file.count("_honker_live") == 1);
  CHECK(file.count("_honker_locks") == 1);
  file.run("UPDATE _honker_live SET claim_expires_at = unixepoch() - 1");
  file.run("UPDATE _honker_locks SET expires_at = unixepoch()");
  CHECK(q.claim_one("w")->attempts() == 2);
  CHECK(file.db.try_lock("l").has_value());
}

#ifdef __linux__

TEST_CASE("the jobs of a worker that is killed go to others at once") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue("1");
  honker::WorkerOptions options;
  options.log = [](honker::LogLevel, const std::string&) {};
  const int code = in_child([&] {
    honker::Database own(file.path);
    own.queue("q").worker("host-7", options).run([](honker::Job&) { kill(getpid(), SIGKILL); });
    return 0;
  });
  CHECK(code == -SIGKILL);

  // Who has it is the given id and the process.
  const auto instance_of = [](const std::string& worker_id) {
    CHECK(worker_id.compare(0, 7, "host-7@") == 0);
    CHECK(worker_id.size() == 39);
    return worker_id.substr(7);
  };
  auto worker = q.worker("host-7", options);
  std::string instance;
  worker.run([&](honker::Job& job) {  // long before the 300 seconds of its claim are over
    instance = instance_of(job.worker_id());
    CHECK(job.attempts() == 2);
    CHECK(job.heartbeat(300));
    worker.stop();
  });
  CHECK(instance.find_first_not_of("0123456789abcdef") == std::string::npos);
  q.enqueue("2");
  CHECK(q.claim_one("host-7")->worker_id() == "host-7");
}

#endif

TEST_CASE("a forked child cannot wait with what it has inherited") {
  File file;
  auto updates = file.db.updates();
  auto listener = file.db.listen("c");
  std::optional<honker::StreamSubscription> events = file.db.stream("s").subscribe("c");
  std::optional<honker::Jobs> jobs = file.db.queue("q").jobs("w");
  const auto waiter = file.db.waiter();
  std::optional<honker::Leader> leader = file.db.scheduler().leader("me");
  CHECK(leader->next(0ms).empty());
  const int code = in_child([&] {
    if (status_of([&] { updates.wait(0ms); }) != HONKER_FORKED) return 1;
    if (status_of([&] { listener.recv(0ms); }) != HONKER_FORKED) return 2;
    if (status_of([&] { waiter.fd(); }) != HONKER_FORKED) return 3;
    if (status_of([&] { listener.wake(); }) != HONKER_FORKED) return 4;
    if (status_of([&] { jobs->next(0ms); }) != HONKER_FORKED) return 5;
    if (status_of([&] { file.db.updates(); }) != HONKER_FORKED) return 6;
    events.reset();
    jobs.reset();
    leader.reset();
    listener.close();
    honker::Database own(file.path);
    auto own_updates = own.updates();
    own.notify("c", "from the child");
    return own_updates.wait(long_time) ? 0 : 7;
  });
  CHECK(code == 0);
  CHECK(listener.recv(long_time)->payload == "from the child");
  CHECK(updates.wait(long_time));
  CHECK(leader->leads());
  CHECK(file.count("_honker_locks") == 1);
}

TEST_CASE("another SQLite, in another process, wakes") {
  const File file;
  auto listener = file.db.listen("c");
  auto jobs = file.db.queue("q").jobs("w");
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    execlp("python3", "python3", "-c",
           "import sqlite3, sys, time\n"
           "time.sleep(0.1)\n"
           "db = sqlite3.connect(sys.argv[1], timeout=20)\n"
           "with db: db.execute(\"INSERT INTO _honker_notifications (channel, payload) VALUES ('c', 'foreign')\")\n"
           "with db: db.execute(\"INSERT INTO _honker_live (queue, payload) VALUES ('q', 'foreign')\")\n",
           file.path.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  const auto notification = listener.recv(long_time);
  const auto job = jobs.next(long_time);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WEXITSTATUS(status) == 127) return;  // there is no python3
  CHECK(status == 0);
  REQUIRE(notification.has_value());
  CHECK(notification->payload == "foreign");
  REQUIRE(job.has_value());
  CHECK(job->payload() == "foreign");
}

TEST_CASE("two workers in two processes share a hundred jobs") {
  const Directory directory;
  const std::string path = directory / "app.db";
  honker::Database(path).stream("done");  // the file is there
  // Handles jobs until there has been none for a while; each leaves an event.
  const auto work = [&path](const std::string& name) {
    honker::Database db(path);
    auto worker = db.queue("q").worker(name);
    const auto done = db.stream("done");
    worker.run([&](honker::Job& job) {
      done.publish(job.payload(), name);
      if (job.payload() == "stop") worker.stop();
    });
    return 0;
  };
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int code = 99;
    try {
      code = work("child");
    } catch (...) {
    }
    _exit(code);
  }
  honker::Database db(path);
  const auto q = db.queue("q");
  std::thread enqueueing([&] {
    for (int i = 0; i < 100; ++i) {
      q.enqueue(std::to_string(i));
      if (i % 10 == 0) std::this_thread::sleep_for(5ms);
    }
    while (db.stream("done").read_since(0).size() < 100) std::this_thread::sleep_for(10ms);
    q.enqueue("stop");
    q.enqueue("stop");
  });
  CHECK(work("parent") == 0);
  enqueueing.join();
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  const auto rows = db.query("SELECT count(*), count(DISTINCT payload), count(DISTINCT key) FROM _honker_stream");
  CHECK(rows[0][0].integer() == 102);
  CHECK(rows[0][1].integer() == 101);
  CHECK(rows[0][2].integer() == 2);
  CHECK(db.query("SELECT count(*) FROM _honker_live")[0][0].integer() == 0);
}

TEST_CASE("a worker whose standard output and error are closed is not stopped by what it says") {
  const Directory directory;
  const std::string path = directory / "app.db";
  const int code = in_child([&] {
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    const Joined later(soon([&] { honker::Database(path).queue("q").enqueue("1"); }));
    honker::Worker worker(path, {{"q"}}, "w");  // says that the file is not there yet
    return worker.run([&](honker::Job&) { worker.stop(); }).settled == 1 ? 0 : 1;
  });
  CHECK(code == 0);
}

TEST_CASE("signals for a child that was forked stop its worker, and not its parent's") {
  struct sigaction of_tests = {};
  struct sigaction initial = {};
  initial.sa_handler = SIG_DFL;
  REQUIRE(sigaction(SIGTERM, &initial, &of_tests) == 0);
  const File file;
  const auto q = file.db.queue("q");
  const auto of_child = file.db.queue("child");
  std::atomic<int> done{0};
  auto worker = q.worker("parent");
  std::thread running([&] { worker.run([&](honker::Job&) { ++done; }); });
  q.enqueue("1");
  wait_until([&] { return done == 1; });
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int code = 99;
    try {
      honker::Worker own(file.path, {{"child"}}, "child");
      code = own.run([](honker::Job&) {}).settled == 1 ? 0 : 1;
    } catch (...) {
    }
    _exit(code);
  }
  of_child.enqueue("1");
  wait_until([&] { return file.count("_honker_live") == 0; });
  kill(child, SIGTERM);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  q.enqueue("2");
  wait_until([&] { return done == 2; });
  worker.stop();
  running.join();
  sigaction(SIGTERM, &of_tests, nullptr);
}

#ifdef HONKER_SQLITE3_HPP

TEST_CASE("a worker in another process sees what the application's own connection commits, and nothing else") {
  const Directory directory;
  const std::string path = directory / "app.db";
  // Started before the file is there, and stopped by a signal.
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    signal(SIGTERM, SIG_DFL);
    int code = 99;
    try {
      honker::Worker worker(path, {{"q"}}, "child");
      const auto report = worker.run([](honker::Job& job) {
        auto tx = job.begin();
        tx.execute("INSERT INTO done VALUES (?)", {job.payload()});
        if (job.ack_tx(tx)) tx.commit();
      });
      code = report.settled == 50 && report.running == 0 ? 0 : 1;
    } catch (...) {
    }
    _exit(code);
  }
  const honker::Database db(path);  // the package has the file open in this process as well
  sqlite3* connection = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &connection) == SQLITE_OK);
  sqlite3_busy_timeout(connection, 20000);
  const auto sql = [&](const char* text) {
    CHECK(sqlite3_exec(connection, text, nullptr, nullptr, nullptr) == SQLITE_OK);
  };
  sql("CREATE TABLE done (payload TEXT)");
  for (int i = 0; i < 50; ++i) {
    sql("BEGIN IMMEDIATE");
    honker::enqueue_sql(connection, "q", "never");
    sql("ROLLBACK");
    sql("BEGIN IMMEDIATE");
    honker::enqueue_sql(connection, "q", std::to_string(i));
    sql("COMMIT");
  }
  wait_until([&] { return db.query("SELECT count(DISTINCT payload) FROM done")[0][0].integer() == 50; });
  CHECK(db.query("SELECT count(*) FROM done")[0][0].integer() == 50);
  CHECK(db.query("SELECT count(*) FROM _honker_live")[0][0].integer() == 0);
  CHECK(sqlite3_close(connection) == SQLITE_OK);
  kill(child, SIGTERM);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

#endif

TEST_CASE("a listener and a killed process") {
  const File file;
  auto events = file.db.stream("s").subscribe("parent");
  const int code = in_child([&] {
    honker::Database own(file.path);
    const auto s = own.stream("s");
    for (int i = 1; i <= 12; ++i) s.publish(std::to_string(i));
    honker::SubscribeOptions options;
    options.consumer = "child";
    options.save_every_n = 5;
    options.save_every_ms = 0;
    auto theirs = s.subscribe(options);
    for (int i = 1; i <= 12; ++i) theirs.next();
    kill(getpid(), SIGKILL);
    return 0;
  });
  CHECK(code == -SIGKILL);
  CHECK(events.next(long_time)->payload == "1");
  CHECK(file.db.stream("s").subscribe("child").next(0ms)->payload == "11");
}

#endif
