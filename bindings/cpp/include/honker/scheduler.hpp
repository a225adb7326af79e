// The scheduler: jobs that are enqueued at times of the calendar, or at intervals.
//
// Threads: a Scheduler may be used by any number of them, a Leader by one at a time.

#ifndef HONKER_SCHEDULER_HPP
#define HONKER_SCHEDULER_HPP

#include <atomic>
#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "consumer.hpp"
#include "detail.hpp"
#include "enqueue.hpp"
#include "options.hpp"

namespace honker {

/// One boundary of a schedule that a tick has fired.
struct ScheduledFire {
  /// The schedule.
  std::string name;
  /// Where its job went.
  std::string queue;
  /// The boundary, in Unix seconds.
  std::int64_t fire_at = 0;
  /// The job, or that which has its unique key; 0 if it was skipped.
  std::int64_t job_id = 0;
  EnqueueStatus status = EnqueueStatus::enqueued;
};

/// What becomes of a boundary while the last job that the schedule has enqueued is live.
enum class Overlap : std::uint32_t {
  allow = HONKER_OVERLAP_ALLOW,  ///< Another one is enqueued.
  skip = HONKER_OVERLAP_SKIP,    ///< None is, unless no claim may take the last one any more.
};

/// How the jobs of a schedule are enqueued.
struct ScheduleOptions {
  /// Without `run_at` and `member`; `expires_s` counts from the boundary, and `max_attempts` is the queue's by default.
  EnqueueOptions job = {};
  Overlap overlap = Overlap::allow;
};

/// For Scheduler::update(): the jobs of the schedule do not expire any more.
inline constexpr std::optional<std::int64_t> never_expires{};

namespace detail {

inline Result<std::vector<ScheduledFire>> list_fires(const CorePtr& core, const honker_fires_t* fires) {
  return list<ScheduledFire>(core, fires, honker_fire_view_t HONKER_FIRE_VIEW_INIT, honker_fires_len, honker_fires_get,
                             [](const honker_fire_view_t& view) {
                               return ScheduledFire{string(view.name), string(view.queue), view.fire_at, view.job_id,
                                                    static_cast<EnqueueStatus>(view.status)};
                             });
}

}  // namespace detail

/// One of those who may fire the schedules of a file: one of them all leads, the others stand by; made by
/// Scheduler::leader(). Scheduler::run() does with it what most programs want.
///
/// One that dies is replaced within a minute, one that is closed, destroyed or resigns at once. If the database is
/// closed first, that counts as death.
class Leader : public Consumer<honker_leader_t> {
 public:
  /// Leads, or stands by, until something is fired: what that was. None if the time is over, or wake() was called. To
  /// be called again and again, at least every 20 seconds: only in here is leadership kept, or taken. An error ends it.
  std::vector<ScheduledFire> next(Timeout timeout = forever) { return next(std::nothrow, timeout).value(); }
  Result<std::vector<ScheduledFire>> next(std::nothrow_t, Timeout timeout = forever) noexcept {
    const auto fires = wait_for<honker_fires_t>(timeout, honker_leader_next);
    if (!fires.ok()) return fires.error();
    return detail::list_fires(core(), fires->get());
  }

  /// Whether this one leads, as far as it knows.
  bool leads() const { return leads(std::nothrow).value(); }
  Result<bool> leads(std::nothrow_t) const noexcept {
    std::int64_t leads = 0;
    const auto got = call(honker_leader_leads, &leads);
    if (!got.ok()) return got.error();
    return leads != 0;
  }

  /// Gives leadership up, so that somebody who stands by takes over at once. Does nothing if this one does not lead.
  void resign() { resign(std::nothrow).value(); }
  Result<void> resign(std::nothrow_t) noexcept { return call(honker_leader_resign); }

