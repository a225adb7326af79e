// What is enqueued: jobs, with their options.
//
// Plain data: copy it, keep it, read it from any thread.

#ifndef HONKER_ENQUEUE_HPP
#define HONKER_ENQUEUE_HPP

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "detail.hpp"

namespace honker {

/// How a job is enqueued.
struct EnqueueOptions {
  /// When the job becomes due, in Unix seconds. Default now. Not looked at if `delay_s` is set.
  std::optional<std::int64_t> run_at = std::nullopt;
  /// In how many seconds the job becomes due; may be negative.
  std::optional<std::int64_t> delay_s = std::nullopt;
  /// After how many seconds from now the job may not be claimed any more; with 0 or less it is born expired. Default:
  /// no limit.
  std::optional<std::int64_t> expires_s = std::nullopt;
  /// Larger is sooner.
  std::int64_t priority = 0;
  /// How often the job may be claimed. Default: what the Queue was made with, or 3.
  std::optional<std::int64_t> max_attempts = std::nullopt;
  /// Comes back with the job: a JSON object of texts, at most 8192 bytes. Empty: none.
  std::string metadata = {};
};

/// One of the jobs that are enqueued together.
struct JobSpec {
  std::string queue;
  std::string payload;
  EnqueueOptions options = {};
};

namespace detail {

inline Result<honker_enqueue_opts_t> enqueue_opts(const EnqueueOptions& options) {
  honker_enqueue_opts_t raw = HONKER_ENQUEUE_OPTS_INIT;
  if (auto set = check_is_set("run_at", options.run_at); !set.ok()) return set.error();
  if (auto set = check_is_set("delay_s", options.delay_s); !set.ok()) return set.error();
  if (auto set = check_is_set("expires_s", options.expires_s); !set.ok()) return set.error();
  raw.run_at = options.run_at.value_or(raw.run_at);
  raw.delay_s = options.delay_s.value_or(raw.delay_s);
  raw.expires_s = options.expires_s.value_or(raw.expires_s);
  raw.priority = options.priority;
  raw.max_attempts = options.max_attempts.value_or(raw.max_attempts);
  raw.metadata = view(options.metadata);
  return raw;
}

/// Adds jobs, all or none; their ids, which increase.
inline Result<std::vector<std::int64_t>> enqueue(const CorePtr& core, honker_tx_t* tx,
                                                 const std::vector<JobSpec>& jobs) {
  std::vector<honker_enqueue_opts_t> opts;
  opts.reserve(jobs.size());  // the specs point there
  std::vector<honker_job_spec_t> specs(jobs.size(), honker_job_spec_t HONKER_JOB_SPEC_INIT);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    auto raw = enqueue_opts(jobs[i].options);
    if (!raw.ok()) return raw.error();
    opts.push_back(*raw);
    specs[i].queue = view(jobs[i].queue);
    specs[i].payload = view(jobs[i].payload);
    specs[i].opts = &opts.back();
  }
  std::vector<honker_enqueue_result_t> results(jobs.size());
  const auto enqueued = done(core, [&](honker_error_t** err) {
    return honker_enqueue_many(handle(core), tx, specs.data(), specs.size(), results.data(), err);
  });
  if (!enqueued.ok()) return enqueued.error();
  std::vector<std::int64_t> ids;
  ids.reserve(results.size());
  for (const honker_enqueue_result_t& result : results) ids.push_back(result.id);
  return ids;
}

}  // namespace detail
}  // namespace honker

#endif  // HONKER_ENQUEUE_HPP
