// Other processes: a child that was forked, and one that is killed.

#include <csignal>

#include "support.hpp"

#if defined(__unix__) || defined(__APPLE__)

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

#endif