 private:
  friend class Scheduler;
  using Consumer::Consumer;
};

/// The schedules of a database, made by Database::scheduler(). They are in the file, shared by all processes, and stay
/// there. A schedule only enqueues; workers on its queue do the work. Somebody has to run(), or to call tick() now and
/// then: any number of processes may, each boundary is fired once.
class Scheduler {
 public:
  /// Adds a schedule, or replaces the one of that name: at every boundary of `expression` a job with the payload `json`
  /// goes into `queue`. Its jobs may not be claimed any more `expires_s` seconds after their boundary, and not more
  /// often than `max_attempts` times; less than 1 means 1, none what is set for the queue, or else 3.
  ///
  /// An expression has five fields (minute, hour, day of month, month, day of week), six with seconds in front, or is a
  /// macro such as @daily or an interval such as "@every 5m"; "CRON_TZ=Europe/Berlin " before it sets the time zone,
  /// which otherwise is this process's. What cannot be parsed, or never comes, is HONKER_INVALID and changes nothing.
  /// The next boundary of a schedule that is added again stays if the expression is the same; a paused one stays
  /// paused.
  void add(std::string_view name, std::string_view queue, std::string_view expression, std::string_view json,
           std::int64_t priority = 0, std::optional<std::int64_t> expires_s = std::nullopt,
           std::optional<std::int64_t> max_attempts = std::nullopt) const {
    add(std::nothrow, name, queue, expression, json, priority, expires_s, max_attempts).value();
  }
  Result<void> add(std::nothrow_t, std::string_view name, std::string_view queue, std::string_view expression,
                   std::string_view json, std::int64_t priority = 0,
                   std::optional<std::int64_t> expires_s = std::nullopt,
                   std::optional<std::int64_t> max_attempts = std::nullopt) const noexcept {
    if (auto set = detail::check_is_set("expires_s", expires_s); !set.ok()) return set.error();
    honker_schedule_opts_t opts = HONKER_SCHEDULE_OPTS_INIT;
    opts.priority = priority;
    opts.expires_s = expires_s.value_or(HONKER_NO_TIME);
    opts.max_attempts = max_attempts.value_or(HONKER_NO_TIME);
    return detail::done(core_, honker_scheduler_register, db(), nullptr, name, queue, expression, json, &opts);
  }

  /// The same with all options of a job, and of overlaps. What is not said of its jobs again is forgotten.
  void add(std::string_view name, std::string_view queue, std::string_view expression, std::string_view json,
           const ScheduleOptions& options) const {
    add(std::nothrow, name, queue, expression, json, options).value();
  }
  Result<void> add(std::nothrow_t, std::string_view name, std::string_view queue, std::string_view expression,
                   std::string_view json, const ScheduleOptions& options) const noexcept {
    auto job = detail::enqueue_opts(options.job);
    if (!job.ok()) return job.error();
    honker_schedule_opts_t opts = HONKER_SCHEDULE_OPTS_INIT;
    opts.priority = std::exchange(job->priority, 0);
    opts.expires_s = std::exchange(job->expires_s, HONKER_NO_TIME);
    opts.max_attempts = options.job.max_attempts.value_or(opts.max_attempts);
    job->max_attempts = HONKER_NO_TIME;
    opts.job = &*job;
    opts.overlap = static_cast<std::uint32_t>(options.overlap);
    return detail::done(core_, honker_scheduler_register, db(), nullptr, name, queue, expression, json, &opts);
  }

  /// Removes a schedule; jobs it has enqueued stay. False if there is none of that name.
  bool remove(std::string_view name) const { return remove(std::nothrow, name).value(); }
  Result<bool> remove(std::nothrow_t, std::string_view name) const noexcept {
    return named(honker_scheduler_unregister, name);
  }

