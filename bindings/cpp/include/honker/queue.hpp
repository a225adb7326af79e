// Queues.
//
// Threads: a Queue may be used by any number of them.

#ifndef HONKER_QUEUE_HPP
#define HONKER_QUEUE_HPP

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
#include "job.hpp"
#include "jobs.hpp"
#include "settings.hpp"
#include "transaction.hpp"
#include "worker.hpp"

namespace honker {

/// A queue, made by Database::queue(). It is only a name and settings: copies are as good, and nothing is in the file
/// before the first job is.
///
/// Among the jobs that are due, larger priority goes first, then the earlier due time, then the smaller id. Jobs out of
/// attempts, failed or expired end among the dead, until they are requeued or purged.
class Queue {
 public:
  const std::string& name() const noexcept { return name_; }

  /// Adds a job; its id. It is due in `delay_s` seconds, which may be negative; larger `priority` is sooner.
  std::int64_t enqueue(std::string_view json, std::int64_t delay_s = 0, std::int64_t priority = 0) const {
    return enqueue(std::nothrow, json, delay_s, priority).value();
  }
  Result<std::int64_t> enqueue(std::nothrow_t, std::string_view json, std::int64_t delay_s = 0,
                               std::int64_t priority = 0) const noexcept {
    return id_of(enqueue_in(nullptr, json, options(delay_s, priority)));
  }
  /// The same with options, and what has come of it.
  Enqueued enqueue(std::string_view json, const EnqueueOptions& options) const {
    return enqueue(std::nothrow, json, options).value();
  }
  Result<Enqueued> enqueue(std::nothrow_t, std::string_view json, const EnqueueOptions& options) const noexcept {
    return enqueue_in(nullptr, json, options);
  }

  /// Adds a job in a transaction; its id.
  std::int64_t enqueue_tx(Transaction& tx, std::string_view json, std::int64_t delay_s = 0,
                          std::int64_t priority = 0) const {
    return enqueue_tx(std::nothrow, tx, json, delay_s, priority).value();
  }
  Result<std::int64_t> enqueue_tx(std::nothrow_t, Transaction& tx, std::string_view json, std::int64_t delay_s = 0,
                                  std::int64_t priority = 0) const noexcept {
    return id_of(enqueue_in(tx.handle(), json, options(delay_s, priority)));
  }
  Enqueued enqueue_tx(Transaction& tx, std::string_view json, const EnqueueOptions& options) const {
    return enqueue_tx(std::nothrow, tx, json, options).value();
  }
  Result<Enqueued> enqueue_tx(std::nothrow_t, Transaction& tx, std::string_view json,
                              const EnqueueOptions& options) const noexcept {
    return enqueue_in(tx.handle(), json, options);
  }

  /// Adds a job for each payload, all or none, in one commit; what has come of each. The ids of those that are added
  /// increase.
  std::vector<Enqueued> enqueue_many(const std::vector<std::string>& payloads,
                                     const EnqueueOptions& options = {}) const {
    return enqueue_many(std::nothrow, payloads, options).value();
  }
  Result<std::vector<Enqueued>> enqueue_many(std::nothrow_t, const std::vector<std::string>& payloads,
                                             const EnqueueOptions& options = {}) const noexcept {
    return enqueue_many_in(nullptr, payloads, options);
  }
  std::vector<Enqueued> enqueue_many_tx(Transaction& tx, const std::vector<std::string>& payloads,
                                        const EnqueueOptions& options = {}) const {
    return enqueue_many_tx(std::nothrow, tx, payloads, options).value();
  }
  Result<std::vector<Enqueued>> enqueue_many_tx(std::nothrow_t, Transaction& tx,
                                                const std::vector<std::string>& payloads,
                                                const EnqueueOptions& options = {}) const noexcept {
    return enqueue_many_in(tx.handle(), payloads, options);
  }

