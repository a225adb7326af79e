// Queues, and the jobs that are claimed from them.
//
// Threads: a Queue may be used by any number of them; a Job by one at a time.

#ifndef HONKER_QUEUE_HPP
#define HONKER_QUEUE_HPP

#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "detail.hpp"
#include "transaction.hpp"

namespace honker {

/// How a job is enqueued.
struct EnqueueOptions {
  /// When the job becomes due, in Unix seconds. Default now. Not looked at if `delay_s` is set.
  std::optional<std::int64_t> run_at = std::nullopt;
  /// In how many seconds the job becomes due; may be negative.
  std::optional<std::int64_t> delay_s = std::nullopt;
  /// After how many seconds from now the job may not be claimed any more; 0 or less means never. Default: no limit.
  std::optional<std::int64_t> expires_s = std::nullopt;
  /// Larger is sooner.
  std::int64_t priority = 0;
  /// How often the job may be claimed. Default: what the Queue was made with.
  std::optional<std::int64_t> max_attempts = std::nullopt;
};

/// A job that a worker has claimed. It is the worker's until it is settled (ack, retry, fail) or its time is over.
///
/// The functions that settle it answer true if and only if they changed the file, and false if the claim was lost:
/// it ran out, went to another worker, or was settled already. Destroying a Job settles nothing: the job goes to
/// whoever claims next once its time is over, as it does if the process dies.
class Job {
 public:
  Job(Job&&) noexcept = default;
  Job& operator=(Job&&) noexcept = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  std::int64_t id() const noexcept { return id_; }
  const std::string& queue() const noexcept { return queue_; }
  /// As it was enqueued.
  const std::string& payload() const noexcept { return payload_; }
  const std::string& worker_id() const noexcept { return worker_id_; }
  /// How often the job has been claimed, this time included.
  std::int64_t attempts() const noexcept { return attempts_; }
  /// The last second, in Unix time, in which the claim is valid. A heartbeat does not change what this returns.
  std::int64_t claim_expires_at() const noexcept { return claim_expires_at_; }

  /// The job is done: removes it.
  bool ack() { return ack(std::nothrow).value(); }
  Result<bool> ack(std::nothrow_t) noexcept { return ack_in(nullptr); }
  /// The same together with what the job has written: the way to have its effects exactly once.
  bool ack_tx(Transaction& tx) { return ack_tx(std::nothrow, tx).value(); }
  Result<bool> ack_tx(std::nothrow_t, Transaction& tx) noexcept { return ack_in(tx.handle()); }

  /// The job could not be done now: it becomes due again in `delay_s` seconds, or, if its attempts are used up, ends
  /// among the dead with the text `error`. What is not UTF-8 in `error` is replaced by '?', so that an exception's
  /// what() can always be given.
  bool retry(std::int64_t delay_s, std::string_view error) { return retry(std::nothrow, delay_s, error).value(); }
  Result<bool> retry(std::nothrow_t, std::int64_t delay_s, std::string_view error) noexcept {
    return retry_in(nullptr, delay_s, error);
  }
  bool retry_tx(Transaction& tx, std::int64_t delay_s, std::string_view error) {
    return retry_tx(std::nothrow, tx, delay_s, error).value();
  }
  Result<bool> retry_tx(std::nothrow_t, Transaction& tx, std::int64_t delay_s, std::string_view error) noexcept {
    return retry_in(tx.handle(), delay_s, error);
  }

  /// The job can never be done: it ends among the dead with the text `error`, whatever attempts it has left.
  bool fail(std::string_view error) { return fail(std::nothrow, error).value(); }
  Result<bool> fail(std::nothrow_t, std::string_view error) noexcept { return fail_in(nullptr, error); }
  bool fail_tx(Transaction& tx, std::string_view error) { return fail_tx(std::nothrow, tx, error).value(); }
  Result<bool> fail_tx(std::nothrow_t, Transaction& tx, std::string_view error) noexcept {
    return fail_in(tx.handle(), error);
  }

  /// The job takes longer: the claim is valid for `extend_s` seconds from now, whatever it was before.
  bool heartbeat(std::int64_t extend_s) { return heartbeat(std::nothrow, extend_s).value(); }
  Result<bool> heartbeat(std::nothrow_t, std::int64_t extend_s) noexcept {
    return detail::call(core_, [&](honker_error_t** err) {
      return honker_heartbeat(detail::handle(core_), nullptr, id_, detail::bytes(worker_id_), worker_id_.size(),
                              extend_s, err);
    });
  }

 private:
  friend class Queue;

