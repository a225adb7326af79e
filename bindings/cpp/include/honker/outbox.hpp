// Outboxes: what has to be delivered elsewhere is enqueued with the data it is about, and delivered by a function.
//
// Threads: an Outbox may be used by any number of them, if its function may.

#ifndef HONKER_OUTBOX_HPP
#define HONKER_OUTBOX_HPP

#include <atomic>
#include <cstdint>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "consumer.hpp"
#include "detail.hpp"
#include "outcome.hpp"
#include "queue.hpp"
#include "transaction.hpp"

namespace honker {

/// A queue, `_outbox:<name>`, and the function that delivers what is in it; made by Database::outbox().
///
/// A delivery that returns is done. One that throws is tried again later, each time after twice the wait of the time
/// before, and ends among the dead with the exception's what() when its attempts are used up. It may happen more than
/// once: whoever receives it should be able to tell.
class Outbox {
 public:
  /// What delivers: it is given the payload, as it was enqueued.
  using Delivery = std::function<void(std::string_view json)>;

  const std::string& name() const noexcept { return name_; }

  /// The queue underneath.
  const Queue& queue() const noexcept { return queue_; }

  /// Adds what is to be delivered, as Queue::enqueue() does; its id.
  std::int64_t enqueue(std::string_view json, std::int64_t delay_s = 0, std::int64_t priority = 0) const {
    return enqueue(std::nothrow, json, delay_s, priority).value();
  }
  Result<std::int64_t> enqueue(std::nothrow_t, std::string_view json, std::int64_t delay_s = 0,
                               std::int64_t priority = 0) const noexcept {
    return queue_.enqueue(std::nothrow, json, delay_s, priority);
  }
  Enqueued enqueue(std::string_view json, const EnqueueOptions& options) const {
    return enqueue(std::nothrow, json, options).value();
  }
  Result<Enqueued> enqueue(std::nothrow_t, std::string_view json, const EnqueueOptions& options) const noexcept {
    return queue_.enqueue(std::nothrow, json, options);
  }

  /// The same in a transaction: it is delivered if and only if that is committed.
  std::int64_t enqueue_tx(Transaction& tx, std::string_view json, std::int64_t delay_s = 0,
                          std::int64_t priority = 0) const {
    return enqueue_tx(std::nothrow, tx, json, delay_s, priority).value();
  }
  Result<std::int64_t> enqueue_tx(std::nothrow_t, Transaction& tx, std::string_view json, std::int64_t delay_s = 0,
                                  std::int64_t priority = 0) const noexcept {
    return queue_.enqueue_tx(std::nothrow, tx, json, delay_s, priority);
  }
  Enqueued enqueue_tx(Transaction& tx, std::string_view json, const EnqueueOptions& options) const {
    return enqueue_tx(std::nothrow, tx, json, options).value();
  }
  Result<Enqueued> enqueue_tx(std::nothrow_t, Transaction& tx, std::string_view json,
                              const EnqueueOptions& options) const noexcept {
    return queue_.enqueue_tx(std::nothrow, tx, json, options);
  }

  /// Delivers one, as `worker_id`, without waiting: false if there is none. Whether the delivery succeeded is seen in
  /// the queue. If it took so long that somebody else has it now, it is theirs.
  bool run_once(std::string_view worker_id) const { return run_once(std::nothrow, worker_id).value(); }
  Result<bool> run_once(std::nothrow_t, std::string_view worker_id) const noexcept {
    auto job = queue_.claim_one(std::nothrow, worker_id);
    if (!job.ok()) return job.error();
    if (!*job) return false;
    if (const auto error = detail::thrown_by([&] { deliver_((*job)->payload()); })) {
      auto worker = this->worker(worker_id);
      if (!worker.ok()) return worker.error();
      const auto held = worker->failed((*job)->id(), (*job)->attempts(), *error);
      if (!held.ok()) return held.error();
    } else {
      const auto held = (*job)->ack(std::nothrow);
      if (!held.ok()) return held.error();
    }
    return true;
  }

