// For tests of applications: a database of its own, handlers that run here and now, what was enqueued, and a clock that
// the test moves. Not part of honker.hpp.
//
// Threads: everything happens in the one that calls.

#ifndef HONKER_TESTING_HPP
#define HONKER_TESTING_HPP

#include <chrono>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "database.hpp"

namespace honker {
namespace testing {

/// A database in a new directory below that for temporary files, both removed with this.
class TemporaryDatabase {
 public:
  explicit TemporaryDatabase(const Options& options = {})
      : directory_(make_directory()), db_((directory_ / "test.db").string(), options) {}
  TemporaryDatabase(const TemporaryDatabase&) = delete;
  TemporaryDatabase& operator=(const TemporaryDatabase&) = delete;
  ~TemporaryDatabase() {
    static_cast<void>(db_.close(std::nothrow).ok());
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  Database& operator*() noexcept { return db_; }
  Database* operator->() noexcept { return &db_; }

 private:
  static std::filesystem::path make_directory() {
    auto path = std::filesystem::temp_directory_path() / ("honker-" + detail::random_owner());
    std::filesystem::create_directory(path);
    return path;
  }

  std::filesystem::path directory_;
  Database db_;
};

/// What run_due() has done.
struct Drained {
  std::int64_t acked = 0;
  /// Why jobs have failed, in order: what handlers threw, and the errors of retries and discards.
  std::vector<std::string> errors;
  /// Jobs that were snoozed or released.
  std::int64_t given_back = 0;
};

/// Handles every job of a queue that is due, one by one, in this thread, also those that handlers enqueue meanwhile,
/// and settles it as a Worker does: a job that failed is due again later, which advance() may make now. `handler` is
/// one of Worker::run(). A job that was released is not handled again.
template <class Function>
Drained run_due(const Queue& queue, Function&& function) {
  Drained drained;
  auto jobs = queue.jobs("honker::testing");
  std::vector<Job> released;
  const auto now = std::chrono::milliseconds(0);
  for (auto job = jobs.next(now); job;) {
    std::exception_ptr thrown;
    const auto outcome = detail::caught_outcome([&] { return detail::outcome_of(function, *job); },
                                                [](const std::string& error) { return Outcome::retry(error); }, thrown);
    if (outcome.is_failure()) {
      drained.errors.push_back(outcome.error());
    } else {
      ++(outcome.kind() == HONKER_SETTLE_ACK ? drained.acked : drained.given_back);
    }
    if (outcome.kind() == HONKER_SETTLE_RELEASE) {
      released.push_back(std::move(*job));
      job = jobs.next(now);
    } else {
      job = jobs.settle_next(*job, outcome, now).next;
    }
  }
  for (Job& job : released) job.release();
  return drained;
}

/// The payloads of the jobs of a queue that have not been done, oldest first.
inline std::vector<std::string> enqueued(const Database& db, std::string_view queue) {
  std::vector<std::string> payloads;
  for (const auto& row : db.query("SELECT payload FROM _honker_live WHERE queue = ?1 ORDER BY id", {queue})) {
    payloads.push_back(row[0].text());
  }
  return payloads;
}

/// Throws a std::logic_error, which says what there is, unless a queue has a job whose payload is, or for which
/// `matches`, says so.
inline void assert_enqueued(const Database& db, std::string_view queue,
                            const std::function<bool(const std::string& payload)>& matches) {
  std::string there;
  for (const std::string& payload : enqueued(db, queue)) {
    if (matches(payload)) return;
    there += "\n  " + payload;
  }
  throw std::logic_error("no such job in " + std::string(queue) + "; there is" +
                         (there.empty() ? " none" : ":" + there));
}
inline void assert_enqueued(const Database& db, std::string_view queue, std::string_view payload) {
  assert_enqueued(db, queue, [&](const std::string& other) { return other == payload; });
}

/// Moves the clock of the file forward: what lies in the future, jobs that are delayed or retried, claims, locks,
/// schedules, expiries, the end of a unique key's time, is `seconds` nearer.
inline void advance(const Database& db, std::int64_t seconds) {
  auto tx = db.begin();
  for (const char* sql : {
           "UPDATE _honker_live SET run_at = run_at - ?1, created_at = created_at - ?1, expires_at = expires_at - ?1, "
           "claim_expires_at = claim_expires_at - ?1",
           "UPDATE _honker_blocked SET run_at = run_at - ?1",
           "UPDATE _honker_unique SET until = until - ?1",
           "UPDATE _honker_queues SET window_start = window_start - ?1 WHERE settings ->> '$.rate.per_s' <= ?1",
           "UPDATE _honker_scheduler_tasks SET next_fire_at = next_fire_at - ?1",
           "UPDATE _honker_locks SET expires_at = expires_at - ?1",
           "UPDATE _honker_results SET expires_at = expires_at - ?1",
       }) {
    tx.execute(sql, {seconds});
  }
  tx.commit();
}

}  // namespace testing
}  // namespace honker

#endif  // HONKER_TESTING_HPP
