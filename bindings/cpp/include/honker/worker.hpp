// Workers: threads that handle the jobs of queues until they are told to stop.
//
// The thread that calls run() is the only one that uses the file: in one commit it settles what is finished, prolongs
// what runs and claims what is free. Handlers run in threads of the worker's own.
//
// Threads: stop() is for any, run() for one at a time.

#ifndef HONKER_WORKER_HPP
#define HONKER_WORKER_HPP

#include <cstdint>
#include <filesystem>
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
#include "options.hpp"
#include "outcome.hpp"
#include "pool.hpp"
#include "stop.hpp"
#include "worker_options.hpp"

namespace honker {

/// Handles the jobs of its queues, several at a time; made by Queue::worker() and Database::worker(), or by itself for
/// a file that need not be there yet.
///
///     honker::WorkerOptions options;
///     options.concurrency = 4;
///     auto worker = emails.worker("host-7", options);
///     worker.run([](honker::Job& job) { send_email(job.payload()); });  // until SIGTERM, SIGINT or worker.stop()
///
/// A job whose handler returns is done; one whose handler throws is retried, each time later, and ends among the dead
/// when its attempts are used up. Handlers return, or throw, an Outcome for anything else. Claims are prolonged for as
/// long as their handlers run; what a handler settles itself is left as it is. A handler whose job is lost sees
/// Job::cancelled().
///
/// Should the process die, its jobs are rescued: other workers have them within milliseconds, their attempts counted.
/// For that, a worker claims as `<worker_id>@<instance>`, 32 hexadecimal digits that name the process, and a small
/// file,
/// `<database>-honker`, tells who lives. Where that cannot be (other systems than Linux, a folder that cannot be
/// written to), and for what is claimed otherwise (Queue::claim_one(), Jobs, Outbox), jobs go to others when their
/// visibility timeout is over.
class Worker {
 public:
  /// A worker that opens the file at `path` itself when it runs, once it is there; it does not make it. Or the URL of a
  /// server.
  Worker(std::string_view path, std::vector<WorkerQueue> queues, std::string_view worker_id, WorkerOptions options = {},
         Options open_options = {})
      : Worker(nullptr, path, std::move(open_options), std::move(queues), worker_id, std::move(options)) {}

