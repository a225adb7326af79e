// Jobs that were claimed from a queue.
//
// Threads: a Job may be used by one at a time; it may move between threads.

#ifndef HONKER_JOB_HPP
#define HONKER_JOB_HPP

#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "cancellation.hpp"
#include "codec.hpp"
#include "detail.hpp"
#include "outcome.hpp"
#include "transaction.hpp"

namespace honker {

class Job;

namespace detail {

class Pool;

Result<std::vector<Job>> list_jobs(const CorePtr& core, const honker_jobs_t* jobs);

/// What a step is called with: nothing, or a transaction of its own.
template <class Function, bool = std::is_invocable_v<Function&>>
struct StepOf {
  static constexpr bool has_transaction = false;
  using type = ReturnedBy<Function>;
};
template <class Function>
struct StepOf<Function, false> {
  static constexpr bool has_transaction = true;
  using type = ReturnedBy<Function, Transaction&>;
};

/// How a value of a step is stored: a text as it is, another type as its Codec says, and nothing as null.
template <class T>
struct StepValue {
  using type = T;
  static std::string encode(const Result<T>& value) { return Codec<T>::encode(*value); }
  static Result<T> decode(const std::string& text) { return Codec<T>::decode(text); }
};
template <>
struct StepValue<void> {
  using type = void;
  static std::string encode(const Result<void>&) { return "null"; }
  static Result<void> decode(const std::string&) { return {}; }
};
template <class T>
struct TextStep {
  using type = std::string;
  static std::string encode(const Result<T>& value) { return std::string(*value); }
  static Result<std::string> decode(const std::string& text) { return text; }
};
template <class T>
using StepCodec = std::conditional_t<std::is_convertible_v<T, std::string_view>, TextStep<T>, StepValue<T>>;
template <class Function>
using StepResult = Result<typename StepCodec<typename StepOf<Function>::type>::type>;

}  // namespace detail

/// A job that a worker has claimed. It is the worker's until it is settled (ack, retry, fail, release) or its time is
/// over.
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
  /// Who holds it: what the claim was asked for with, or, of a Worker that is rescued (see there), `<its id>@` and 32
  /// hexadecimal digits for the process.
  const std::string& worker_id() const noexcept { return worker_id_; }
  /// How often the job has been claimed, this time included.
  std::int64_t attempts() const noexcept { return attempts_; }
  /// How often it may be claimed.
  std::int64_t max_attempts() const noexcept { return max_attempts_; }
  /// What it was enqueued with: a JSON object of texts. Empty: none.
  const std::string& metadata() const noexcept { return metadata_; }
  /// The last second, in Unix time, in which the claim is valid. A heartbeat does not change what this returns.
  std::int64_t claim_expires_at() const noexcept { return claim_expires_at_; }

  /// The job is done: removes it.
  bool ack() { return ack(std::nothrow).value(); }
  Result<bool> ack(std::nothrow_t) noexcept { return settle(honker_ack, nullptr); }
  /// The same together with what the job has written: the way to have its effects exactly once.
  bool ack_tx(Transaction& tx) { return ack_tx(std::nothrow, tx).value(); }
  Result<bool> ack_tx(std::nothrow_t, Transaction& tx) noexcept { return settle(honker_ack, tx.handle()); }

  /// The job could not be done now: it becomes due again in `delay_s` seconds, or, if its attempts are used up, ends
  /// among the dead with the text `error`. What is not UTF-8 in `error` is replaced by '?', so that an exception's
  /// what() can always be given.
  bool retry(std::int64_t delay_s, std::string_view error) { return retry(std::nothrow, delay_s, error).value(); }
  Result<bool> retry(std::nothrow_t, std::int64_t delay_s, std::string_view error) noexcept {
    return settle(honker_retry, nullptr, delay_s, detail::readable(error));
  }
  bool retry_tx(Transaction& tx, std::int64_t delay_s, std::string_view error) {
    return retry_tx(std::nothrow, tx, delay_s, error).value();
  }
  Result<bool> retry_tx(std::nothrow_t, Transaction& tx, std::int64_t delay_s, std::string_view error) noexcept {
    return settle(honker_retry, tx.handle(), delay_s, detail::readable(error));
  }