  /// Claims the next job for `worker_id`; empty if there is none. It is the worker's for the queue's visibility
  /// timeout. Worker ids should be unique among those that work at the same time.
  std::optional<Job> claim_one(std::string_view worker_id) const { return claim_one(std::nothrow, worker_id).value(); }
  Result<std::optional<Job>> claim_one(std::nothrow_t, std::string_view worker_id) const noexcept {
    auto jobs = claim(worker_id, 1);
    if (!jobs.ok()) return jobs.error();
    if (jobs->empty()) return std::optional<Job>();
    return std::optional<Job>(std::move(jobs->front()));
  }

  /// Claims up to `n` jobs for `worker_id`, in one commit. None, without a look at the database, if `n` is 0 or less.
  std::vector<Job> claim_batch(std::string_view worker_id, std::int64_t n) const {
    return claim_batch(std::nothrow, worker_id, n).value();
  }
  Result<std::vector<Job>> claim_batch(std::nothrow_t, std::string_view worker_id, std::int64_t n) const noexcept {
    if (n <= 0) return std::vector<Job>();
    return claim(worker_id, n);
  }

  /// What waits for jobs, and claims them as `worker_id`, for threads and loops of the caller's own.
  Jobs jobs(std::string_view worker_id) const { return jobs(std::nothrow, worker_id).value(); }
  Result<Jobs> jobs(std::nothrow_t, std::string_view worker_id) const noexcept {
    honker_worker_opts_t opts = HONKER_WORKER_OPTS_INIT;
    opts.visibility_timeout_s = visibility_timeout_s_;
    opts.heartbeat = 0;
    opts.rescue = 0;
    honker_worker_queue_t queue = HONKER_WORKER_QUEUE_INIT;
    queue.name = detail::view(name_);
    auto waiting = detail::make_waiting<honker_worker_t>(core_, honker_worker_new, &queue, 1, worker_id, &opts);
    if (!waiting.ok()) return waiting.error();
    return Jobs(std::move(*waiting));
  }

  /// A worker that handles the jobs of this queue, and claims them as `worker_id`, for the queue's visibility timeout
  /// unless the options say otherwise.
  Worker worker(std::string_view worker_id, WorkerOptions options = {}) const {
    if (!options.visibility_timeout_s) options.visibility_timeout_s = visibility_timeout_s_;
    return Worker(core_, {WorkerQueue{name_}}, worker_id, std::move(options));
  }

  /// The jobs are done: removes those that `worker_id` still holds, in one commit; how many that were.
  std::int64_t ack_batch(const std::vector<std::int64_t>& ids, std::string_view worker_id) const {
    return ack_batch(std::nothrow, ids, worker_id).value();
  }
  Result<std::int64_t> ack_batch(std::nothrow_t, const std::vector<std::int64_t>& ids,
                                 std::string_view worker_id) const noexcept {
    return detail::number(core_, honker_ack_batch, db(), nullptr, ids.data(), ids.size(), worker_id);
  }

  /// Changes what is set for the queue, in the file: it holds for every process from the commit on, and wakes the
  /// workers. Programs with a libhonker before 0.2 refuse to write to the file from then on. A value that a setting
  /// cannot have is HONKER_INVALID, and nothing is changed.
  void configure(const QueueChanges& changes) const { configure(std::nothrow, changes).value(); }
  Result<void> configure(std::nothrow_t, const QueueChanges& changes) const noexcept {
    return configure_with(detail::settings_json(changes));
  }

  /// What holds for the queue, whether or not anything is set.
  QueueSettings settings() const { return settings(std::nothrow).value(); }
  Result<QueueSettings> settings(std::nothrow_t) const noexcept {
    const auto json = detail::text(core_, honker_queue_settings, db(), nullptr, name_);
    if (!json.ok()) return json.error();
    const auto answer = detail::answered(*json);
    if (!answer.ok()) return answer.error();
    auto read = detail::read_settings(*answer);
    read.queue = name_;
    return read;
  }