  /// Changes what is given of a schedule, for the jobs to come. `{}` leaves a part as it is. A new expression computes
  /// the next boundary from now; `never_expires` takes the expiry away. False, and nothing changed, if there is no
  /// schedule of that name or nothing is given.
  bool update(std::string_view name, std::optional<std::string_view> expression = std::nullopt,
              std::optional<std::string_view> json = std::nullopt, std::optional<std::int64_t> priority = std::nullopt,
              std::optional<std::optional<std::int64_t>> expires_s = std::nullopt,
              std::optional<std::int64_t> max_attempts = std::nullopt) const {
    return update(std::nothrow, name, expression, json, priority, expires_s, max_attempts).value();
  }
  Result<bool> update(std::nothrow_t, std::string_view name, std::optional<std::string_view> expression = std::nullopt,
                      std::optional<std::string_view> json = std::nullopt,
                      std::optional<std::int64_t> priority = std::nullopt,
                      std::optional<std::optional<std::int64_t>> expires_s = std::nullopt,
                      std::optional<std::int64_t> max_attempts = std::nullopt) const noexcept {
    if (auto set = detail::check_is_set("expires_s", expires_s.value_or(std::nullopt)); !set.ok()) return set.error();
    if (auto set = detail::check_is_set("max_attempts", max_attempts); !set.ok()) return set.error();
    honker_schedule_update_t changes = HONKER_SCHEDULE_UPDATE_INIT;
    if (expression) {
      changes.fields |= HONKER_UPDATE_EXPRESSION;
      changes.expression = detail::view(*expression);
    }
    if (json) {
      changes.fields |= HONKER_UPDATE_PAYLOAD;
      changes.payload = detail::view(*json);
    }
    if (priority) {
      changes.fields |= HONKER_UPDATE_PRIORITY;
      changes.priority = *priority;
    }
    if (expires_s) {
      changes.fields |= HONKER_UPDATE_EXPIRES;
      changes.expires_s = expires_s->value_or(HONKER_NO_TIME);
    }
    if (max_attempts) {
      changes.fields |= HONKER_UPDATE_MAX_ATTEMPTS;
      changes.max_attempts = *max_attempts;
    }
    return detail::call(core_, honker_scheduler_update, db(), nullptr, name, &changes);
  }

  /// Pauses a schedule. False if there is none of that name, or it is paused already.
  bool pause(std::string_view name) const { return pause(std::nothrow, name).value(); }
  Result<bool> pause(std::nothrow_t, std::string_view name) const noexcept {
    return named(honker_scheduler_pause, name);
  }

  /// Resumes a paused schedule; the boundaries it missed are fired by the next tick, 64 at most. False if there is none
  /// of that name, or it is not paused.
  bool resume(std::string_view name) const { return resume(std::nothrow, name).value(); }
  Result<bool> resume(std::nothrow_t, std::string_view name) const noexcept {
    return named(honker_scheduler_resume, name);
  }

  /// Enqueues a job for every boundary up to `until`, in Unix seconds, by default now, that no tick has fired yet, of
  /// every schedule that is not paused: oldest first, 64 for each schedule at most, the rest is skipped. What was
  /// fired.
  std::vector<ScheduledFire> tick(std::optional<std::int64_t> until = std::nullopt) const {
    return tick(std::nothrow, until).value();
  }
  Result<std::vector<ScheduledFire>> tick(std::nothrow_t,
                                          std::optional<std::int64_t> until = std::nullopt) const noexcept {
    if (auto set = detail::check_is_set("until", until); !set.ok()) return set.error();
    const auto fires =
        detail::owned<honker_fires_t>(core_, honker_scheduler_tick, db(), nullptr, until.value_or(HONKER_NO_TIME));
    if (!fires.ok()) return fires.error();
    return detail::list_fires(core_, fires->get());
  }

