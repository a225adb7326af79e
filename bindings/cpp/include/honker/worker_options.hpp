// How a worker works, and what it tells.
//
// Plain data: copy it, keep it, read it from any thread.

#ifndef HONKER_WORKER_OPTIONS_HPP
#define HONKER_WORKER_OPTIONS_HPP

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "consumer.hpp"
#include "job.hpp"
#include "outcome.hpp"

namespace honker {

/// What handles a job, and says what becomes of it. Called by several threads at the same time.
using Handler = std::function<Outcome(Job&)>;

/// Called around each job: does what is to be done before, calls `next`, which handles the job, and returns what that
/// returned, or another outcome. What the handler throws comes through. Called by several threads at the same time.
using Middleware = std::function<Outcome(Job& job, const Handler& next)>;

/// A queue of a worker.
struct WorkerQueue {
  std::string name;
  /// How often it is asked first, compared with the others; places that it cannot fill go to the others. If all weights
  /// are 0 the queues are asked in the order given.
  std::int64_t weight = 1;
  /// How many of its jobs may be in hand at a time. Default: as many as the worker takes.
  std::optional<std::int64_t> max_in_hand = std::nullopt;
};

/// A job that was not done, for WorkerOptions::on_error.
struct Failure {
  std::int64_t job_id;
  std::string queue;
  /// How often the job has been claimed, this time included, and how often it may be.
  std::int64_t attempts;
  std::int64_t max_attempts;
  /// What becomes of it: a retry or a discard; and why.
  Outcome outcome;
  /// In how many seconds it is tried again, give or take the jitter. Empty: it is among the dead.
  std::optional<std::int64_t> next_try_s;
  /// What the handler threw; null if it returned the outcome, or ran for too long.
  std::exception_ptr exception;
};

/// Of what a worker says.
enum class LogLevel { info, warning, error };

/// How a worker works.
struct WorkerOptions {
  /// How many handlers may run at the same time, each in a thread of its own; at least 1. If the system gives it fewer
  /// threads the worker says so once, goes on with those it has, and tries again now and then.
  std::int64_t concurrency = 1;
  /// For how long jobs belong to a worker that died, where that is not noticed at once (Worker). Default: as the queue
  /// has it; 300 for several queues.
  std::optional<std::int64_t> visibility_timeout_s = std::nullopt;
  /// For how long a handler may run, unless its job says (EnqueueOptions::max_run_s). Then the job is retried, and
  /// Job::cancelled() is true. Default: without end.
  std::optional<std::int64_t> max_run_s = std::nullopt;
  /// A job that has failed for the nth time is due again after `retry_base_s` times `retry_factor` to the power of
  /// n - 1, at most `retry_max_s`, times a random number in 1 ± `retry_jitter`; unless its queue has a `retry` of its
  /// own (QueueSettings).
  std::int64_t retry_base_s = 15;
  std::int64_t retry_max_s = 3600;
  double retry_factor = 2;
  double retry_jitter = 0.1;
  /// Whether SIGTERM and SIGINT stop the worker while it runs; a second one at once. A signal that the program handles
  /// or ignores itself is left to it. Only on systems with POSIX signals.
  bool signals = true;
  /// For how long handlers may go on when the worker is stopped, before they are cancelled.
  Timeout stop_timeout = std::chrono::seconds(8);
  /// For how long they may go on then, before their jobs are released.
  Timeout cancel_timeout = std::chrono::milliseconds(1500);
  /// Called around each job, the first outermost.
  std::vector<Middleware> middleware = {};
  /// Told of every failure, for error reporters, in the thread of the handler, so by several at the same time; of a
  /// handler that ran for too long, in the thread of run(). What it throws is passed over.
  std::function<void(const Failure&)> on_error = nullptr;
  /// What the worker has to say, a line at a time: failures, what keeps it from its work (once) and that it works
  /// again, and what was left when it ended. By any of its threads. What it throws is passed over. Default: standard
  /// error.
  std::function<void(LogLevel level, const std::string& line)> log = nullptr;
};

/// What a worker has done, when it ends.
struct WorkerReport {
  /// How many jobs were settled, as their handlers said or by them.
  std::int64_t settled = 0;
  /// How many jobs were released: their handlers said so, or had not returned in time, or had not begun.
  std::int64_t released = 0;
  /// How many handlers have not returned. Their threads run on; what they use has to stay. End the process without
  /// destroying it (std::_Exit), with an exit status that is not 0.
  std::int64_t running = 0;
};

}  // namespace honker

#endif  // HONKER_WORKER_OPTIONS_HPP