  /// Handles jobs until it is told to stop: by stop(), or by SIGTERM or SIGINT (WorkerOptions::signals); what became of
  /// them. A handler takes a Job&, and returns an Outcome or nothing; several threads call it at the same time.
  ///
  /// Then it claims nothing more, and waits for the handlers that run: for as long as `stop_timeout` they are left
  /// alone; then Job::cancelled() is true, and what a handler throws from then on releases its job; after
  /// `cancel_timeout` more the jobs are released, whether their handlers have returned or not, and it returns. Handlers
  /// that have not are left behind (WorkerReport::running). A second stop() or signal makes both limits 0. A line in
  /// the log says what was left.
  ///
  /// Errors of the moment (Error::is_transient()), such as a locked file, a full disk, or a file that is not there, are
  /// logged once, and waited out, with growing pauses of at most ten seconds. A file that was replaced by another is
  /// opened anew, as it was opened before; handlers of the old one's jobs are cancelled. Database::interrupt() ends
  /// nothing. It ends by an error when it cannot go on: when its database was closed (ClosedError), for queues or
  /// options that make no sense (HONKER_INVALID), for a file that is damaged. Handlers are cancelled then, and left
  /// behind after `cancel_timeout`.
  template <class Handler>
  WorkerReport run(Handler&& handler) {
    return run(std::nothrow, std::forward<Handler>(handler)).value();
  }
  template <class Handler>
  Result<WorkerReport> run(std::nothrow_t, Handler&& handler) noexcept {
    return run_with(handler_of(std::forward<Handler>(handler)));
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
    return run_with(handler_of(std::forward<Handler>(handler)));
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
      : Worker(core, core ? core->path() : std::string(), core ? core->options() : Options(), std::move(queues),
               worker_id, std::move(options)) {
    is_made_ = core_ != nullptr;
  }
  Worker(detail::CorePtr core, std::string_view path, Options open_options, std::vector<WorkerQueue> queues,
         std::string_view worker_id, WorkerOptions options)
      : core_(std::move(core)),
        path_(path),
        open_options_(std::move(open_options)),
        queues_(std::move(queues)),
        worker_id_(worker_id),
        options_(std::move(options)),
        stop_(std::make_shared<detail::Stop>()) {}

  /// A handler that says what becomes of its job, with the middleware around it. Empty if the function is.
  template <class Function>
  Handler handler_of(Function&& function) const {
    Handler handler;
    if constexpr (std::is_constructible_v<bool, Function> && !std::is_function_v<std::remove_reference_t<Function>>) {
      if (!static_cast<bool>(function)) return handler;
    }
    handler = [function = std::forward<Function>(function)](Job& job) mutable {
      return detail::outcome_of(function, job);
    };
    for (auto around = options_.middleware.rbegin(); around != options_.middleware.rend(); ++around) {
      handler = [around = *around, next = std::move(handler)](Job& job) { return around(job, next); };
    }
    return handler;
  }

  Result<WorkerReport> run_with(Handler handler) {
    if (!stop_ || !is_made_) return detail::make_error(nullptr, HONKER_MISUSE, nullptr);
    if (!handler) return Error(HONKER_INVALID, "the handler is empty");
    if (options_.concurrency < 1) {
      return Error(HONKER_INVALID, "concurrency must be at least 1: " + std::to_string(options_.concurrency));
    }
    if (auto set = detail::check_is_set("max_run_s", options_.max_run_s); !set.ok()) return set.error();
    if (!stop_->begin()) return Error(HONKER_MISUSE, "the worker runs already");
    const auto pool = std::make_shared<detail::Pool>(worker_id_, options_, std::move(handler), stop_);
    if (options_.signals) {
      const auto caught = detail::Signals::begin(stop_);
      if (!caught.ok()) pool->say(LogLevel::warning, "is not stopped by signals: " + pool->text_of(caught.error()));
    }
    const auto ended = work(*pool);
    const auto report = pool->end(ended);
    if (options_.signals) detail::Signals::end(stop_);
    stop_->end();
    if (!ended.ok()) return ended.error();
    return report;
  }

  /// Works with one file after the other.
  Result<void> work(detail::Pool& pool) {
    detail::CorePtr core = core_;
    for (;;) {
      auto attached = attach(core);
      auto ended = attached.ok() ? pool.work(*attached) : Result<void>(attached.error());
      if (ended.ok()) return ended;
      if (ended.error().status() == HONKER_WATCHER) {
        pool.say(LogLevel::warning, "opens its file anew: " + pool.text_of(ended.error()));
        core = nullptr;
      } else if (attached.ok() || !pool.waits_out(ended.error())) {
        return ended;
      }
      if (stop_->requests() > 0) return {};
    }
  }

  /// What the worker needs of a file, which it opens if `core` is nullptr.
  Result<detail::Attached> attach(detail::CorePtr core) const {
    if (core == nullptr) {
      std::error_code ignored;
      if (!detail::is_url(path_) && path_.compare(0, 5, "file:") != 0 &&
          !std::filesystem::exists(std::filesystem::u8path(path_), ignored)) {
        return Error(HONKER_CANNOT_OPEN, "there is no such file yet: " + path_);
      }
      std::optional<Error> warning;
      auto opened = detail::open(path_, open_options_, &warning);
      if (!opened.ok()) return opened.error();
      core = std::move(*opened);
    }
    // Not the waiter that all consumers share: each job that is finished wakes it.
    auto waiter = detail::make_waiter(core);
    if (!waiter.ok()) return waiter.error();
    auto worker = make(core, waiter->get());
    if (!worker.ok()) return worker.error();
    if (*worker == nullptr) return detail::unexpected();
    return detail::Attached{std::move(core), std::move(*waiter), std::move(*worker)};
  }

  Result<detail::Owned<honker_worker_t>> make(const detail::CorePtr& core, honker_waiter_t* waiter) const {
    std::vector<honker_worker_queue_t> queues;
    for (const WorkerQueue& queue : queues_) {
      honker_worker_queue_t raw = HONKER_WORKER_QUEUE_INIT;
      raw.name = detail::view(queue.name);
      raw.weight = queue.weight;
      raw.in_hand_max = queue.max_in_hand.value_or(-1);
      queues.push_back(raw);
    }
    honker_worker_opts_t opts = HONKER_WORKER_OPTS_INIT;
    opts.visibility_timeout_s = options_.visibility_timeout_s.value_or(opts.visibility_timeout_s);
    opts.max_run_s = options_.max_run_s.value_or(HONKER_NO_TIME);
    opts.retry_base_s = options_.retry_base_s;
    opts.retry_max_s = options_.retry_max_s;
    opts.retry_factor = options_.retry_factor;
    opts.retry_jitter = options_.retry_jitter;
    return detail::owned<honker_worker_t>(core, honker_worker_new, detail::handle(core), waiter, 0, queues.data(),
                                          queues.size(), worker_id_, &opts);
  }

  detail::CorePtr core_;  // nullptr: it opens the file itself
  bool is_made_ = true;   // false: by a database that was moved from
  std::string path_;
  Options open_options_;
  std::vector<WorkerQueue> queues_;
  std::string worker_id_;
  WorkerOptions options_;
  detail::StopPtr stop_;
};

}  // namespace honker

#endif  // HONKER_WORKER_HPP