  /// Nothing more is claimed from the queue, by anyone, until resume(). What runs goes on.
  void pause() const { pause(std::nothrow).value(); }
  Result<void> pause(std::nothrow_t) const noexcept { return configure_with(R"({"paused":true})"); }
  void resume() const { resume(std::nothrow).value(); }
  Result<void> resume(std::nothrow_t) const noexcept { return configure_with(R"({"paused":null})"); }

  /// Moves expired jobs that nobody holds to the dead; how many that were. Claims pass them by without it.
  std::int64_t sweep_expired() const { return sweep_expired(std::nothrow).value(); }
  Result<std::int64_t> sweep_expired(std::nothrow_t) const noexcept {
    return detail::number(core_, honker_sweep_expired, db(), nullptr, name_);
  }

  /// Removes a job of any queue, pending or claimed; who holds it finds its claim lost. False if there is no such job.
  bool cancel(std::int64_t id) const { return cancel(std::nothrow, id).value(); }
  Result<bool> cancel(std::nothrow_t, std::int64_t id) const noexcept {
    return detail::call(core_, honker_cancel, db(), nullptr, id);
  }

  /// Saves the result of a job, replacing an earlier one; it expires after `ttl_s` seconds, or never if that is 0 or
  /// less. A worker saves before it acks.
  void save_result(std::int64_t id, std::string_view value, std::int64_t ttl_s = 0) const {
    save_result(std::nothrow, id, value, ttl_s).value();
  }
  Result<void> save_result(std::nothrow_t, std::int64_t id, std::string_view value,
                           std::int64_t ttl_s = 0) const noexcept {
    return detail::done(core_, honker_result_save, db(), nullptr, id, value, ttl_s);
  }

  /// The result of a job, waited for. Empty if the time is over: that is an answer, and no error. A job that ends among
  /// the dead never has one. Only Database::close() and Database::interrupt() end the wait sooner.
  std::optional<std::string> wait_result(std::int64_t id, Timeout timeout = forever) const {
    return wait_result(std::nothrow, id, timeout).value();
  }
  Result<std::optional<std::string>> wait_result(std::nothrow_t, std::int64_t id,
                                                 Timeout timeout = forever) const noexcept {
    return detail::wait_result(core_, id, timeout);
  }

  /// One job of any queue, pending or claimed, as a JSON object with the keys id, queue, payload (a string), state
  /// ("pending" or "processing"), priority, run_at, worker_id, claim_expires_at, attempts, max_attempts, created_at and
  /// expires_at, and metadata if it has some; null for what is not set. Empty if there is no such job (any more).
  std::string get_job_json(std::int64_t id) const { return get_job_json(std::nothrow, id).value(); }
  Result<std::string> get_job_json(std::nothrow_t, std::int64_t id) const noexcept {
    return detail::text(core_, honker_get_job, db(), nullptr, id);
  }

  /// How many jobs there are: a JSON object with the keys queue, pending (due), delayed, claimed, expired and dead. It
  /// reads them all: for people, not for loops.
  std::string stats_json() const { return stats_json(std::nothrow).value(); }
  Result<std::string> stats_json(std::nothrow_t) const noexcept {
    return detail::text(core_, honker_queue_stats, db(), nullptr, name_);
  }

  /// When, in Unix seconds, a claim could next succeed without a further commit: a delayed job becoming due, or a claim
  /// lapsing. Empty if there is nothing to wait for. Jobs that can be claimed now do not count.
  std::optional<std::int64_t> next_claim_at() const { return next_claim_at(std::nothrow).value(); }
  Result<std::optional<std::int64_t>> next_claim_at(std::nothrow_t) const noexcept {
    return detail::optional_number(core_, honker_queue_next_claim_at, db(), nullptr, name_);
  }

  /// The dead of the queue, newest job first, at most `limit` unless that is negative: a JSON array of objects with the
  /// keys id, queue, payload (a string), priority, run_at, attempts, max_attempts, last_error, created_at,
  /// died_at, and metadata if it has some.
  std::string dead_json(std::int64_t limit = 100) const { return dead_json(std::nothrow, limit).value(); }
  Result<std::string> dead_json(std::nothrow_t, std::int64_t limit = 100) const noexcept {
    return detail::text(core_, honker_dead_list, db(), nullptr, name_, limit);
  }

