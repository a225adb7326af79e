// One run of a Worker: its options, its threads, and the loop that feeds them.
//
// A job is in hand from its claim until its handler has returned; there are never more in hand than the worker's
// concurrency. Threads are started when there are jobs for them, and stay until the run ends. What their handlers have
// done is settled by the loop, in its next commit.
//
// Threads: the loop is one, handlers have others; what they share is under one lock.

#ifndef HONKER_POOL_HPP
#define HONKER_POOL_HPP

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>
#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

#include "consumer.hpp"
#include "detail.hpp"
#include "job.hpp"
#include "outcome.hpp"

namespace honker {

/// A queue of a worker.
struct WorkerQueue {
  std::string name;
  /// How often it is asked first, compared with the others; places that it cannot fill go to the others. If all weights
  /// are 0 the queues are asked in the order given.
  std::int64_t weight = 1;
  /// How many of its jobs may be in hand at a time. Default: as many as the worker takes.
  std::optional<std::int64_t> in_hand_max = std::nullopt;
};

/// A job that was not done, for WorkerOptions::on_failure.
struct Failure {
  std::int64_t job_id;
  std::string queue;
  /// How often the job has been claimed, this time included.
  std::int64_t attempts;
  /// What becomes of it: a retry, which may turn out to have been its last, or a discard; and why.
  Outcome outcome;
  /// What the handler threw; null if it returned the outcome, or ran for too long.
  std::exception_ptr exception;
};

/// How a worker works.
struct WorkerOptions {
  /// How many handlers may run at the same time, each in a thread of its own; at least 1.
  std::int64_t concurrency = 1;
  /// For how long jobs belong to a worker that died. Default: as the queue has it; 300 for several queues.
  std::optional<std::int64_t> visibility_timeout_s = std::nullopt;
  /// For how long a handler may run. Then its job is retried, and Job::cancelled() is true. Default: without end.
  std::optional<std::int64_t> max_run_s = std::nullopt;
  /// A job that has failed for the nth time is due again after `retry_base_s` times `retry_factor` to the power of
  /// n - 1, at most `retry_max_s`, times a random number in 1 ± `retry_jitter`.
  std::int64_t retry_base_s = 15;
  std::int64_t retry_max_s = 3600;
  double retry_factor = 2;
  double retry_jitter = 0.1;
  /// For how long handlers may go on after Worker::stop(), before they are cancelled.
  Timeout finish_limit = std::chrono::seconds(30);
  /// For how long they may go on then, before their jobs are released.
  Timeout cancel_limit = std::chrono::seconds(5);
  /// Told of every failure, in the thread of the handler, so by several at the same time; of a handler that ran for too
  /// long, in the thread of run(). What it throws is passed over. Default: a line on standard error.
  std::function<void(const Failure&)> on_failure = nullptr;
  /// Told, in the thread of run(), what keeps the worker from its work; once, until it works again. What it throws is
  /// passed over. Default: a line on standard error.
  std::function<void(const Error&)> on_error = nullptr;
};

/// What a worker has done, when it ends.
struct WorkerReport {
  /// How many jobs were settled as their handlers said.
  std::int64_t settled = 0;
  /// How many jobs were released: their handlers said so, or had not returned in time, or had not begun.
  std::int64_t released = 0;
};

namespace detail {

using Handler = std::function<Outcome(Job&)>;

/// Stops a worker's run. Used by any number of threads.
class Stop {
 public:
  void request() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++requests_;
    changed_.notify_all();
    if (waiter_ != nullptr) honker_waiter_wake(waiter_, nullptr);
  }

  int requests() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return requests_;
  }

  /// A run begins, and waits with `waiter`. False if there is one already.
  bool begin(honker_waiter_t* waiter) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (waiter_ != nullptr) return false;
    waiter_ = waiter;
    return true;
  }

  void end() {
    const std::lock_guard<std::mutex> lock(mutex_);
    waiter_ = nullptr;
    requests_ = 0;
  }

  /// Sleeps until the next request, at most for `time`.
  void rest(std::chrono::milliseconds time) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, time, [&, before = requests_] { return requests_ != before; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int requests_ = 0;
  honker_waiter_t* waiter_ = nullptr;
};

/// See above.
class Pool {
 public:
  Pool(const CorePtr& core, const WorkerOptions& options, const Handler& handler, honker_waiter_t* waiter,
       honker_worker_t* worker, Stop& stop)
      : core_(core), options_(options), handler_(handler), waiter_(waiter), worker_(worker), stop_(stop) {}