  /// Fires what is due, when it is due, until `stop` is set. Of all that run on a file, in any process, one leads and
  /// the others stand by; on stopping it hands over at once. With nothing to fire it waits for a schedule to be added.
  /// `owner` is its name among them, which nobody else may have; by default a random one.
  ///
  /// `stop` is looked at every 100 ms. Errors of the database end the loop, but those of the moment, such as a locked
  /// file or a full disk (Error::is_transient()): then it tries again.
  void run(const std::atomic<bool>& stop, std::optional<std::string_view> owner = std::nullopt) const {
    run(std::nothrow, stop, owner).value();
  }
  Result<void> run(std::nothrow_t, const std::atomic<bool>& stop,
                   std::optional<std::string_view> owner = std::nullopt) const noexcept {
    auto leader = this->leader(std::nothrow, owner);
    if (!leader.ok()) return leader.error();
    return run_as(*leader, stop, detail::stop_interval);
  }

#ifdef __cpp_lib_jthread
  /// The same, stopped by a token, at once.
  void run(std::stop_token stop, std::optional<std::string_view> owner = std::nullopt) const {
    run(std::nothrow, std::move(stop), owner).value();
  }
  Result<void> run(std::nothrow_t, std::stop_token stop,
                   std::optional<std::string_view> owner = std::nullopt) const noexcept {
    auto leader = this->leader(std::nothrow, owner);
    if (!leader.ok()) return leader.error();
    return detail::until_stopped(stop, *leader,
                                 [&](const std::atomic<bool>& stopped) { return run_as(*leader, stopped, forever); });
  }
#endif

  /// A candidate for those who need more than run(). `owner` is its name, as for run().
  Leader leader(std::optional<std::string_view> owner = std::nullopt) const {
    return leader(std::nothrow, owner).value();
  }
  Result<Leader> leader(std::nothrow_t, std::optional<std::string_view> owner = std::nullopt) const noexcept {
    const std::string name = owner ? std::string(*owner) : detail::random_owner();
    auto waiting = detail::make_waiting<honker_leader_t>(core_, honker_leader_new, name);
    if (!waiting.ok()) return waiting.error();
    return Leader(std::move(*waiting));
  }

  /// The next boundary, in Unix seconds, of any schedule that is not paused; it may lie in the past. Empty if there is
  /// none.
  std::optional<std::int64_t> soonest() const { return soonest(std::nothrow).value(); }
  Result<std::optional<std::int64_t>> soonest(std::nothrow_t) const noexcept {
    return detail::optional_number(core_, honker_scheduler_soonest, db(), nullptr);
  }

  /// All schedules by name: a JSON array of objects with the keys name, queue, cron_expr, payload (a string), priority,
  /// expires_s, next_fire_at, enabled and max_attempts.
  std::string list_json() const { return list_json(std::nothrow).value(); }
  Result<std::string> list_json(std::nothrow_t) const noexcept {
    return detail::text(core_, honker_scheduler_list, db(), nullptr);
  }

  /// The first boundary of an expression after `from`, both in Unix seconds. It needs no database.
  static std::int64_t next_after(std::string_view expression, std::int64_t from) {
    return next_after(std::nothrow, expression, from).value();
  }
  static Result<std::int64_t> next_after(std::nothrow_t, std::string_view expression, std::int64_t from) noexcept {
    if (auto fits = detail::check_abi(); !fits.ok()) return fits.error();
    return detail::number(nullptr, honker_cron_next_after, expression, from);
  }

 private:
  friend class Database;

  explicit Scheduler(detail::CorePtr core) noexcept : core_(std::move(core)) {}

  honker_db_t* db() const noexcept { return detail::handle(core_); }

  static Result<void> run_as(Leader& leader, const std::atomic<bool>& stop, Timeout interval) {
    while (!stop) {
      const auto fires = detail::make_until(stop, [&] { return leader.next(std::nothrow, interval); });
      if (!fires.ok()) return fires.error();
    }
    return leader.resign(std::nothrow);
  }

  Result<bool> named(honker_status_t (*function)(honker_db_t*, honker_tx_t*, const std::uint8_t*, std::size_t,
                                                 honker_error_t**),
                     std::string_view name) const {
    return detail::call(core_, function, db(), nullptr, name);
  }

  detail::CorePtr core_;
};

}  // namespace honker

#endif  // HONKER_SCHEDULER_HPP
