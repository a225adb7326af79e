// The jobs of a queue, one by one: what is claimed as it comes, and settled by the caller.
//
// Threads: a Jobs may be used by one at a time; wake(), token() and close() are for any.

#ifndef HONKER_JOBS_HPP
#define HONKER_JOBS_HPP

#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "consumer.hpp"
#include "detail.hpp"
#include "job.hpp"
#include "outcome.hpp"

namespace honker {

/// What Jobs::settle_next() answers.
struct Settled {
  /// Whether the job was still the caller's, and has been settled.
  bool held = false;
  /// The next job. Empty if the time is over, or wake() was called.
  std::optional<Job> next;
};

/// Claims jobs of one queue, or waits for them; made by Queue::jobs(). For programs whose own threads or loops do the
/// work: a Worker brings threads, prolongs claims, and settles what its handler has done.
///
///     for (auto& job : emails.jobs("worker-1")) { … job.ack(); }
///
/// It sleeps until something is committed, a delayed job becomes due or a claim lapses. Job::heartbeat() prolongs a
/// claim: nothing else does.
class Jobs : public Consumer<honker_worker_t> {
 public:
  /// The next job, which is the caller's for the queue's visibility timeout. Empty if the time is over, or wake() was
  /// called.
  std::optional<Job> next(Timeout timeout = forever) { return next(std::nothrow, timeout).value(); }
  Result<std::optional<Job>> next(std::nothrow_t, Timeout timeout = forever) noexcept {
    return first(next_batch(std::nothrow, 1, timeout));
  }

  /// Up to `n` jobs, claimed in one commit, as soon as there is one. None, at once, if `n` is 0 or less.
  std::vector<Job> next_batch(std::int64_t n, Timeout timeout = forever) {
    return next_batch(std::nothrow, n, timeout).value();
  }
  Result<std::vector<Job>> next_batch(std::nothrow_t, std::int64_t n, Timeout timeout = forever) noexcept {
    if (n <= 0) {
      if (auto usable = check(); !usable.ok()) return usable.error();
      return std::vector<Job>();
    }
    return claimed(timeout, [&](std::int64_t ms, honker_jobs_t** jobs, honker_error_t** err) {
      return honker_worker_next(consumer(), n, ms, jobs, err);
    });
  }

  /// Settles a job that this delivered and claims the next one in one commit, then waits for one if there is none. If
  /// it fails the job has not been settled.
  Settled settle_next(const Job& job, const Outcome& outcome, Timeout timeout = forever) {
    return settle_next(std::nothrow, job, outcome, timeout).value();
  }
  Result<Settled> settle_next(std::nothrow_t, const Job& job, const Outcome& outcome,
                              Timeout timeout = forever) noexcept {
    honker_settlement_t raw = detail::settlement(job.id_, job.serial_, outcome);
    std::size_t count = 1;  // settled once, and then waited
    auto next = first(claimed(timeout, [&](std::int64_t ms, honker_jobs_t** jobs, honker_error_t** err) {
      const auto status = honker_worker_settle_next(consumer(), &raw, std::exchange(count, 0), 1, ms, jobs, err);
      if (status < 0 || raw.status >= 0) return status;
      // The file refused the settlement. Who is told of that is not told of what has been claimed beside it.
      if (auto beside = detail::list_jobs(core(), *jobs); beside.ok()) {
        for (Job& one : *beside) static_cast<void>(one.release(std::nothrow).ok());
      }
      return raw.status;
    }));
    if (!next.ok() && raw.status < 0) return next.error();
    Settled settled;
    settled.held = raw.status == HONKER_OK;
    // What went wrong after the job was settled goes wrong in the next call as well, which says so.
    if (next.ok()) settled.next = std::move(*next);
    return settled;
  }

  /// For `for`, which waits without end, and ends when wake() is called.
  auto begin() { return detail::Iterator<Jobs, Job, &Jobs::next>(*this); }
  auto end() noexcept { return detail::Iterator<Jobs, Job, &Jobs::next>(); }

 private:
  friend class Queue;

  using Consumer::Consumer;

  /// Makes a call, `make(ms, out, err)`, that claims jobs.
  template <class Make>
  Result<std::vector<Job>> claimed(Timeout timeout, Make&& make) {
    detail::Owned<honker_jobs_t> jobs;
    const auto waited = wait(timeout, [&](std::int64_t ms, honker_error_t** err) {
      honker_jobs_t* out = nullptr;
      const honker_status_t status = make(ms, &out, err);
      jobs.reset(out);
      std::size_t len = 0;
      // Told of lost jobs only: their owners are told when they settle them. It goes on, as if another had been woken.
      if (status == HONKER_OK && honker_jobs_len(out, &len, nullptr) == HONKER_OK && len == 0) return HONKER_WOKEN;
      return status;
    });
    if (!waited.ok()) return waited.error();
    if (*waited != HONKER_OK) return std::vector<Job>();
    return detail::list_jobs(core(), jobs.get());
  }

  static Result<std::optional<Job>> first(Result<std::vector<Job>> jobs) {
    if (!jobs.ok()) return jobs.error();
    if (jobs->empty()) return std::optional<Job>();
    return std::optional<Job>(std::move(jobs->front()));
  }
};

}  // namespace honker

#endif  // HONKER_JOBS_HPP