  Result<WorkerReport> run() {
    const auto ended = loop();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ended_ = true;
      for (const auto& task : queued_) forget(task);
      queued_.clear();
      for (const auto& task : in_hand_) task->cancellation->set();
      work_.notify_all();
    }
    for (auto& thread : threads_) thread.join();
    if (!ended.ok()) return ended.error();
    return report_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  /// Where a run is: it takes jobs; lets handlers finish; has cancelled them; has released their jobs.
  enum class Phase { working, finishing, cancelled, released };

  /// A job in hand.
  struct Task {
    explicit Task(Job&& claimed, std::int64_t the_serial, std::shared_ptr<Cancellation> the_cancellation)
        : job(std::move(claimed)),
          id(job.id()),
          serial(the_serial),
          queue(job.queue()),
          attempts(job.attempts()),
          cancellation(std::move(the_cancellation)) {}

    Job job;  // the handler's: it may move it away
    const std::int64_t id;
    const std::int64_t serial;
    const std::string queue;
    const std::int64_t attempts;
    const std::shared_ptr<Cancellation> cancellation;
    bool is_ours = true;  // false once its claim was lost or released: nothing is settled then
  };
  using TaskPtr = std::shared_ptr<Task>;

  /// What is to be settled.
  struct Finished {
    std::int64_t id;
    std::int64_t serial;
    Outcome outcome;
  };

  // The loop.

