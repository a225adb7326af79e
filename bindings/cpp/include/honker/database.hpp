// The database: where everything begins.
//
// Threads: a Database may be used by any number of them, as long as none moves, assigns or destroys it. Calls that
// write at the same moment share a commit; reads run beside them.

#ifndef HONKER_DATABASE_HPP
#define HONKER_DATABASE_HPP

#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "batch.hpp"
#include "detail.hpp"
#include "enqueue.hpp"
#include "job_list.hpp"
#include "lock.hpp"
#include "notification.hpp"
#include "options.hpp"
#include "outbox.hpp"
#include "outcome.hpp"
#include "queue.hpp"
#include "scheduler.hpp"
#include "settings.hpp"
#include "stream.hpp"
#include "transaction.hpp"
#include "waiter.hpp"
#include "worker.hpp"

namespace honker {

/// An open SQLite file. What a call has done is committed when it returns; should the process die in the middle of one,
/// it has happened completely or not at all.
class Database {
 public:
  /// Opens a file, creating it if need be, and brings honker's tables in it up to date.
  ///
  /// `path` is a file name or a `file:` URI, in UTF-8; or the URL of a Postgres server, see honker_open. In-memory
  /// databases are HONKER_INVALID: nobody else could see them. HONKER_CANNOT_OPEN, HONKER_READONLY, HONKER_CORRUPT,
  /// HONKER_FULL and HONKER_IO say what is wrong with the file; BusyError, that somebody kept it locked;
  /// ConnectionError, that the server is away; HONKER_UNSUPPORTED, that libhonker is too old for this header.
  ///
  /// `library_path` is not looked at: it is where other languages find libhonker, which this program is linked with.
  /// `watcher_backend` and `poll_interval_ms` are Options::watcher_backend and Options::watcher_poll_interval_ms; a
  /// back end that does not exist, or an interval that is not positive, is HONKER_INVALID.
  explicit Database(std::string_view path, std::string_view library_path = {}, std::string_view watcher_backend = {},
                    std::int64_t poll_interval_ms = 1)
      : Database(open(std::nothrow, path, library_path, watcher_backend, poll_interval_ms).value()) {}
  static Result<Database> open(std::nothrow_t, std::string_view path, std::string_view library_path = {},
                               std::string_view watcher_backend = {}, std::int64_t poll_interval_ms = 1) noexcept {
    static_cast<void>(library_path);
    Options options;
    options.watcher_backend = watcher_backend;
    options.watcher_poll_interval_ms = poll_interval_ms;
    return open(std::nothrow, path, options);
  }

  /// The same with other settings than the defaults.
  Database(std::string_view path, const Options& options) : Database(open(std::nothrow, path, options).value()) {}
  static Result<Database> open(std::nothrow_t, std::string_view path, const Options& options) noexcept {
    std::optional<Error> warning;
    auto core = detail::open(path, options, &warning);
    if (!core.ok()) return core.error();
    Database database(std::move(*core));
    database.warning_ = std::move(warning);
    return database;
  }

  Database(Database&&) noexcept = default;
  Database& operator=(Database&&) noexcept = default;

  /// As it was given. Empty if the object was moved from.
  std::string path() const { return core_ ? core_->path() : std::string(); }

  /// What honker has to say about a file that it could open nevertheless: on systems other than 64-bit Linux, that this
  /// process has it open through another copy of SQLite, by which both copies would lose their locks.
  const std::optional<Error>& warning() const noexcept { return warning_; }

  /// Closes the file: running and waiting calls of other threads end with ClosedError, an open transaction is rolled
  /// back, and when this returns the file is nobody's and can be deleted. Whatever came from this database answers
  /// ClosedError from then on. Closing again does nothing.
  ///
  /// The destructor does not need it. It closes the file if nothing that came from the database is left, and keeps
  /// errors to itself.
  void close() { close(std::nothrow).value(); }
  Result<void> close(std::nothrow_t) noexcept {
    if (!core_) return detail::make_error(nullptr, HONKER_MISUSE, nullptr);
    honker_db_t* db = core_->take();
    if (db == nullptr) return {};
    return detail::done(core_, honker_close, db);
  }

