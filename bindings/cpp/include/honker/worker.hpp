// Workers: they wait for the jobs of a queue.
//
// Threads: a Worker may be used by one at a time; wake(), fd() and close() are for any.

#ifndef HONKER_WORKER_HPP
#define HONKER_WORKER_HPP

#include <atomic>
#include <cstdint>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "detail.hpp"
#include "job.hpp"
#include "waiter.hpp"

namespace honker {

/// What becomes of a job, for Worker::settle_next().
class Settlement {
 public:
  /// As Job::ack().
  static Settlement ack(const Job& job) { return Settlement(HONKER_SETTLE_ACK, job, 0, {}); }
  /// As Job::retry().
  static Settlement retry(const Job& job, std::int64_t delay_s, std::string_view error) {
    return Settlement(HONKER_SETTLE_RETRY, job, delay_s, error);
  }
  /// As Job::fail().
  static Settlement fail(const Job& job, std::string_view error) {
    return Settlement(HONKER_SETTLE_FAIL, job, 0, error);
  }

 private:
  friend class Worker;

  Settlement(std::uint32_t kind, const Job& job, std::int64_t delay_s, std::string_view error)
      : kind_(kind), id_(job.id()), serial_(job.serial_), delay_s_(delay_s), error_(error) {}

  std::uint32_t kind_;
  std::int64_t id_;
  std::int64_t serial_;
  std::int64_t delay_s_;
  std::string error_;
};

/// What Worker::settle_next() answers.
struct Settled {
  /// Whether the job was still the worker's, and has been settled.
  bool held = false;
  /// The next job. Empty if the time is over, or wake() was called.
  std::optional<Job> next;
};

/// Claims jobs of one queue, or waits for them; made by Queue::worker().
///
/// It sleeps until something is committed, a delayed job becomes due or a claim lapses, and looks every five seconds in
/// any case.
class Worker : public Waiter<honker_worker_t> {
 public:
  /// The next job, which is the worker's for the queue's visibility timeout. Empty if the time is over, or wake() was
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
    return claimed([&](honker_jobs_t** jobs, honker_error_t** err) {
      return honker_worker_next(consumer(), n, timeout.ms(), jobs, err);
    });
  }

  /// Settles a job and claims the next one in one commit, then waits for one if there is none. If it fails the job has
  /// not been settled.
  Settled settle_next(const Settlement& settlement, Timeout timeout = forever) {
    return settle_next(std::nothrow, settlement, timeout).value();
  }
  Result<Settled> settle_next(std::nothrow_t, const Settlement& settlement, Timeout timeout = forever) noexcept {
    honker_settlement_t raw{};
    raw.kind = settlement.kind_;
    raw.id = settlement.id_;
    raw.serial = settlement.serial_;
    raw.delay_s = settlement.delay_s_;
    auto next = first(detail::with_error_text(settlement.error_, [&](std::string_view error) {
      raw.error = detail::view(error);
      return claimed([&](honker_jobs_t** jobs, honker_error_t** err) {
        return honker_worker_settle_next(consumer(), &raw, 1, 1, timeout.ms(), jobs, err);
      });
    }));
    if (!next.ok()) return next.error();
    Settled settled;
    settled.held = raw.status == HONKER_OK;
    settled.next = std::move(*next);
    return settled;
  }

  /// Handles jobs, one after the other, until `stop` is set. If `handler` returns, the job is done; if it throws, the
  /// job is retried in `retry_delay_s` seconds, with the exception's what(). It may settle the job itself, and has to
  /// prolong a claim that would lapse: what it did to a job that is not the worker's any more is passed over. A handler
  /// that does not exist is HONKER_INVALID.
  ///
  /// While there is nothing to do, `stop` is looked at every 100 ms, and at once after wake(). The job in hand is
  /// finished first. Errors of the database end the loop, and leave the job in hand to the end of its time; only if
  /// somebody else keeps the file locked (Error::is_retryable()) it tries again.
  void run(const std::function<void(Job&)>& handler, const std::atomic<bool>& stop, std::int64_t retry_delay_s = 60) {
    run(std::nothrow, handler, stop, retry_delay_s).value();
  }
  Result<void> run(std::nothrow_t, const std::function<void(Job&)>& handler, const std::atomic<bool>& stop,
                   std::int64_t retry_delay_s = 60) noexcept {
    if (!handler) return Error(HONKER_INVALID, "the handler is empty");
    std::optional<Job> job;
    while (job || !stop) {
      auto found = job ? handle(*job, handler, stop, retry_delay_s)
                       : detail::make_until(stop, [&] { return next(std::nothrow, detail::no_time); });
      if (!found.ok()) return found.error();
      job = std::move(*found);
      if (job || stop) continue;
      if (auto idled = wait_for_job(stop); !idled.ok()) return idled;
    }
    return {};
  }

 private:
  friend class Queue;

  Worker(detail::WaitingPtr<honker_worker_t> waiting, std::string queue) noexcept
      : Waiter(std::move(waiting)), queue_(std::move(queue)) {}

  /// Makes a call, `make(out, err)`, that claims jobs.
  template <class Make>
  Result<std::vector<Job>> claimed(Make&& make) {
    detail::Owned<honker_jobs_t> jobs;
    const auto waited = wait([&](honker_error_t** err) {
      honker_jobs_t* out = nullptr;
      const honker_status_t status = make(&out, err);
      jobs.reset(out);
      return status;
    });
    if (!waited.ok()) return waited.error();
    return detail::list<Job>(core(), jobs.get(), honker_job_view_t HONKER_JOB_VIEW_INIT, honker_jobs_len,
                             honker_jobs_get, [&](const honker_job_view_t& view) { return Job(core(), view); });
  }

  static Result<std::optional<Job>> first(Result<std::vector<Job>> jobs) {
    if (!jobs.ok()) return jobs.error();
    if (jobs->empty()) return std::optional<Job>();
    return std::optional<Job>(std::move(jobs->front()));
  }

  /// Handles and settles a job; the next one, if there is one and we are not to stop.
  Result<std::optional<Job>> handle(Job& job, const std::function<void(Job&)>& handler, const std::atomic<bool>& stop,
                                    std::int64_t retry_delay_s) {
    Job same(job, Job::Again());
    const auto error = detail::thrown_by([&] { handler(job); });
    return detail::make_until(stop, [&]() -> Result<std::optional<Job>> {
      // Also what closed this worker, or moved it away, has done the job.
      if (!stop && check().ok()) {
        const auto settlement = error ? Settlement::retry(same, retry_delay_s, *error) : Settlement::ack(same);
        auto settled = settle_next(std::nothrow, settlement, detail::no_time);
        if (!settled.ok()) return settled.error();
        return std::move(settled->next);
      }
      const auto held = error ? same.retry(std::nothrow, retry_delay_s, *error) : same.ack(std::nothrow);
      if (!held.ok()) return held.error();
      return std::optional<Job>();
    });
  }

  Result<void> wait_for_job(const std::atomic<bool>& stop) const {
    if (auto usable = check(); !usable.ok()) return usable;
    const auto at = detail::make_until(stop, [&] {
      return detail::optional_number(core(), [&](std::int64_t* out, honker_error_t** err) {
        return honker_queue_next_claim_at(detail::handle(core()), nullptr, detail::bytes(queue_), queue_.size(), out,
                                          err);
      });
    });
    if (!at.ok()) return at.error();
    return idle(stop, *at);
  }

  std::string queue_;
};

}  // namespace honker

#endif  // HONKER_WORKER_HPP