  /// The job can never be done: it ends among the dead with the text `error`, whatever attempts it has left.
  bool fail(std::string_view error) { return fail(std::nothrow, error).value(); }
  Result<bool> fail(std::nothrow_t, std::string_view error) noexcept {
    return settle(honker_fail, nullptr, detail::readable(error));
  }
  bool fail_tx(Transaction& tx, std::string_view error) { return fail_tx(std::nothrow, tx, error).value(); }
  Result<bool> fail_tx(std::nothrow_t, Transaction& tx, std::string_view error) noexcept {
    return settle(honker_fail, tx.handle(), detail::readable(error));
  }

  /// The job goes back: it is due again in `delay_s` seconds, and this attempt does not count.
  bool release(std::int64_t delay_s = 0) { return release(std::nothrow, delay_s).value(); }
  Result<bool> release(std::nothrow_t, std::int64_t delay_s = 0) noexcept {
    return settle(honker_release, nullptr, delay_s);
  }
  bool release_tx(Transaction& tx, std::int64_t delay_s = 0) { return release_tx(std::nothrow, tx, delay_s).value(); }
  Result<bool> release_tx(std::nothrow_t, Transaction& tx, std::int64_t delay_s = 0) noexcept {
    return settle(honker_release, tx.handle(), delay_s);
  }

  /// The job takes longer: the claim is valid for `extend_s` seconds from now, whatever it was before.
  bool heartbeat(std::int64_t extend_s) { return heartbeat(std::nothrow, extend_s).value(); }
  Result<bool> heartbeat(std::nothrow_t, std::int64_t extend_s) noexcept {
    return settle(honker_heartbeat, nullptr, extend_s);
  }

  /// A step of the job, which is run once, however often the job is: what `function` returned, now or then. It is a
  /// text, or of a type that has a Codec, or nothing; steps of a job are told apart by their names, and are kept for as
  /// long as the job is.
  ///
  ///     const auto receipt = job.step("charge", [&] { return charge(card); });
  ///     job.step("book", [&](honker::Transaction& tx) { tx.execute("INSERT INTO sales VALUES (?)", {receipt}); });
  ///
  /// What it returned is saved when it has returned: if the process dies in between it is run again. A function that
  /// takes a Transaction is given a new one, which is committed with the step: what it writes there happens exactly
  /// once. If the claim was lost meanwhile nothing is saved, or committed (LostError); so it is if the value cannot be
  /// encoded, is not UTF-8, or is too large for SQLite, which takes a gigabyte (UnsavedStepError), with which the job
  /// of a worker's handler is discarded: another attempt would run the function again. What the function throws comes
  /// through, and nothing is saved; with std::nothrow, where it may return a Result as well, it is HONKER_INVALID.
  template <class Function>
  auto step(std::string_view name, Function&& function) const {
    return run_step<false>(nullptr, name, function).value();
  }
  template <class Function>
  auto step(std::nothrow_t, std::string_view name, Function&& function) const noexcept -> detail::StepResult<Function> {
    return run_step<true>(nullptr, name, function);
  }
  /// The same as part of a transaction that is open: with its commit the step is saved.
  template <class Function>
  auto step_tx(Transaction& tx, std::string_view name, Function&& function) const {
    return run_step<false>(&tx, name, function).value();
  }
  template <class Function>
  auto step_tx(std::nothrow_t, Transaction& tx, std::string_view name, Function&& function) const noexcept
      -> detail::StepResult<Function> {
    return run_step<true>(&tx, name, function);
  }

  /// Whether a Worker wants its handler to stop; cancel_reason() says why. What the handler still does may be done by
  /// somebody else as well. Never true for a job that was claimed otherwise. For any thread.
  bool cancelled() const { return cancel_reason() != CancelReason::none; }
  CancelReason cancel_reason() const { return cancellation_ ? cancellation_->reason() : CancelReason::none; }

  /// Sleeps until cancelled() is true, for at most as long; whether it is. For any thread.
  template <class Number, class Period>
  bool wait_cancelled(std::chrono::duration<Number, Period> time) const {
    if (cancellation_) return cancellation_->wait_for(time);
    std::this_thread::sleep_for(time);
    return false;
  }

#ifdef __cpp_lib_jthread
  /// A token of which a stop is requested when cancelled() becomes true. For any thread.
  std::stop_token stop_token() const { return cancellation_ ? cancellation_->token() : std::stop_token(); }
#endif