  /// Ends every call that is running or waiting on this database now, in whichever thread, with InterruptedError. Later
  /// calls are not affected.
  void interrupt() const { interrupt(std::nothrow).value(); }
  Result<void> interrupt(std::nothrow_t) const noexcept { return detail::done(core_, honker_interrupt, db()); }

  /// Begins a transaction. Waits, for as long as the busy timeout, for one that another thread or process has open;
  /// HONKER_MISUSE at once if this thread has one open itself: transactions do not nest.
  Transaction begin() const { return begin(std::nothrow).value(); }
  Result<Transaction> begin(std::nothrow_t) const noexcept { return detail::begin(core_); }

  /// Runs one statement of SQL that only reads; its rows, as they are committed. A statement that writes is
  /// HONKER_READONLY, and honker's SQL functions are not there: use a Transaction. `parameters` are the values of ?1,
  /// ?2, … in order; a statement with more or fewer parameters is HONKER_INVALID.
  Rows query(std::string_view sql, const std::vector<Value>& parameters = {}) const {
    return query(std::nothrow, sql, parameters).value();
  }
  Result<Rows> query(std::nothrow_t, std::string_view sql, const std::vector<Value>& parameters = {}) const noexcept {
    return detail::query(core_, sql, parameters);
  }

  /// A queue. Jobs claimed through it are their worker's for `visibility_timeout_s` seconds; those enqueued through it
  /// may be claimed `max_attempts` times, by default as often as is set for the queue (Queue::configure()), or else 3.
  Queue queue(std::string_view name, std::int64_t visibility_timeout_s = 300,
              std::optional<std::int64_t> max_attempts = std::nullopt) const {
    return Queue(core_, name, visibility_timeout_s, max_attempts);
  }

  /// The events of a topic.
  Stream stream(std::string_view topic) const { return Stream(core_, topic); }

  /// An outbox: what is enqueued there is given to `deliver`, and tried again if that throws, after `base_backoff_s`
  /// seconds, then twice as many, and so on; after `max_attempts` failures it is dead. A delivery may take
  /// `visibility_timeout_s` seconds. A function that is empty is HONKER_INVALID.
  Outbox outbox(std::string_view name, Outbox::Delivery deliver, std::int64_t visibility_timeout_s = 60,
                std::int64_t max_attempts = 5, std::int64_t base_backoff_s = 5) const {
    return outbox(std::nothrow, name, std::move(deliver), visibility_timeout_s, max_attempts, base_backoff_s).value();
  }
  Result<Outbox> outbox(std::nothrow_t, std::string_view name, Outbox::Delivery deliver,
                        std::int64_t visibility_timeout_s = 60, std::int64_t max_attempts = 5,
                        std::int64_t base_backoff_s = 5) const noexcept {
    if (!deliver) return Error(HONKER_INVALID, "the outbox " + std::string(name) + " has no function that delivers");
    auto queue = this->queue("_outbox:" + std::string(name), visibility_timeout_s, max_attempts);
    return Outbox(core_, name, std::move(queue), std::move(deliver), visibility_timeout_s, base_backoff_s);
  }

  /// The schedules.
  Scheduler scheduler() const { return Scheduler(core_); }

  /// Takes a lock for `owner`, for `ttl_s` seconds; empty if somebody else has it. An owner who has it already gets it
  /// again, not prolonged: without an `owner` it is taken for a new random one, which excludes everybody.
  std::optional<Lock> try_lock(std::string_view name, std::optional<std::string_view> owner = std::nullopt,
                               std::int64_t ttl_s = 60) const {
    return try_lock(std::nothrow, name, owner, ttl_s).value();
  }
  Result<std::optional<Lock>> try_lock(std::nothrow_t, std::string_view name,
                                       std::optional<std::string_view> owner = std::nullopt,
                                       std::int64_t ttl_s = 60) const noexcept {
    std::string token = owner ? std::string(*owner) : detail::random_owner();
    const auto taken = detail::call(core_, honker_lock_acquire, db(), nullptr, name, token, ttl_s);
    if (!taken.ok()) return taken.error();
    if (!*taken) return std::optional<Lock>();
    return std::optional<Lock>(Lock(core_, name, std::move(token), ttl_s));
  }

