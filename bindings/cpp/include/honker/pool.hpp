// One run of a Worker: the threads of its handlers, and the loop that feeds them.
//
// A job is in hand from its claim until its handler has returned; there are never more in hand than the worker's
// concurrency. Threads are started when there are jobs for them, and stay until the run ends. What their handlers have
// done is settled by the loop, in its next commit. A run works with one file after the other if the file is replaced:
// what was in hand of the old one keeps its place until its handler has returned, and is settled no more.
//
// Threads: the loop is one, handlers have others; what they share is under one lock. Each thread keeps the Pool, so
// that a handler that never returns can be left behind.

#ifndef HONKER_POOL_HPP
#define HONKER_POOL_HPP

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <exception>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "detail.hpp"
#include "job.hpp"
#include "json_view.hpp"
#include "object.hpp"
#include "outcome.hpp"
#include "settings.hpp"
#include "stop.hpp"
#include "worker_options.hpp"

namespace honker {
namespace detail {

/// A file that a worker works with.
struct Attached {
  CorePtr core;
  Owned<honker_waiter_t> waiter;
  Owned<honker_worker_t> worker;  // goes before the waiter
};

/// See above.
class Pool : public std::enable_shared_from_this<Pool> {
 public:
  Pool(std::string_view worker_id, WorkerOptions options, Handler handler, StopPtr stop)
      : worker_id_(readable(worker_id)),
        options_(std::move(options)),
        handler_(std::move(handler)),
        stop_(std::move(stop)) {}

  /// Handles jobs of a file until the worker is told to stop, or until it cannot go on with this file.
  Result<void> work(const Attached& attached) {
    attached_ = &attached;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      waiter_ = attached.waiter.get();
    }
    stop_->wakes(attached.waiter.get());
    auto ended = loop();
    stop_->wakes(nullptr);
    std::vector<TaskPtr> abandoned;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      waiter_ = nullptr;
      release_queued();
      finished_.clear();
      pending_.clear();
      for (const auto& task : in_hand_) task->is_ours = false;
      abandoned = in_hand_;
    }
    for (const auto& task : abandoned) task->cancellation->set(CancelReason::file);
    return ended;
  }

  /// Whether an error is one of the moment and there is time to wait. Waits then, and says so once.
  bool waits_out(const Error& error) {
    advance(Clock::now());
    const auto left = left_ms();
    if (!error.is_transient() || (phase_ == Phase::released && left == 0)) return false;
    if (!error.is_interrupted() && std::exchange(trouble_, error.status()) != error.status()) {
      say(LogLevel::warning, "cannot go on for now, and tries again: " + text_of(error));
    }
    stop_->rest(left < 0 ? rest_ : std::min(rest_, std::chrono::milliseconds(left)));
    // Claims are prolonged every third of their time; a pause that is longer would lose them.
    const std::chrono::milliseconds third(std::min<std::int64_t>(options_.visibility_timeout_s.value_or(300), 300) *
                                          333);
    rest_ = std::max(shortest_rest, std::min({2 * rest_, longest_rest, third}));
    return true;
  }

  /// Lets the threads end, says what was left, and leaves handlers behind that do not return in time.
  WorkerReport end(const Result<void>& ended) {
    std::unique_lock<std::mutex> lock(mutex_);
    ended_ = true;
    work_.notify_all();
    const auto is_busy = [](const Thread& thread) { return !thread.is_over; };
    const auto busy = [&] { return std::count_if(threads_.begin(), threads_.end(), is_busy); };
    // Those without a handler end soon. The others had their time, and a moment to return; unless the run has failed.
    over_.wait(lock, [&] { return busy() <= static_cast<std::ptrdiff_t>(in_hand_.size()); });
    const std::int64_t ms = ended.ok() ? 200 : options_.cancel_timeout.ms();
    const std::chrono::milliseconds limit(ms < 0 ? century_ms : std::min(ms, century_ms));
    over_.wait_for(lock, limit, [&] { return busy() == 0; });
    report_.running = busy();
    for (Thread& thread : threads_) {
      if (!thread.is_over) thread.thread.detach();
    }
    lock.unlock();
    for (Thread& thread : threads_) {
      if (thread.thread.joinable()) thread.thread.join();
    }
    const std::string left = std::to_string(report_.settled) + " jobs settled, " + std::to_string(report_.released) +
                             " released, " + std::to_string(report_.running) + " still running";
    if (ended.ok()) {
      say(LogLevel::info, "ended: " + left);
    } else {
      say(LogLevel::error, "ended, " + text_of(ended.error()) + ": " + left);
    }
    return report_;
  }

