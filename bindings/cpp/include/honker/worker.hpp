// Workers: threads that handle the jobs of queues until they are told to stop.
//
// The thread that calls run() is the only one that uses the file: in one commit it settles what is finished, prolongs
// what runs and claims what is free. Handlers run in threads of the worker's own, which end before run() returns.
//
// Threads: stop() is for any, run() for one at a time.

#ifndef HONKER_WORKER_HPP
#define HONKER_WORKER_HPP

#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "consumer.hpp"
#include "detail.hpp"
#include "job.hpp"
#include "outcome.hpp"
#include "pool.hpp"

namespace honker {

/// Handles the jobs of its queues, several at a time; made by Queue::worker() and Database::worker().
///
///     honker::WorkerOptions options;
///     options.concurrency = 4;
///     auto worker = emails.worker("host-7", options);
///     worker.run([](honker::Job& job) { send_email(job.payload()); });  // until worker.stop()
///
/// A job whose handler returns is done; one whose handler throws is retried, each time later, and ends among the dead
/// when its attempts are used up. Handlers return, or throw, an Outcome for anything else. Claims are prolonged for as
/// long as their handlers run; what a handler settles itself is left as it is. A handler whose job is lost sees
/// Job::cancelled(). Should the process die, its jobs go to other workers when their visibility timeout is over.
class Worker {
 public:
  /// Handles jobs until stop() is called; what became of them. A handler takes a Job&, and returns an Outcome or
  /// nothing; several threads call it at the same time.
  ///
  /// After stop() it claims nothing more, and waits for the handlers that run: for as long as `finish_limit` they are
  /// left alone; then Job::cancelled() is true, and what a handler throws from then on releases its job; after
  /// `cancel_limit` more the jobs are released whether their handlers have returned or not. It returns when all have:
  /// what never returns keeps run() from returning, but no job. A second stop() makes both limits 0.
  ///
  /// A file that is locked, full or unreadable for a time is told to `on_error` once, and tried again, each time later,
  /// at most every five seconds; Database::interrupt() ends nothing. It ends by an error when it cannot go on: when the
  /// database is closed (ClosedError), when the file was replaced by another (HONKER_WATCHER), for queues or options
  /// that make no sense (HONKER_INVALID). Handlers are cancelled then, and waited for.
  template <class Handler>
  WorkerReport run(Handler&& handler) {
    return run(std::nothrow, std::forward<Handler>(handler)).value();
  }
  template <class Handler>
  Result<WorkerReport> run(std::nothrow_t, Handler&& handler) noexcept {
    return run_with(outcome_of(std::forward<Handler>(handler)));
  }

#ifdef __cpp_lib_jthread
  /// The same, stopped by `stop` as well.
  template <class Handler>
  WorkerReport run(std::stop_token stop, Handler&& handler) {
    return run(std::nothrow, std::move(stop), std::forward<Handler>(handler)).value();
  }
  template <class Handler>
  Result<WorkerReport> run(std::nothrow_t, std::stop_token stop, Handler&& handler) noexcept {
    const std::stop_callback on_stop(stop, [&] { this->stop(); });
    return run_with(outcome_of(std::forward<Handler>(handler)));
  }
#endif

  /// Ends the run() that is on, or else the next one. Again: at once. For any thread, but not for a signal handler.
  void stop() const noexcept {
    if (stop_) stop_->request();
  }

 private:
  friend class Database;
  friend class Queue;

  Worker(detail::CorePtr core, std::vector<WorkerQueue> queues, std::string_view worker_id, WorkerOptions options)
      : core_(std::move(core)),
        queues_(std::move(queues)),
        worker_id_(worker_id),
        options_(std::move(options)),
        stop_(std::make_shared<detail::Stop>()) {}

  /// A handler that says what becomes of its job. Empty if the function is.
  template <class Handler>
  static detail::Handler outcome_of(Handler&& handler) {
    if constexpr (std::is_constructible_v<bool, Handler>) {
      if (!static_cast<bool>(handler)) return nullptr;
    }
    if constexpr (std::is_convertible_v<std::invoke_result_t<Handler&, Job&>, Outcome>) {
      return std::forward<Handler>(handler);
    } else {
      return [handler = std::forward<Handler>(handler)](Job& job) mutable {
        handler(job);
        return Outcome::ack();
      };
    }
  }

  Result<WorkerReport> run_with(const detail::Handler& handler) {
    if (core_ == nullptr) return detail::make_error(nullptr, HONKER_MISUSE, nullptr);
    if (!handler) return Error(HONKER_INVALID, "the handler is empty");
    if (options_.concurrency < 1) {
      return Error(HONKER_INVALID, "concurrency must be at least 1: " + std::to_string(options_.concurrency));
    }
    if (auto set = detail::check_is_set("max_run_s", options_.max_run_s); !set.ok()) return set.error();
    // Not the one that all consumers share: each job that is finished wakes it.
    const auto waiter = detail::make_waiter(core_);
    if (!waiter.ok()) return waiter.error();
    const auto worker = detail::owned<honker_worker_t>(
        core_, [&](honker_worker_t** out, honker_error_t** err) { return make(waiter->get(), out, err); });
    if (!worker.ok()) return worker.error();
    if (*worker == nullptr) return detail::unexpected();
    if (!stop_->begin(waiter->get())) return Error(HONKER_MISUSE, "the worker runs already");
    auto ended = detail::Pool(core_, options_, handler, waiter->get(), worker->get(), *stop_).run();
    stop_->end();
    return ended;
  }

  honker_status_t make(honker_waiter_t* waiter, honker_worker_t** out, honker_error_t** err) const {
    std::vector<honker_worker_queue_t> queues;
    for (const WorkerQueue& queue : queues_) {
      honker_worker_queue_t raw = HONKER_WORKER_QUEUE_INIT;
      raw.name = detail::view(queue.name);
      raw.weight = queue.weight;
      raw.in_hand_max = queue.in_hand_max.value_or(-1);
      queues.push_back(raw);
    }
    honker_worker_opts_t opts = HONKER_WORKER_OPTS_INIT;
    opts.visibility_timeout_s = options_.visibility_timeout_s.value_or(opts.visibility_timeout_s);
    opts.max_run_s = options_.max_run_s.value_or(HONKER_NO_TIME);
    opts.retry_base_s = options_.retry_base_s;
    opts.retry_max_s = options_.retry_max_s;
    opts.retry_factor = options_.retry_factor;
    opts.retry_jitter = options_.retry_jitter;
    return honker_worker_new(detail::handle(core_), waiter, 0, queues.data(), queues.size(), detail::bytes(worker_id_),
                             worker_id_.size(), &opts, out, err);
  }

  detail::CorePtr core_;
  std::vector<WorkerQueue> queues_;
  std::string worker_id_;
  WorkerOptions options_;
  std::shared_ptr<detail::Stop> stop_;
};

}  // namespace honker

#endif  // HONKER_WORKER_HPP