  /// Delivers, as `worker_id`, until `stop` is set, which is looked at every 100 ms; the delivery in hand is finished
  /// first. Errors of the database end the loop, and leave the delivery in hand to the end of its time, but those of
  /// the moment, such as a locked file or a full disk (Error::is_transient()): then it tries again.
  void run(std::string_view worker_id, const std::atomic<bool>& stop) const {
    run(std::nothrow, worker_id, stop).value();
  }
  Result<void> run(std::nothrow_t, std::string_view worker_id, const std::atomic<bool>& stop) const noexcept {
    auto worker = this->worker(worker_id);
    if (!worker.ok()) return worker.error();
    return run_as(*worker, stop, detail::stop_interval);
  }

#ifdef __cpp_lib_jthread
  /// The same, stopped by a token, at once.
  void run(std::string_view worker_id, std::stop_token stop) const {
    run(std::nothrow, worker_id, std::move(stop)).value();
  }
  Result<void> run(std::nothrow_t, std::string_view worker_id, std::stop_token stop) const noexcept {
    auto worker = this->worker(worker_id);
    if (!worker.ok()) return worker.error();
    return detail::until_stopped(stop, *worker,
                                 [&](const std::atomic<bool>& stopped) { return run_as(*worker, stopped, forever); });
  }
#endif

 private:
  friend class Database;

  class Worker : public Consumer<honker_outbox_t> {
   public:
    /// Delivers one, or waits for it.
    Result<void> deliver(const Delivery& function, const std::atomic<bool>& stop, Timeout timeout) {
      const auto jobs = detail::make_until(stop, [&] { return wait_for<honker_jobs_t>(timeout, honker_outbox_next); });
      if (!jobs.ok()) return jobs.error();
      if (*jobs == nullptr) return {};
      honker_job_view_t job = HONKER_JOB_VIEW_INIT;
      const auto got = detail::call(core(), honker_jobs_get, jobs->get(), 0, &job);
      if (!got.ok()) return got.error();
      const std::string_view json(reinterpret_cast<const char*>(job.payload.data), job.payload.len);
      const auto error = detail::thrown_by([&] { function(json); });
      return detail::make_until(
          stop, [&] { return error ? failed(job.id, job.attempts, *error) : call(honker_outbox_delivered, job.id); });
    }

    Result<void> failed(std::int64_t id, std::int64_t attempts, std::string_view error) const {
      return call(honker_outbox_failed, id, attempts, detail::readable(error));
    }

   private:
    friend class Outbox;
    using Consumer::Consumer;
  };

  Outbox(detail::CorePtr core, std::string_view name, Queue queue, Delivery deliver, std::int64_t visibility_timeout_s,
         std::int64_t base_backoff_s)
      : core_(std::move(core)),
        name_(name),
        queue_(std::move(queue)),
        deliver_(std::move(deliver)),
        visibility_timeout_s_(visibility_timeout_s),
        base_backoff_s_(base_backoff_s) {}

  Result<void> run_as(Worker& worker, const std::atomic<bool>& stop, Timeout interval) const {
    while (!stop) {
      if (auto delivered = worker.deliver(deliver_, stop, interval); !delivered.ok()) return delivered;
    }
    return {};
  }

  Result<Worker> worker(std::string_view worker_id) const {
    honker_outbox_opts_t opts = HONKER_OUTBOX_OPTS_INIT;
    opts.visibility_timeout_s = visibility_timeout_s_;
    opts.base_backoff_s = base_backoff_s_;
    auto waiting = detail::make_waiting<honker_outbox_t>(core_, honker_outbox_new, name_, worker_id, &opts);
    if (!waiting.ok()) return waiting.error();
    return Worker(std::move(*waiting));
  }

  detail::CorePtr core_;
  std::string name_;
  Queue queue_;
  Delivery deliver_;
  std::int64_t visibility_timeout_s_;
  std::int64_t base_backoff_s_;
};

}  // namespace honker

#endif  // HONKER_OUTBOX_HPP