  /// Counts one use of `name` if there were fewer than `limit` in the current window of `per_s` seconds, in all
  /// processes; false, and nothing counted, otherwise. Windows are aligned to multiples of their length.
  bool try_rate_limit(std::string_view name, std::int64_t limit, std::int64_t per_s) const {
    return try_rate_limit(std::nothrow, name, limit, per_s).value();
  }
  Result<bool> try_rate_limit(std::nothrow_t, std::string_view name, std::int64_t limit,
                              std::int64_t per_s) const noexcept {
    return detail::call(core_, honker_rate_limit_try, db(), nullptr, name, limit, per_s);
  }

  /// Deletes the counts of windows that began more than `older_than_s` seconds ago; how many that were.
  std::int64_t sweep_rate_limits(std::int64_t older_than_s) const {
    return sweep_rate_limits(std::nothrow, older_than_s).value();
  }
  Result<std::int64_t> sweep_rate_limits(std::nothrow_t, std::int64_t older_than_s) const noexcept {
    return detail::number(core_, honker_rate_limit_sweep, db(), nullptr, older_than_s);
  }

  /// Adds jobs to any queues, each with options of its own, all or none, in one commit; what has come of each. The ids
  /// of those that are added increase.
  std::vector<Enqueued> enqueue_many(const std::vector<JobSpec>& jobs) const {
    return enqueue_many(std::nothrow, jobs).value();
  }
  Result<std::vector<Enqueued>> enqueue_many(std::nothrow_t, const std::vector<JobSpec>& jobs) const noexcept {
    return detail::enqueue(core_, nullptr, jobs);
  }
  std::vector<Enqueued> enqueue_many_tx(Transaction& tx, const std::vector<JobSpec>& jobs) const {
    return enqueue_many_tx(std::nothrow, tx, jobs).value();
  }
  Result<std::vector<Enqueued>> enqueue_many_tx(std::nothrow_t, Transaction& tx,
                                                const std::vector<JobSpec>& jobs) const noexcept {
    return detail::enqueue(core_, tx.handle(), jobs);
  }

  /// Creates a batch, has `function(batch)` add its jobs, and seals it; the batch. What the function throws comes
  /// through, and the batch is not sealed: it is never finished unless somebody seals it. With std::nothrow, where it
  /// may return a Result as well, that is HONKER_INVALID.
  ///
  ///     honker::BatchOptions options;
  ///     options.on_success = honker::JobSpec{"albums", "42"};
  ///     db.batch(options, [&](honker::Batch& batch) {
  ///       for (const auto& name : names) images.enqueue(name, batch.join());
  ///     });
  template <class Function, class = std::enable_if_t<std::is_invocable_v<Function&, Batch&>>>
  Batch batch(const BatchOptions& options, Function&& function) const {
    return batch_with<false>(options, function).value();
  }
  template <class Function, class = std::enable_if_t<std::is_invocable_v<Function&, Batch&>>>
  Result<Batch> batch(std::nothrow_t, const BatchOptions& options, Function&& function) const noexcept {
    return batch_with<true>(options, function);
  }
  template <class Function, class = std::enable_if_t<std::is_invocable_v<Function&, Batch&>>>
  Batch batch(Function&& function) const {
    return batch_with<false>({}, function).value();
  }
  template <class Function, class = std::enable_if_t<std::is_invocable_v<Function&, Batch&>>>
  Result<Batch> batch(std::nothrow_t, Function&& function) const noexcept {
    return batch_with<true>({}, function);
  }