  void say(LogLevel level, const std::string& what) const {
    const std::string line = "worker " + worker_id_ + " " + what;
    if (options_.log) {
      static_cast<void>(thrown_by([&] { options_.log(level, line); }));
    } else {
      std::fprintf(stderr, "honker: %s\n", line.c_str());
    }
  }

  static std::string text_of(const Error& error) { return std::string(error.name()) + ": " + error.what(); }

 private:
  using Clock = std::chrono::steady_clock;

  /// Where a run is: it takes jobs; lets handlers finish; has cancelled them; has released their jobs.
  enum class Phase { working, finishing, cancelled, released };

  /// A job in hand.
  struct Task {
    Task(Job&& claimed, std::int64_t the_serial, std::shared_ptr<Cancellation> the_cancellation)
        : job(std::move(claimed)),
          core(job.core_),
          id(job.id()),
          serial(the_serial),
          queue(job.queue()),
          attempts(job.attempts()),
          max_attempts(job.max_attempts()),
          cancellation(std::move(the_cancellation)) {}

    Job job;  // the handler's: it may move it away
    const CorePtr core;
    const std::int64_t id;
    const std::int64_t serial;
    const std::string queue;
    const std::int64_t attempts;
    const std::int64_t max_attempts;
    const std::shared_ptr<Cancellation> cancellation;
    bool is_ours = true;  // false once its claim was lost or released: nothing is settled then
  };
  using TaskPtr = std::shared_ptr<Task>;

  /// What is to be settled.
  struct Finished {
    std::int64_t id;
    std::int64_t serial;
    Outcome outcome;
    bool was_refused = false;
  };