  Job(detail::CorePtr core, const honker_job_view_t& view)
      : core_(std::move(core)),
        id_(view.id),
        queue_(detail::string(view.queue)),
        payload_(detail::string(view.payload)),
        worker_id_(detail::string(view.worker_id)),
        attempts_(view.attempts),
        claim_expires_at_(view.claim_expires_at) {}

  Result<bool> ack_in(honker_tx_t* tx) noexcept {
    return detail::call(core_, [&](honker_error_t** err) {
      return honker_ack(detail::handle(core_), tx, id_, detail::bytes(worker_id_), worker_id_.size(), err);
    });
  }

  Result<bool> retry_in(honker_tx_t* tx, std::int64_t delay_s, std::string_view error) noexcept {
    return with_error_text(error, [&](std::string_view text, honker_error_t** err) {
      return honker_retry(detail::handle(core_), tx, id_, detail::bytes(worker_id_), worker_id_.size(), delay_s,
                          detail::bytes(text), text.size(), err);
    });
  }

  Result<bool> fail_in(honker_tx_t* tx, std::string_view error) noexcept {
    return with_error_text(error, [&](std::string_view text, honker_error_t** err) {
      return honker_fail(detail::handle(core_), tx, id_, detail::bytes(worker_id_), worker_id_.size(),
                         detail::bytes(text), text.size(), err);
    });
  }

  /// Makes a call with an error text, and once more with what is left of it if the library refuses that text.
  template <class Make>
  Result<bool> with_error_text(std::string_view error, Make&& make) {
    auto made = detail::call(core_, [&](honker_error_t** err) { return make(error, err); });
    if (made.ok() || (made.error().status() != HONKER_UTF8 && error.find('\0') == std::string_view::npos)) return made;
    std::string ascii(error);
    for (char& c : ascii) {
      if (c == '\0' || static_cast<unsigned char>(c) > 0x7f) c = '?';
    }
    return detail::call(core_, [&](honker_error_t** err) { return make(ascii, err); });
  }