  /// A batch that there is, by its id.
  Batch batch(std::int64_t id) const noexcept { return Batch(core_, id); }

  /// Creates a batch, to be sealed by whoever has added its jobs.
  Batch create_batch(const BatchOptions& options = {}) const { return create_batch(std::nothrow, options).value(); }
  Result<Batch> create_batch(std::nothrow_t, const BatchOptions& options = {}) const noexcept {
    return create_batch_in(nullptr, options);
  }
  Batch create_batch_tx(Transaction& tx, const BatchOptions& options = {}) const {
    return create_batch_tx(std::nothrow, tx, options).value();
  }
  Result<Batch> create_batch_tx(std::nothrow_t, Transaction& tx, const BatchOptions& options = {}) const noexcept {
    return create_batch_in(tx.handle(), options);
  }

  /// The jobs of all queues and states that a filter finds, to be looked at or acted on.
  JobList jobs(JobFilter filter = {}) const { return JobList(core_, std::move(filter)); }

  /// What a step of a job has come to (Job::step()), as a text; empty if it has not been done, or the job is gone.
  std::optional<std::string> get_step(std::int64_t job_id, std::string_view name) const {
    return get_step(std::nothrow, job_id, name).value();
  }
  Result<std::optional<std::string>> get_step(std::nothrow_t, std::int64_t job_id,
                                              std::string_view name) const noexcept {
    return detail::optional_text(core_, honker_step_get, db(), nullptr, job_id, name);
  }

  /// What holds for every queue that has settings or a job, by name.
  std::vector<QueueSettings> queues() const { return queues(std::nothrow).value(); }
  Result<std::vector<QueueSettings>> queues(std::nothrow_t) const noexcept {
    const auto json = detail::text(core_, honker_queues, db(), nullptr);
    if (!json.ok()) return json.error();
    return detail::read_all_settings(*json);
  }

  /// Saves the result of a job, replacing an earlier one; it expires after `ttl_s` seconds, or never if that is 0 or
  /// less.
  void save_result(std::int64_t id, std::string_view value, std::int64_t ttl_s = 0) const {
    save_result(std::nothrow, id, value, ttl_s).value();
  }
  Result<void> save_result(std::nothrow_t, std::int64_t id, std::string_view value,
                           std::int64_t ttl_s = 0) const noexcept {
    return save_result_in(nullptr, id, value, ttl_s);
  }
  void save_result_tx(Transaction& tx, std::int64_t id, std::string_view value, std::int64_t ttl_s = 0) const {
    save_result_tx(std::nothrow, tx, id, value, ttl_s).value();
  }
  Result<void> save_result_tx(std::nothrow_t, Transaction& tx, std::int64_t id, std::string_view value,
                              std::int64_t ttl_s = 0) const noexcept {
    return save_result_in(tx.handle(), id, value, ttl_s);
  }

  /// The result of a job; empty if there is none (yet, or any more).
  std::optional<std::string> get_result(std::int64_t id) const { return get_result(std::nothrow, id).value(); }
  Result<std::optional<std::string>> get_result(std::nothrow_t, std::int64_t id) const noexcept {
    return detail::optional_text(core_, honker_result_get, db(), nullptr, id);
  }

  /// As Queue::wait_result().
  std::optional<std::string> wait_result(std::int64_t id, Timeout timeout = forever) const {
    return wait_result(std::nothrow, id, timeout).value();
  }
  Result<std::optional<std::string>> wait_result(std::nothrow_t, std::int64_t id,
                                                 Timeout timeout = forever) const noexcept {
    return detail::wait_result(core_, id, timeout);
  }

  /// Deletes expired results; how many that were.
  std::int64_t sweep_results() const { return sweep_results(std::nothrow).value(); }
  Result<std::int64_t> sweep_results(std::nothrow_t) const noexcept {
    return detail::number(core_, honker_result_sweep, db(), nullptr);
  }