  /// Begins a transaction of the database that the job is of, for ack_tx() and what the job writes.
  Transaction begin() const { return begin(std::nothrow).value(); }
  Result<Transaction> begin(std::nothrow_t) const noexcept { return detail::begin(core_); }

 private:
  friend class Jobs;
  friend class Queue;
  friend class detail::Pool;
  friend Result<std::vector<Job>> detail::list_jobs(const detail::CorePtr& core, const honker_jobs_t* jobs);

  Job(detail::CorePtr core, const honker_job_view_t& view)
      : core_(std::move(core)),
        id_(view.id),
        queue_(detail::string(view.queue)),
        payload_(detail::string(view.payload)),
        worker_id_(detail::string(view.worker_id)),
        attempts_(view.attempts),
        claim_expires_at_(view.claim_expires_at),
        serial_(view.serial),
        max_attempts_(view.max_attempts),
        metadata_(detail::string(view.metadata)) {}

  template <class Function, class... Arguments>
  Result<bool> settle(Function&& function, honker_tx_t* tx, const Arguments&... arguments) const {
    return detail::call(core_, function, detail::handle(core_), tx, id_, worker_id_, arguments...);
  }

  template <bool Catches, class Function>
  detail::StepResult<Function> run_step(Transaction* tx, std::string_view name, Function& function) const {
    using Step = detail::StepOf<Function>;
    using Codec = detail::StepCodec<typename Step::type>;
    const auto decode = [&](const std::string& text) {
      return detail::guarded<Catches>("the codec of step " + std::string(name), [&] { return Codec::decode(text); });
    };
    honker_tx_t* const raw = tx == nullptr ? nullptr : tx->handle();
    auto saved = detail::optional_text(core_, honker_step_get, detail::handle(core_), raw, id_, name);
    if (!saved.ok()) return saved.error();
    if (*saved) return decode(**saved);
    if constexpr (Step::has_transaction) {
      if (tx == nullptr) {
        auto own = begin(std::nothrow);
        if (!own.ok()) return own.error();
        auto value = run_step<Catches>(&*own, name, function);
        if (!value.ok()) return value;
        if (auto committed = own->commit(std::nothrow); !committed.ok()) return committed.error();
        return value;
      }
    }
    const auto value = detail::guarded<Catches>("step " + std::string(name), [&] {
      if constexpr (Step::has_transaction) {
        return detail::returned_by(function, *tx);
      } else {
        return detail::returned_by(function);
      }
    });
    if (!value.ok()) return value.error();
    const auto text = detail::guarded<true>("its codec", [&]() -> Result<std::string> { return Codec::encode(value); });
    if (!text.ok()) return Error::unsaved_step(std::string(name), text.error());
    saved = detail::optional_text(core_, honker_step_save, detail::handle(core_), raw, id_, worker_id_, name, *text);
    if (!saved.ok() && (saved.error().status() == HONKER_UTF8 || saved.error().status() == HONKER_TOO_BIG)) {
      return Error::unsaved_step(std::string(name), saved.error());
    }
    if (!saved.ok()) return saved.error();
    if (*saved) return decode(**saved);
    return Error(HONKER_LOST, "the claim of job " + std::to_string(id_) + " was lost, and step " + std::string(name) +
                                  " is not saved");
  }

  detail::CorePtr core_;
  std::int64_t id_;
  std::string queue_;
  std::string payload_;
  std::string worker_id_;
  std::int64_t attempts_;
  std::int64_t claim_expires_at_;
  std::int64_t serial_;
  std::int64_t max_attempts_;
  std::string metadata_;
  std::shared_ptr<detail::Cancellation> cancellation_;
};

namespace detail {

/// Copies what a call has claimed.
inline Result<std::vector<Job>> list_jobs(const CorePtr& core, const honker_jobs_t* jobs) {
  std::vector<Job> made;
  std::size_t count = 0;
  auto got = call(core, honker_jobs_len, jobs, &count);
  std::vector<honker_job_view_t> views(count, honker_job_view_t HONKER_JOB_VIEW_INIT);
  if (got.ok()) {
    got = call(core, honker_jobs_views, jobs, 0, views.data(), views.size(), &count);
  }
  if (!got.ok()) return got.error();
  made.reserve(count);
  for (const auto& view : views) made.push_back(Job(core, view));
  return made;
}

}  // namespace detail

}  // namespace honker

#endif  // HONKER_JOB_HPP
