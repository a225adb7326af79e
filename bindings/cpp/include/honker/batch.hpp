// Batches: jobs that are waited for together.
//
// Threads: a Batch may be used by any number of them.

#ifndef HONKER_BATCH_HPP
#define HONKER_BATCH_HPP

#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "detail.hpp"
#include "enqueue.hpp"
#include "job.hpp"
#include "json_view.hpp"
#include "object.hpp"
#include "options.hpp"
#include "transaction.hpp"

namespace honker {

/// What becomes of a batch when it is finished.
struct BatchOptions {
  /// Enqueued when the last of its jobs has ended, in the same commit; the job's metadata have a key `batch_id`. It may
  /// not be a member of a batch itself.
  std::optional<JobSpec> on_finished = std::nullopt;
  /// The same, if all of its jobs are done.
  std::optional<JobSpec> on_success = std::nullopt;
  /// For how many seconds after that the batch can be looked at. Default: a day.
  std::optional<std::int64_t> keep_s = std::nullopt;
};

/// How far a batch is.
struct BatchState {
  /// How many jobs it has, and what has become of them.
  std::int64_t total = 0;
  std::int64_t pending = 0;
  std::int64_t done = 0;
  std::int64_t dead = 0;
  std::int64_t cancelled = 0;
  bool sealed = false;
  /// In Unix seconds. Empty: it is not finished.
  std::optional<std::int64_t> finished_at = std::nullopt;
};

/// A batch; made by Database::batch() and Database::create_batch(). It is only a number: copies are as good.
///
/// Jobs are added by whatever enqueues, with the options that join() makes. A batch that is sealed is finished with the
/// last of its jobs, at once if none is left. Until then it waits, however many of its jobs have ended.
class Batch {
 public:
  std::int64_t id() const noexcept { return id_; }

  /// Options of a job of this batch.
  EnqueueOptions join(EnqueueOptions options = {}) const {
    options.batch_id = id_;
    return options;
  }
  /// The same for a job that `member`, a job of this batch that is being handled, adds: also if the batch is sealed.
  EnqueueOptions join(const Job& member, EnqueueOptions options = {}) const {
    options.batch_id = id_;
    options.member = BatchMember{member.id(), member.worker_id()};
    return options;
  }

  /// Seals it: from now on only its running members may add jobs. False if it was sealed before; HONKER_INVALID if
  /// there is no such batch.
  bool seal() const { return seal(std::nothrow).value(); }
  Result<bool> seal(std::nothrow_t) const noexcept { return seal_in(nullptr); }
  bool seal_tx(Transaction& tx) const { return seal_tx(std::nothrow, tx).value(); }
  Result<bool> seal_tx(std::nothrow_t, Transaction& tx) const noexcept { return seal_in(tx.handle()); }

  /// How far it is; empty if there is no such batch (any more).
  std::optional<BatchState> get() const { return get(std::nothrow).value(); }
  Result<std::optional<BatchState>> get(std::nothrow_t) const noexcept {
    const auto json = detail::optional_text(core_, honker_batch_get, detail::handle(core_), nullptr, id_);
    if (!json.ok()) return json.error();
    if (!*json) return std::optional<BatchState>();
    const auto answer = detail::answered(**json);
    if (!answer.ok()) return answer.error();
    const auto number = [&](std::string_view key) { return (*answer)[key].integer().value_or(0); };
    return std::optional<BatchState>(BatchState{number("total"), number("pending"), number("done"), number("dead"),
                                                number("cancelled"), number("sealed") != 0,
                                                (*answer)["finished_at"].integer()});
  }

 private:
  friend class Database;

  Batch(detail::CorePtr core, std::int64_t id) noexcept : core_(std::move(core)), id_(id) {}

  Result<bool> seal_in(honker_tx_t* tx) const {
    return detail::call(core_, honker_batch_seal, detail::handle(core_), tx, id_);
  }

  detail::CorePtr core_;
  std::int64_t id_;
};

namespace detail {

/// The options of an enqueue as JSON, but for `member`. `metadata` is JSON already, if it is what it has to be.
inline Result<JsonObject> options_json(const EnqueueOptions& options) {
  if (auto checked = check_options(options); !checked.ok()) return checked.error();
  JsonObject object;
  object.add("run_at", options.run_at).add("delay_s", options.delay_s).add("expires_s", options.expires_s);
  object.add("priority", options.priority).add("max_attempts", options.max_attempts);
  if (!options.metadata.empty()) {
    if (!JsonView::of(options.metadata)) {
      return Error(HONKER_INVALID, "metadata must be a JSON object of texts: " + options.metadata);
    }
    object.add_raw("metadata", options.metadata);
  }
  object.add("unique_key", options.unique_key).add("unique_for_s", options.unique_for_s);
  if (options.unique_until == UniqueUntil::claimed) object.add("unique_until", "claimed");
  if (options.on_conflict == OnConflict::replace) object.add("on_conflict", "replace");
  object.add("concurrency_key", options.concurrency_key).add("max_run_s", options.max_run_s);
  object.add("batch_id", options.batch_id);
  return object;
}

inline Result<std::string> batch_json(const BatchOptions& options) {
  JsonObject object;
  const auto add = [&](const char* key, const std::optional<JobSpec>& job) -> Result<void> {
    if (!job) return {};
    const auto of_job = options_json(job->options);
    if (!of_job.ok()) return of_job.error();
    JsonObject callback;
    callback.add("queue", job->queue).add("payload", job->payload).add_raw("options", of_job->text());
    object.add_raw(key, callback.text());
    return {};
  };
  if (auto added = add("on_finished", options.on_finished); !added.ok()) return added.error();
  if (auto added = add("on_success", options.on_success); !added.ok()) return added.error();
  return object.add("keep_s", options.keep_s).text();
}

}  // namespace detail
}  // namespace honker

#endif  // HONKER_BATCH_HPP