  /// Adds a notification for the listeners of a channel; its id. They see it when it is committed.
  std::int64_t notify(std::string_view channel, std::string_view json) const {
    return notify(std::nothrow, channel, json).value();
  }
  Result<std::int64_t> notify(std::nothrow_t, std::string_view channel, std::string_view json) const noexcept {
    return notify_in(nullptr, channel, json);
  }
  std::int64_t notify_tx(Transaction& tx, std::string_view channel, std::string_view json) const {
    return notify_tx(std::nothrow, tx, channel, json).value();
  }
  Result<std::int64_t> notify_tx(std::nothrow_t, Transaction& tx, std::string_view channel,
                                 std::string_view json) const noexcept {
    return notify_in(tx.handle(), channel, json);
  }

  /// Listens to a channel: to everything that is committed after this returned, and to nothing from before.
  Subscription listen(std::string_view channel) const { return listen(std::nothrow, channel).value(); }
  Result<Subscription> listen(std::nothrow_t, std::string_view channel) const noexcept {
    constexpr std::int64_t fallback_ms = 15000;
    auto waiting = detail::make_waiting<honker_listener_t>(core_, honker_listener_new, channel, fallback_ms);
    if (!waiting.ok()) return waiting.error();
    return Subscription(std::move(*waiting));
  }

  /// Waits for commits to the file, whatever they are about: every commit after this returned counts.
  Updates updates() const { return updates(std::nothrow).value(); }
  Result<Updates> updates(std::nothrow_t) const noexcept {
    auto waiting = detail::make_waiting<honker_updates_t>(core_, honker_updates_new);
    if (!waiting.ok()) return waiting.error();
    return Updates(std::move(*waiting));
  }

  /// Where all consumers of this database wait, for event loops.
  Waiter waiter() const { return waiter(std::nothrow).value(); }
  Result<Waiter> waiter(std::nothrow_t) const noexcept {
    const auto made = detail::shared_waiter(core_);
    if (!made.ok()) return made.error();
    if (core_->handle() == nullptr) return detail::closed_error(*core_);
    return Waiter(core_);
  }

  /// A worker of several queues; Queue::worker() makes one of a single queue. A database without queues, or with one of
  /// them twice, is HONKER_INVALID, which run() says.
  Worker worker(std::vector<WorkerQueue> queues, std::string_view worker_id, WorkerOptions options = {}) const {
    return Worker(core_, std::move(queues), worker_id, std::move(options));
  }

  /// Deletes the notifications that are older than `older_than_s` seconds, and those that are not among the `max_keep`
  /// newest; how many that were. An empty one leaves its criterion out. A negative `max_keep` is HONKER_INVALID.
  std::int64_t prune_notifications(std::optional<std::int64_t> older_than_s,
                                   std::optional<std::int64_t> max_keep = std::nullopt) const {
    return prune_notifications(std::nothrow, older_than_s, max_keep).value();
  }
  Result<std::int64_t> prune_notifications(std::nothrow_t, std::optional<std::int64_t> older_than_s,
                                           std::optional<std::int64_t> max_keep = std::nullopt) const noexcept {
    return detail::number(core_, honker_notifications_prune, db(), nullptr, older_than_s.value_or(HONKER_NO_TIME),
                          max_keep.value_or(HONKER_NO_TIME));
  }

  /// Sets for how many seconds notifications are kept (`use_default`: until somebody prunes them). The workers, and
  /// those who run schedules, remove the others within a minute.
  void keep_notifications(Change<std::int64_t> keep_s) const { keep_notifications(std::nothrow, keep_s).value(); }
  Result<void> keep_notifications(std::nothrow_t, Change<std::int64_t> keep_s) const noexcept {
    detail::JsonObject object;
    detail::add_change(object, "keep_s", keep_s);
    return detail::done(core_, honker_notifications_configure, db(), nullptr, object.text());
  }