  struct Thread {
    std::thread thread;
    bool is_over = false;  // it has only to be joined
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
        if (phase_ == Phase::working) n = places();
        waiting_ = true;
      }
      const auto turned = turn(n, is_done ? 0 : left_ms());
      if (!turned.ok()) {
        if (!waits_out(turned.error())) return turned;
        continue;
      }
      if (std::exchange(trouble_, HONKER_OK) != HONKER_OK) say(LogLevel::info, "works again");
      rest_ = shortest_rest;
    }
  }

  /// Goes on to the next phase if it is time to.
  void advance(Clock::time_point now) {
    const int requests = stop_->requests();
    const auto is_over = [&] { return requests > 1 || (until_ && *until_ <= now); };
    if (phase_ == Phase::working && requests > 0) {
      go_on_to(Phase::finishing, now, options_.stop_timeout);
      const std::lock_guard<std::mutex> lock(mutex_);
      release_queued();
    }
    if (phase_ == Phase::finishing && is_over()) {
      go_on_to(Phase::cancelled, now, options_.cancel_timeout);
      std::vector<TaskPtr> cancelled;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        cancelled = in_hand_;
      }
      for (const auto& task : cancelled) task->cancellation->set(CancelReason::stop);
    }
    if (phase_ == Phase::cancelled && is_over()) {
      go_on_to(Phase::released, now, settle_timeout);
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const auto& task : in_hand_) release(task);
    }
  }

  void go_on_to(Phase phase, Clock::time_point now, Timeout limit) {
    phase_ = phase;
    until_ = std::nullopt;
    if (limit.ms() >= 0 && limit.ms() < century_ms) until_ = now + std::chrono::milliseconds(limit.ms());
  }

  /// How long the phase lasts, in milliseconds; -1 without end.
  std::int64_t left_ms() const {
    if (!until_) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*until_ - Clock::now()).count();
    return std::max<std::int64_t>(left, 0);
  }

  /// One commit, and a wait for at most `ms` if there is nothing to do.
  Result<void> turn(std::int64_t n, std::int64_t ms) {
    std::vector<honker_settlement_t> raw;
    raw.reserve(pending_.size());
    for (const Finished& one : pending_) raw.push_back(settlement(one.id, one.serial, one.outcome));
    honker_jobs_t* out = nullptr;
    honker_error_t* err = nullptr;
    const honker_status_t status =
        honker_worker_settle_next(attached_->worker.get(), raw.data(), raw.size(), n, ms, &out, &err);
    const Owned<honker_jobs_t> jobs(out);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      waiting_ = false;
    }
    const Error error = make_error(attached_->core.get(), status < 0 ? status : HONKER_INTERNAL, err);
    std::vector<Finished> left;
    for (std::size_t i = 0; i < raw.size(); ++i) {
      Finished& one = pending_[i];
      const bool releases = one.outcome.kind() == HONKER_SETTLE_RELEASE;
      if (raw[i].status == HONKER_OK) {
        ++(releases ? report_.released : report_.settled);
      } else if (raw[i].status == HONKER_LOST && !releases) {
        ++report_.settled;  // by the handler
      } else if (raw[i].status < 0 && (raw[i].status == status || refuse(one, raw[i].status, error))) {
        left.push_back(std::move(one));
      }
    }
    pending_ = std::move(left);
    if (status < 0) return error;
    if (status == HONKER_CLOSED) return closed_error(*attached_->core);
    if (status != HONKER_OK) return {};
    if (auto taken = take_lost(jobs.get()); !taken.ok()) return taken;
    return take_claimed(jobs.get());
  }

  /// The file refused one settlement of a turn (a trigger of the user's, say). Whether it is to be given again: once,
  /// as a retry of the job. What is refused even so is left to the end of its claim.
  bool refuse(Finished& one, honker_status_t status, const Error& error) {
    const std::string why = std::string(honker_status_name(status)) + ": " + error.what();
    say(LogLevel::error, "cannot settle job " + std::to_string(one.id) +
                             (one.was_refused ? ", and leaves it to the end of its claim: " : ", and retries it: ") +
                             why);
    if (!std::exchange(one.was_refused, true)) {
      one.outcome = Outcome::retry("it could not be settled: " + why);
      return true;
    }
    honker_worker_settled(attached_->worker.get(), one.id, one.serial, nullptr);
    return false;
  }

  Result<void> take_lost(const honker_jobs_t* jobs) {
    honker_lost_job_view_t views[16];
    std::size_t read = 16;
    for (std::size_t first = 0; read == 16; first += read) {
      views[0] = HONKER_LOST_JOB_VIEW_INIT;
      const auto got = call(attached_->core, honker_jobs_lost, jobs, first, &views[0], 16, &read);
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
        if (one->serial == lost.serial && one->is_ours) task = one;
      }
      if (!task) return;
      task->is_ours = false;
      const auto queued = std::find(queued_.begin(), queued_.end(), task);
      if (queued != queued_.end()) {
        queued_.erase(queued);
        forget(task);
      }
    }
    task->cancellation->set(static_cast<CancelReason>(lost.reason));
    if (lost.reason != HONKER_LOST_TIMEOUT) {
      say(LogLevel::warning,
          "lost job " + std::to_string(task->id) + " of " + task->queue + ", which its handler is told");
      return;
    }
    failed(*task, Outcome::retry("timeout after " + std::to_string(max_run_s(*task)) + " s"), nullptr);
  }

  Result<void> take_claimed(const honker_jobs_t* jobs) {
    auto claimed = list_jobs(attached_->core, jobs);
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
    join_over(lock);
    bool is_short = is_short_of_threads_;
    Result<void> started;
    while (threads_.size() < in_hand_.size() && started.ok()) {
      started = start();
      is_short = !started.ok();
    }
    if (!started.ok()) release_queued(threads_.size());
    if (!started.ok() && threads_.empty()) return started;
    if (!started.ok()) next_start_ = Clock::now() + longest_rest;
    if (std::exchange(is_short_of_threads_, is_short) == is_short) return {};
    const std::string count = std::to_string(threads_.size());
    lock.unlock();
    if (is_short) {
      say(LogLevel::warning, "goes on with " + count + " of " + std::to_string(options_.concurrency) +
                                 " threads for now: " + text_of(started.error()));
    } else {
      say(LogLevel::info, "has more threads again");
    }
    return {};
  }

  // Threads. The lock is held in those that say so by what they are given.

  Result<void> start() {
    Thread& made = threads_.emplace_back();
    auto started = start_thread(made.thread, [self = shared_from_this(), &made] { self->handle_all(made); });
    if (!started.ok()) threads_.pop_back();
    return started;
  }

  /// Joins threads that their handlers have ended.
  void join_over(std::unique_lock<std::mutex>& lock) {
    for (auto thread = threads_.begin(); thread != threads_.end();) {
      if (!thread->is_over) {
        ++thread;
        continue;
      }
      lock.unlock();
      thread->thread.join();
      lock.lock();
      threads_.erase(thread);
      thread = threads_.begin();  // another may have ended meanwhile
    }
  }

  void handle_all(Thread& me) {
    struct Ending {
      Pool& pool;
      Thread& me;
      TaskPtr task;  // that which is being handled
      ~Ending() {
        // Before the loop can claim another job: it must not count on this thread for it.
        std::unique_lock<std::mutex> lock(pool.mutex_);
        me.is_over = true;
        lock.unlock();
        if (task) pool.finish(task, Outcome::retry("the handler ended its thread"), nullptr);  // pthread_exit()
        lock.lock();
        pool.over_.notify_all();
      }
    } ending{*this, me, nullptr};
    while ((ending.task = next())) {
      handle(ending.task);
      ending.task = nullptr;
    }
  }

  /// The next job to handle, waited for; nullptr when the run has ended.
  TaskPtr next() {
    std::unique_lock<std::mutex> lock(mutex_);
    work_.wait(lock, [&] { return ended_ || !queued_.empty(); });
    if (ended_) return nullptr;
    TaskPtr task = std::move(queued_.front());
    queued_.pop_front();
    return task;
  }

  void handle(const TaskPtr& task) {
    std::exception_ptr thrown;
    const auto failed = [&](const std::string& error) {
      // What a handler throws because it was told to stop is no failure.
      return task->cancellation->reason() != CancelReason::none ? Outcome::release() : Outcome::retry(error);
    };
    const auto outcome = caught_outcome([&] { return handler_(task->job); }, failed, thrown);
    finish(task, outcome, thrown);
  }

  void finish(const TaskPtr& task, const Outcome& outcome, const std::exception_ptr& exception) {
    bool is_ours = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_ours = task->is_ours;
    }
    if (is_ours && outcome.is_failure()) failed(*task, outcome, exception);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (task->is_ours) finished_.push_back({task->id, task->serial, outcome});
    forget(task);
    if (std::exchange(waiting_, false) && waiter_ != nullptr) honker_waiter_wake(waiter_, nullptr);
  }

  // With the lock held.

  /// How many more jobs may be in hand.
  std::int64_t places() const {
    const bool is_short = is_short_of_threads_ && Clock::now() < next_start_;
    const auto most =
        is_short ? std::max<std::int64_t>(static_cast<std::int64_t>(threads_.size()), 1) : options_.concurrency;
    return std::max<std::int64_t>(most - static_cast<std::int64_t>(in_hand_.size()), 0);
  }

  void release(const TaskPtr& task) {
    if (!task->is_ours) return;
    task->is_ours = false;
    finished_.push_back({task->id, task->serial, Outcome::release()});
  }

  /// What no thread has begun goes back, the last first, until so many are in hand.
  void release_queued(std::size_t in_hand = 0) {
    for (; !queued_.empty() && in_hand_.size() > in_hand; queued_.pop_back()) {
      release(queued_.back());
      forget(queued_.back());
    }
  }

  void forget(const TaskPtr& task) { in_hand_.erase(std::find(in_hand_.begin(), in_hand_.end(), task)); }

  // What is told.

  /// For how long a job may run, which it may say itself.
  std::int64_t max_run_s(const Task& task) const {
    const auto id = std::to_string(task.id);  // which may be among the dead by now
    const auto found = detail::text(task.core, honker_job_list, detail::handle(task.core), nullptr,
                                    R"({"min_id":)" + id + R"(,"max_id":)" + id + "}");
    const auto jobs = found.ok() ? JsonView::of(*found)["jobs"].elements() : std::vector<JsonView>();
    const auto of_job = jobs.empty() ? std::nullopt : jobs.front()["max_run_s"].integer();
    return of_job.value_or(options_.max_run_s.value_or(0));
  }

  /// What is set for the queue, or else for the worker.
  Backoff backoff_of(const std::string& queue, const CorePtr& core) const {
    const auto json = detail::text(core, honker_queue_settings, detail::handle(core), nullptr, queue);
    if (json.ok()) {
      if (const auto retry = read_settings(JsonView::of(*json)).retry) return *retry;
    }
    return {options_.retry_base_s, options_.retry_factor, options_.retry_max_s, options_.retry_jitter};
  }

  /// The delay after the nth failure, as the library has it, without the jitter.
  static std::int64_t delay_s(const Backoff& backoff, std::int64_t attempts) {
    if (backoff.base_s <= 0) return 0;
    constexpr double thousand_years = 1000.0 * 366 * 86400;
    const double delay = static_cast<double>(backoff.base_s) *
                         std::pow(backoff.factor, static_cast<double>(std::max<std::int64_t>(attempts - 1, 0)));
    const double limit = std::clamp(static_cast<double>(backoff.max_s), 0.0, thousand_years);
    return static_cast<std::int64_t>(std::round(std::min(delay, limit)));
  }

  void failed(const Task& task, const Outcome& outcome, const std::exception_ptr& exception) const {
    Failure failure{task.id, task.queue, task.attempts, task.max_attempts, outcome, std::nullopt, exception};
    std::string next = "dead";
    if (outcome.kind() == HONKER_SETTLE_RETRY && task.attempts < task.max_attempts) {
      failure.next_try_s = outcome.delay_s() != HONKER_NO_TIME
                               ? outcome.delay_s()
                               : delay_s(backoff_of(task.queue, task.core), task.attempts);
      next = "next try in " + std::to_string(*failure.next_try_s) + " s";
    }
    say(LogLevel::error, "failed at job " + std::to_string(task.id) + " of " + task.queue + ", attempt " +
                             std::to_string(task.attempts) + " of " + std::to_string(task.max_attempts) + ", " + next +
                             ": " + outcome.error());
    if (options_.on_error) static_cast<void>(thrown_by([&] { options_.on_error(failure); }));
  }

  static constexpr std::int64_t century_ms = 3155760000000;
  static constexpr std::chrono::milliseconds shortest_rest{100};
  static constexpr std::chrono::milliseconds longest_rest{10000};
  /// For how long the last settlements are tried when the worker has been stopped.
  static constexpr std::chrono::milliseconds settle_timeout{5000};

  const std::string worker_id_;
  const WorkerOptions options_;
  const Handler handler_;
  const StopPtr stop_;

  // The loop's.
  const Attached* attached_ = nullptr;
  Phase phase_ = Phase::working;
  std::optional<Clock::time_point> until_;
  std::vector<Finished> pending_;
  honker_status_t trouble_ = HONKER_OK;
  std::chrono::milliseconds rest_ = shortest_rest;
  bool is_short_of_threads_ = false;  // and tries again to start one at `next_start_`
  Clock::time_point next_start_;
  WorkerReport report_;

  // Under the lock; only the loop changes the list of threads.
  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable over_;
  std::list<Thread> threads_;
  std::deque<TaskPtr> queued_;
  std::vector<TaskPtr> in_hand_;
  std::vector<Finished> finished_;
  honker_waiter_t* waiter_ = nullptr;
  bool waiting_ = false;
  bool ended_ = false;
};

}  // namespace detail
}  // namespace honker

#endif  // HONKER_POOL_HPP