  detail::CorePtr core_;
  std::int64_t id_;
  std::string queue_;
  std::string payload_;
  std::string worker_id_;
  std::int64_t attempts_;
  std::int64_t claim_expires_at_;
};

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
    return enqueue_in(nullptr, json, options(delay_s, priority));
  }
  std::int64_t enqueue(std::string_view json, const EnqueueOptions& options) const {
    return enqueue(std::nothrow, json, options).value();
  }
  Result<std::int64_t> enqueue(std::nothrow_t, std::string_view json, const EnqueueOptions& options) const noexcept {
    return enqueue_in(nullptr, json, options);
  }

  /// Adds a job in a transaction; its id.
  std::int64_t enqueue_tx(Transaction& tx, std::string_view json, std::int64_t delay_s = 0,
                          std::int64_t priority = 0) const {
    return enqueue_tx(std::nothrow, tx, json, delay_s, priority).value();
  }
  Result<std::int64_t> enqueue_tx(std::nothrow_t, Transaction& tx, std::string_view json, std::int64_t delay_s = 0,
                                  std::int64_t priority = 0) const noexcept {
    return enqueue_in(tx.handle(), json, options(delay_s, priority));
  }
  std::int64_t enqueue_tx(Transaction& tx, std::string_view json, const EnqueueOptions& options) const {
    return enqueue_tx(std::nothrow, tx, json, options).value();
  }
  Result<std::int64_t> enqueue_tx(std::nothrow_t, Transaction& tx, std::string_view json,
                                  const EnqueueOptions& options) const noexcept {
    return enqueue_in(tx.handle(), json, options);
  }

  /// Adds a job for each payload, all or none; their ids, which increase.
  std::vector<std::int64_t> enqueue_many(const std::vector<std::string>& payloads,
                                         const EnqueueOptions& options = {}) const {
    return enqueue_many(std::nothrow, payloads, options).value();
  }
  Result<std::vector<std::int64_t>> enqueue_many(std::nothrow_t, const std::vector<std::string>& payloads,
                                                 const EnqueueOptions& options = {}) const noexcept {
    return enqueue_many_in(nullptr, payloads, options);
  }
  std::vector<std::int64_t> enqueue_many_tx(Transaction& tx, const std::vector<std::string>& payloads,
                                            const EnqueueOptions& options = {}) const {
    return enqueue_many_tx(std::nothrow, tx, payloads, options).value();
  }
  Result<std::vector<std::int64_t>> enqueue_many_tx(std::nothrow_t, Transaction& tx,
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

  /// The jobs are done: removes those that `worker_id` still holds, in one commit; how many that were.
  std::int64_t ack_batch(const std::vector<std::int64_t>& ids, std::string_view worker_id) const {
    return ack_batch(std::nothrow, ids, worker_id).value();
  }
  Result<std::int64_t> ack_batch(std::nothrow_t, const std::vector<std::int64_t>& ids,
                                 std::string_view worker_id) const noexcept {
    return detail::number(core_, [&](std::int64_t* acked, honker_error_t** err) {
      return honker_ack_batch(db(), nullptr, ids.data(), ids.size(), detail::bytes(worker_id), worker_id.size(), acked,
                              err);
    });
  }

  /// Moves expired jobs that nobody holds to the dead; how many that were. Claims pass them by without it.
  std::int64_t sweep_expired() const { return sweep_expired(std::nothrow).value(); }
  Result<std::int64_t> sweep_expired(std::nothrow_t) const noexcept {
    return detail::number(core_, [&](std::int64_t* swept, honker_error_t** err) {
      return honker_sweep_expired(db(), nullptr, detail::bytes(name_), name_.size(), swept, err);
    });
  }

  /// Removes a job of any queue, pending or claimed; who holds it finds its claim lost. False if there is no such job.
  bool cancel(std::int64_t id) const { return cancel(std::nothrow, id).value(); }
  Result<bool> cancel(std::nothrow_t, std::int64_t id) const noexcept {
    return detail::call(core_, [&](honker_error_t** err) { return honker_cancel(db(), nullptr, id, err); });
  }

  /// Saves the result of a job, replacing an earlier one; it expires after `ttl_s` seconds, or never if that is 0 or
  /// less. A worker saves before it acks.
  void save_result(std::int64_t id, std::string_view value, std::int64_t ttl_s = 0) const {
    save_result(std::nothrow, id, value, ttl_s).value();
  }
  Result<void> save_result(std::nothrow_t, std::int64_t id, std::string_view value,
                           std::int64_t ttl_s = 0) const noexcept {
    return detail::done(core_, [&](honker_error_t** err) {
      return honker_result_save(db(), nullptr, id, detail::bytes(value), value.size(), ttl_s, err);
    });
  }

  /// One job of any queue, pending or claimed, as a JSON object with the keys id, queue, payload (a string), state
  /// ("pending" or "processing"), priority, run_at, worker_id, claim_expires_at, attempts, max_attempts, created_at and
  /// expires_at; null for what is not set. Empty if there is no such job (any more).
  std::string get_job_json(std::int64_t id) const { return get_job_json(std::nothrow, id).value(); }
  Result<std::string> get_job_json(std::nothrow_t, std::int64_t id) const noexcept {
    return detail::text(core_, [&](honker_text_t** json, honker_error_t** err) {
      return honker_get_job(db(), nullptr, id, json, err);
    });
  }

  /// How many jobs there are: a JSON object with the keys queue, pending (due), delayed, claimed, expired and dead. It
  /// reads them all: for people, not for loops.
  std::string stats_json() const { return stats_json(std::nothrow).value(); }
  Result<std::string> stats_json(std::nothrow_t) const noexcept {
    return detail::text(core_, [&](honker_text_t** json, honker_error_t** err) {
      return honker_queue_stats(db(), nullptr, detail::bytes(name_), name_.size(), json, err);
    });
  }

  /// When, in Unix seconds, a claim could next succeed without a further commit: a delayed job becoming due, or a claim
  /// lapsing. Empty if there is nothing to wait for. Jobs that can be claimed now do not count.
  std::optional<std::int64_t> next_claim_at() const { return next_claim_at(std::nothrow).value(); }
  Result<std::optional<std::int64_t>> next_claim_at(std::nothrow_t) const noexcept {
    return detail::optional_number(core_, [&](std::int64_t* at, honker_error_t** err) {
      return honker_queue_next_claim_at(db(), nullptr, detail::bytes(name_), name_.size(), at, err);
    });
  }

  /// The dead of the queue, newest job first, at most `limit` unless that is negative: a JSON array of objects with the
  /// keys id, queue, payload (a string), priority, run_at, attempts, max_attempts, last_error, created_at and died_at.
  std::string dead_json(std::int64_t limit = 100) const { return dead_json(std::nothrow, limit).value(); }
  Result<std::string> dead_json(std::nothrow_t, std::int64_t limit = 100) const noexcept {
    return detail::text(core_, [&](honker_text_t** json, honker_error_t** err) {
      return honker_dead_list(db(), nullptr, detail::bytes(name_), name_.size(), limit, json, err);
    });
  }

  /// Makes a dead job of any queue live again: pending, due now, with its id, priority and budget, no attempts used and
  /// no expiry. False if there is no such dead job.
  bool dead_requeue(std::int64_t id) const { return dead_requeue(std::nothrow, id).value(); }
  Result<bool> dead_requeue(std::nothrow_t, std::int64_t id) const noexcept {
    return detail::call(core_, [&](honker_error_t** err) { return honker_dead_requeue(db(), nullptr, id, err); });
  }

  /// Deletes the dead of the queue that died more than `older_than_s` seconds ago; how many that were.
  std::int64_t dead_purge(std::int64_t older_than_s) const { return dead_purge(std::nothrow, older_than_s).value(); }
  Result<std::int64_t> dead_purge(std::nothrow_t, std::int64_t older_than_s) const noexcept {
    return detail::number(core_, [&](std::int64_t* purged, honker_error_t** err) {
      return honker_dead_purge(db(), nullptr, detail::bytes(name_), name_.size(), older_than_s, purged, err);
    });
  }

 private:
  friend class Database;

  Queue(detail::CorePtr core, std::string_view name, std::int64_t visibility_timeout_s, std::int64_t max_attempts)
      : core_(std::move(core)), name_(name), visibility_timeout_s_(visibility_timeout_s), max_attempts_(max_attempts) {}

  honker_db_t* db() const noexcept { return detail::handle(core_); }

  static EnqueueOptions options(std::int64_t delay_s, std::int64_t priority) {
    EnqueueOptions options;
    options.delay_s = delay_s;
    options.priority = priority;
    return options;
  }

  Result<honker_enqueue_opts_t> raw(const EnqueueOptions& options) const {
    honker_enqueue_opts_t raw = HONKER_ENQUEUE_OPTS_INIT;
    if (auto set = detail::check_is_set("run_at", options.run_at); !set.ok()) return set.error();
    if (auto set = detail::check_is_set("delay_s", options.delay_s); !set.ok()) return set.error();
    if (auto set = detail::check_is_set("expires_s", options.expires_s); !set.ok()) return set.error();
    raw.run_at = options.run_at.value_or(HONKER_NO_TIME);
    raw.delay_s = options.delay_s.value_or(HONKER_NO_TIME);
    raw.expires_s = options.expires_s.value_or(HONKER_NO_TIME);
    raw.priority = options.priority;
    raw.max_attempts = options.max_attempts.value_or(max_attempts_);
    return raw;
  }

  Result<std::int64_t> enqueue_in(honker_tx_t* tx, std::string_view json, const EnqueueOptions& options) const {
    const auto opts = raw(options);
    if (!opts.ok()) return opts.error();
    return detail::number(core_, [&](std::int64_t* id, honker_error_t** err) {
      return honker_enqueue(db(), tx, detail::bytes(name_), name_.size(), detail::bytes(json), json.size(), &*opts, id,
                            err);
    });
  }

  Result<std::vector<std::int64_t>> enqueue_many_in(honker_tx_t* tx, const std::vector<std::string>& payloads,
                                                    const EnqueueOptions& options) const {
    const auto opts = raw(options);
    if (!opts.ok()) return opts.error();
    std::vector<honker_bytes_t> views;
    views.reserve(payloads.size());
    for (const std::string& payload : payloads) views.push_back(detail::view(payload));
    std::vector<std::int64_t> ids(payloads.size());
    const auto enqueued = detail::done(core_, [&](honker_error_t** err) {
      return honker_enqueue_many(db(), tx, detail::bytes(name_), name_.size(), views.data(), views.size(), &*opts,
                                 ids.data(), err);
    });
    if (!enqueued.ok()) return enqueued.error();
    return ids;
  }

  Result<std::vector<Job>> claim(std::string_view worker_id, std::int64_t n) const {
    const auto jobs = detail::owned<honker_jobs_t>(core_, [&](honker_jobs_t** out, honker_error_t** err) {
      return honker_claim(db(), nullptr, detail::bytes(name_), name_.size(), detail::bytes(worker_id), worker_id.size(),
                          n, visibility_timeout_s_, out, err);
    });
    if (!jobs.ok()) return jobs.error();
    return detail::list<Job>(core_, jobs->get(), honker_job_view_t HONKER_JOB_VIEW_INIT, honker_jobs_len,
                             honker_jobs_get, [&](const honker_job_view_t& view) { return Job(core_, view); });
  }

  detail::CorePtr core_;
  std::string name_;
  std::int64_t visibility_timeout_s_;
  std::int64_t max_attempts_;
};

}  // namespace honker

#endif  // HONKER_QUEUE_HPP