  /// How many jobs there are: a JSON array of objects as of Queue::stats_json(), one for each queue that has a job.
  std::string stats_json() const { return stats_json(std::nothrow).value(); }
  Result<std::string> stats_json(std::nothrow_t) const noexcept {
    return detail::text(core_, honker_queue_stats, db(), nullptr, nullptr, 0);
  }

  /// The state of this open database, for people and monitoring: a JSON object with the keys file, connections,
  /// versions, warnings and watcher, which honker_status of honker.h explains. It waits for nobody.
  std::string status_json() const { return status_json(std::nothrow).value(); }
  Result<std::string> status_json(std::nothrow_t) const noexcept { return detail::text(core_, honker_status, db()); }

  /// What is known of each queue, for monitoring: a JSON object whose key queues is an array of objects with the keys
  /// queue, counts, wait, run and depth, which honker_metrics of honker.h explains. Counts are those of calls of
  /// libhonker's, in all processes, and up to ten seconds late.
  std::string metrics_json() const { return metrics_json(std::nothrow).value(); }
  Result<std::string> metrics_json(std::nothrow_t) const noexcept {
    return detail::text(core_, honker_metrics, db(), nullptr);
  }

  /// The dead of all queues by what they died of, as of Queue::dead_groups_json().
  std::string dead_groups_json() const { return dead_groups_json(std::nothrow).value(); }
  Result<std::string> dead_groups_json(std::nothrow_t) const noexcept {
    return detail::text(core_, honker_dead_groups, db(), nullptr, nullptr, 0);
  }

  /// The dead of all queues, as of Queue::dead_json().
  std::string dead_json(std::int64_t limit = 100) const { return dead_json(std::nothrow, limit).value(); }
  Result<std::string> dead_json(std::nothrow_t, std::int64_t limit = 100) const noexcept {
    return detail::text(core_, honker_dead_list, db(), nullptr, nullptr, 0, limit);
  }

  /// Deletes the dead of all queues that died more than `older_than_s` seconds ago; how many that were.
  std::int64_t dead_purge(std::int64_t older_than_s) const { return dead_purge(std::nothrow, older_than_s).value(); }
  Result<std::int64_t> dead_purge(std::nothrow_t, std::int64_t older_than_s) const noexcept {
    return detail::number(core_, honker_dead_purge, db(), nullptr, nullptr, 0, older_than_s);
  }

 private:
  explicit Database(detail::CorePtr core) noexcept : core_(std::move(core)) {}

  honker_db_t* db() const noexcept { return detail::handle(core_); }

  Result<Batch> create_batch_in(honker_tx_t* tx, const BatchOptions& options) const {
    const auto json = detail::batch_json(options);
    if (!json.ok()) return json.error();
    const auto id = detail::number(core_, honker_batch_create, db(), tx, *json);
    if (!id.ok()) return id.error();
    return Batch(core_, *id);
  }

  template <bool Catches, class Function>
  Result<Batch> batch_with(const BatchOptions& options, Function& function) const {
    auto batch = create_batch(std::nothrow, options);
    if (!batch.ok()) return batch;
    const auto filled = detail::guarded<Catches>("the function of the batch", [&]() -> Result<void> {
      if (auto returned = detail::returned_by(function, *batch); !returned.ok()) return returned.error();
      return {};
    });
    if (!filled.ok()) return filled.error();
    if (auto sealed = batch->seal(std::nothrow); !sealed.ok()) return sealed.error();
    return batch;
  }

  Result<void> save_result_in(honker_tx_t* tx, std::int64_t id, std::string_view value, std::int64_t ttl_s) const {
    return detail::done(core_, honker_result_save, db(), tx, id, value, ttl_s);
  }

  Result<std::int64_t> notify_in(honker_tx_t* tx, std::string_view channel, std::string_view json) const {
    return detail::number(core_, honker_notify, db(), tx, channel, json);
  }

  detail::CorePtr core_;
  std::optional<Error> warning_;
};

}  // namespace honker

#endif  // HONKER_DATABASE_HPP