  /// Makes a dead job of any queue live again: pending, due now, with its id, priority, options and steps, no
  /// attempts used and no expiry. False if there is no such dead job, or another one has its unique key.
  bool dead_requeue(std::int64_t id) const { return dead_requeue(std::nothrow, id).value(); }
  Result<bool> dead_requeue(std::nothrow_t, std::int64_t id) const noexcept {
    return detail::call(core_, honker_dead_requeue, db(), nullptr, id);
  }

  /// The dead of the queue by what they died of, the largest group first: a JSON array of objects with the keys error
  /// (in which # stands for a number or an id), count, and newest, the one that died last, as dead_json() has it.
  std::string dead_groups_json() const { return dead_groups_json(std::nothrow).value(); }
  Result<std::string> dead_groups_json(std::nothrow_t) const noexcept {
    return detail::text(core_, honker_dead_groups, db(), nullptr, name_);
  }

  /// Deletes the dead of the queue that died more than `older_than_s` seconds ago; how many that were.
  std::int64_t dead_purge(std::int64_t older_than_s) const { return dead_purge(std::nothrow, older_than_s).value(); }
  Result<std::int64_t> dead_purge(std::nothrow_t, std::int64_t older_than_s) const noexcept {
    return detail::number(core_, honker_dead_purge, db(), nullptr, name_, older_than_s);
  }

 private:
  friend class Database;

  Queue(detail::CorePtr core, std::string_view name, std::int64_t visibility_timeout_s,
        std::optional<std::int64_t> max_attempts)
      : core_(std::move(core)), name_(name), visibility_timeout_s_(visibility_timeout_s), max_attempts_(max_attempts) {}

  honker_db_t* db() const noexcept { return detail::handle(core_); }

  static Result<std::int64_t> id_of(const Result<Enqueued>& enqueued) {
    if (!enqueued.ok()) return enqueued.error();
    return enqueued->id;
  }

  Result<void> configure_with(const std::string& json) const {
    return detail::done(core_, honker_queue_configure, db(), nullptr, name_, json);
  }

  static EnqueueOptions options(std::int64_t delay_s, std::int64_t priority) {
    EnqueueOptions options;
    options.delay_s = delay_s;
    options.priority = priority;
    return options;
  }

  JobSpec spec(std::string_view json, EnqueueOptions options) const {
    if (!options.max_attempts) options.max_attempts = max_attempts_;
    return {name_, std::string(json), std::move(options)};
  }

  Result<Enqueued> enqueue_in(honker_tx_t* tx, std::string_view json, const EnqueueOptions& options) const {
    const auto enqueued = detail::enqueue(core_, tx, {spec(json, options)});
    if (!enqueued.ok()) return enqueued.error();
    return enqueued->front();
  }

  Result<std::vector<Enqueued>> enqueue_many_in(honker_tx_t* tx, const std::vector<std::string>& payloads,
                                                const EnqueueOptions& options) const {
    std::vector<JobSpec> jobs;
    jobs.reserve(payloads.size());
    for (const std::string& payload : payloads) jobs.push_back(spec(payload, options));
    return detail::enqueue(core_, tx, jobs);
  }

  Result<std::vector<Job>> claim(std::string_view worker_id, std::int64_t n) const {
    const auto jobs =
        detail::owned<honker_jobs_t>(core_, honker_claim, db(), nullptr, name_, worker_id, n, visibility_timeout_s_);
    if (!jobs.ok()) return jobs.error();
    if (*jobs == nullptr) return std::vector<Job>();
    return detail::list_jobs(core_, jobs->get());
  }

  detail::CorePtr core_;
  std::string name_;
  std::int64_t visibility_timeout_s_;
  std::optional<std::int64_t> max_attempts_;
};

}  // namespace honker

#endif  // HONKER_QUEUE_HPP