  Result<void> loop() {
    for (;;) {
      advance(Clock::now());
      std::int64_t n = 0;
      bool is_done = false;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::move(finished_.begin(), finished_.end(), std::back_inserter(pending_));
        finished_.clear();
        is_done = phase_ != Phase::working && (in_hand_.empty() || phase_ == Phase::released);
        if (is_done && pending_.empty()) return {};
        if (phase_ == Phase::working) n = options_.concurrency - static_cast<std::int64_t>(in_hand_.size());
        waiting_ = true;
      }
      const auto turned = turn(n, is_done ? 0 : left_ms());
      if (turned.ok()) {
        trouble_ = HONKER_OK;
        rest_ = shortest_rest;
      } else if (phase_ == Phase::released || !goes_on_after(turned.error())) {
        return turned;
      }
    }
  }

  /// Goes on to the next phase if it is time to.
  void advance(Clock::time_point now) {
    const int requests = stop_.requests();
    if (phase_ == Phase::working && requests > 0) {
      phase_ = Phase::finishing;
      until_ = after(now, options_.finish_limit);
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const auto& task : queued_) release(task);
      for (const auto& task : queued_) forget(task);
      queued_.clear();
    }
    const auto is_over = [&] { return requests > 1 || (until_ && *until_ <= now); };
    if (phase_ == Phase::finishing && is_over()) {
      phase_ = Phase::cancelled;
      until_ = after(now, options_.cancel_limit);
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const auto& task : in_hand_) task->cancellation->set();
    }
    if (phase_ == Phase::cancelled && is_over()) {
      phase_ = Phase::released;
      until_ = std::nullopt;
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const auto& task : in_hand_) release(task);
    }
  }

  static std::optional<Clock::time_point> after(Clock::time_point now, Timeout limit) {
    constexpr std::int64_t century_ms = 3155760000000;
    if (limit.ms() < 0 || limit.ms() > century_ms) return std::nullopt;
    return now + std::chrono::milliseconds(limit.ms());
  }

  /// How long the phase lasts, in milliseconds; -1 without end.
  std::int64_t left_ms() const {
    if (!until_) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*until_ - Clock::now()).count();
    return std::max<std::int64_t>(left, 0);
  }

  /// One commit, and a wait for at most `ms` if there is nothing to do.
  Result<void> turn(std::int64_t n, std::int64_t ms) {
    const std::size_t count = one_by_one_ ? std::min<std::size_t>(pending_.size(), 1) : pending_.size();
    one_by_one_ &= count > 0;
    std::vector<honker_settlement_t> raw;
    raw.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      raw.push_back(settlement(pending_[i].id, pending_[i].serial, pending_[i].outcome));
    }
    honker_jobs_t* out = nullptr;
    honker_error_t* err = nullptr;
    const honker_status_t status = honker_worker_settle_next(worker_, raw.data(), raw.size(), one_by_one_ ? 0 : n,
                                                             one_by_one_ ? 0 : ms, &out, &err);
    const Owned<honker_jobs_t> jobs(out);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      waiting_ = false;
    }
    std::vector<Finished> left;
    for (std::size_t i = 0; i < pending_.size(); ++i) {
      if (i >= count || raw[i].status < 0) {
        left.push_back(std::move(pending_[i]));
      } else if (raw[i].status == HONKER_OK) {
        ++(is_release(pending_[i].outcome) ? report_.released : report_.settled);
      }
    }
    pending_ = std::move(left);
    if (status < 0) return make_error(core_.get(), status, err);
    honker_error_free(err);
    if (status == HONKER_CLOSED) return closed_error(*core_);
    if (status != HONKER_OK) return {};
    if (auto taken = take_lost(jobs.get()); !taken.ok()) return taken;
    return take_claimed(jobs.get());
  }

  static bool is_release(const Outcome& outcome) { return outcome.kind() == HONKER_SETTLE_RELEASE; }

  /// Whether a turn that failed may be tried again. Waits before it is, says so once, and lets go of what can never be
  /// settled.
  bool goes_on_after(const Error& error) {
    switch (error.status()) {
      case HONKER_UTF8:
      case HONKER_INVALID:
      case HONKER_CONSTRAINT:
      case HONKER_TOO_BIG:
        if (!pending_.empty()) return refused(error), true;
        return false;
      default:
        if (!error.is_transient()) return false;
    }
    if (error.status() != HONKER_INTERRUPTED && std::exchange(trouble_, error.status()) != error.status()) tell(error);
    const std::int64_t left = left_ms();
    stop_.rest(left < 0 ? rest_ : std::min(rest_, std::chrono::milliseconds(left)));
    rest_ = std::min(2 * rest_, longest_rest);
    return true;
  }

  /// Of what is to be settled something was refused. Each is tried alone, with an error text that cannot be the reason;
  /// one that is refused even so is left to the end of its claim.
  void refused(const Error& error) {
    if (!std::exchange(one_by_one_, true)) {
      for (Finished& finished : pending_) finished.outcome = finished.outcome.in_ascii();
      return;
    }
    tell(error);
    honker_worker_settled(worker_, pending_.front().id, pending_.front().serial, nullptr);
    pending_.erase(pending_.begin());
  }

  Result<void> take_lost(const honker_jobs_t* jobs) {
    honker_lost_job_view_t views[16];
    std::size_t read = 16;
    for (std::size_t first = 0; read == 16; first += read) {
      views[0] = HONKER_LOST_JOB_VIEW_INIT;
      const auto got =
          call(core_, [&](honker_error_t** err) { return honker_jobs_lost(jobs, first, views, 16, &read, err); });
      if (!got.ok()) return got.error();
      for (std::size_t i = 0; i < read; ++i) lose(views[i]);
    }
    return {};
  }

  void lose(const honker_lost_job_view_t& lost) {
    TaskPtr task;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const auto& one : in_hand_) {
        if (one->serial == lost.serial) task = one;
      }
      if (!task) return;
      task->is_ours = false;
      task->cancellation->set();
      const auto queued = std::find(queued_.begin(), queued_.end(), task);
      if (queued != queued_.end()) {
        queued_.erase(queued);
        forget(task);
      }
    }
    if (lost.reason != HONKER_LOST_TIMEOUT) return;
    const std::string error = "timeout after " + std::to_string(options_.max_run_s.value_or(0)) + " s";
    tell(Failure{task->id, task->queue, task->attempts, Outcome::retry(error), nullptr});
  }

  Result<void> take_claimed(const honker_jobs_t* jobs) {
    auto claimed = list_jobs(core_, jobs);
    if (!claimed.ok()) return claimed.error();
    std::unique_lock<std::mutex> lock(mutex_);
    for (Job& job : *claimed) {
      const auto cancellation = std::make_shared<Cancellation>();
      job.cancellation_ = cancellation;
      const std::int64_t serial = job.serial_;
      in_hand_.push_back(std::make_shared<Task>(std::move(job), serial, cancellation));
      queued_.push_back(in_hand_.back());
    }
    work_.notify_all();
    join_exited(lock);
    while (threads_.size() < in_hand_.size()) {
      if (auto started = start(); !started.ok()) {
        // Those that run take what is queued. If there are none, others shall.
        if (threads_.empty()) {
          for (const auto& task : queued_) release(task);
          for (const auto& task : queued_) forget(task);
          queued_.clear();
        }
        return started;
      }
    }
    return {};
  }

  // Threads. The lock is held in those that say so by what they are given.

  Result<void> start() {
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
    try {
      threads_.emplace_back([this] { handle_all(); });
    } catch (const std::system_error& error) {
      return Error(HONKER_SYSTEM, std::string("no thread can be started for a handler: ") + error.what());
    }
#else
    threads_.emplace_back([this] { handle_all(); });
#endif
    return {};
  }

  /// Joins threads whose handlers have ended them.
  void join_exited(std::unique_lock<std::mutex>& lock) {
    while (!exited_.empty()) {
      const auto id = exited_.back();
      exited_.pop_back();
      const auto thread = std::find_if(threads_.begin(), threads_.end(), [&](auto& one) { return one.get_id() == id; });
      std::thread gone = std::move(*thread);
      threads_.erase(thread);
      lock.unlock();
      gone.join();
      lock.lock();
    }
  }

  void handle_all() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      work_.wait(lock, [&] { return ended_ || !queued_.empty(); });
      if (ended_) return;
      const TaskPtr task = queued_.front();
      queued_.pop_front();
      lock.unlock();
      handle(task);
      lock.lock();
    }
  }

  void handle(const TaskPtr& task) {
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
    std::optional<Outcome> outcome;
    std::exception_ptr exception;
    try {
      outcome = handler_(task->job);
    } catch (const Outcome& thrown) {
      outcome = thrown;
      exception = std::current_exception();
#ifdef __GLIBCXX__
    } catch (abi::__forced_unwind&) {  // pthread_exit, which cannot be stopped
      exits();
      finish(task, Outcome::retry("the handler ended its thread"), nullptr);
      throw;
#endif
    } catch (...) {
      exception = std::current_exception();
      const auto error = thrown_by([&] { std::rethrow_exception(exception); });
      // What a handler throws because it was told to stop is no failure.
      outcome = task->cancellation->is_set() ? Outcome::release() : Outcome::retry(*error);
    }
    finish(task, *outcome, exception);
#else
    finish(task, handler_(task->job), nullptr);
#endif
  }

  /// This thread ends, with its handler.
  void exits() {
    const std::lock_guard<std::mutex> lock(mutex_);
    exited_.push_back(std::this_thread::get_id());
  }

  void finish(const TaskPtr& task, const Outcome& outcome, const std::exception_ptr& exception) {
    bool is_ours = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_ours = task->is_ours;
    }
    if (is_ours && outcome.is_failure()) tell(Failure{task->id, task->queue, task->attempts, outcome, exception});
    bool wakes = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (task->is_ours) finished_.push_back({task->id, task->serial, outcome});
      forget(task);
      wakes = std::exchange(waiting_, false);
    }
    if (wakes) honker_waiter_wake(waiter_, nullptr);
  }

  // With the lock held.

  void release(const TaskPtr& task) {
    if (!task->is_ours) return;
    task->is_ours = false;
    finished_.push_back({task->id, task->serial, Outcome::release()});
  }

  void forget(const TaskPtr& task) { in_hand_.erase(std::find(in_hand_.begin(), in_hand_.end(), task)); }

  // What is told.

  void tell(const Failure& failure) const {
    if (options_.on_failure) {
      static_cast<void>(thrown_by([&] { options_.on_failure(failure); }));
    } else {
      std::fprintf(stderr, "honker: job %lld of %s failed, attempt %lld: %s\n", static_cast<long long>(failure.job_id),
                   failure.queue.c_str(), static_cast<long long>(failure.attempts), failure.outcome.error().c_str());
    }
  }

  void tell(const Error& error) const {
    if (options_.on_error) {
      static_cast<void>(thrown_by([&] { options_.on_error(error); }));
    } else {
      std::fprintf(stderr, "honker: a worker cannot go on for now: %s: %s\n", error.name(), error.what());
    }
  }

  static constexpr std::chrono::milliseconds shortest_rest{50};
  static constexpr std::chrono::milliseconds longest_rest{5000};

  const CorePtr& core_;
  const WorkerOptions& options_;
  const Handler& handler_;
  honker_waiter_t* const waiter_;
  honker_worker_t* const worker_;
  Stop& stop_;

  // The loop's.
  Phase phase_ = Phase::working;
  std::optional<Clock::time_point> until_;
  std::vector<Finished> pending_;
  bool one_by_one_ = false;
  honker_status_t trouble_ = HONKER_OK;
  std::chrono::milliseconds rest_ = shortest_rest;
  WorkerReport report_;
  std::vector<std::thread> threads_;

  // Under the lock.
  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<TaskPtr> queued_;
  std::vector<TaskPtr> in_hand_;
  std::vector<Finished> finished_;
  std::vector<std::thread::id> exited_;
  bool waiting_ = false;
  bool ended_ = false;
};

}  // namespace detail
}  // namespace honker

#endif  // HONKER_POOL_HPP
