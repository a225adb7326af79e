// Enqueueing: jobs become those of the C ABI. What every function that enqueues comes down to.
//
// Threads: for any number of them.

#ifndef HONKER_ENQUEUE_HPP
#define HONKER_ENQUEUE_HPP

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "detail.hpp"
#include "options.hpp"
#include "outcome.hpp"

namespace honker {

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

inline Result<std::vector<std::int64_t>> enqueue_raw(const CorePtr& core, honker_tx_t* tx,
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
  const auto enqueued = done(core, honker_enqueue_many, handle(core), tx, specs.data(), specs.size(), results.data());
  if (!enqueued.ok()) return enqueued.error();
  std::vector<std::int64_t> ids;
  ids.reserve(results.size());
  for (const honker_enqueue_result_t& result : results) ids.push_back(result.id);
  return ids;
}

/// Adds jobs, all or none; their ids, which increase.
inline Result<std::vector<std::int64_t>> enqueue(const CorePtr& core, honker_tx_t* tx, std::vector<JobSpec> jobs) {
  if (core == nullptr || !core->options().around_enqueue) return enqueue_raw(core, tx, jobs);
  std::optional<Result<std::vector<std::int64_t>>> enqueued;
  const auto thrown = thrown_by([&] {
    core->options().around_enqueue(jobs, [&] {
      if (!enqueued) enqueued = enqueue_raw(core, tx, jobs);
    });
  });
  if (enqueued) return std::move(*enqueued);
  return Error(HONKER_INVALID, "around_enqueue enqueued nothing" + (thrown ? ": " + *thrown : std::string()));
}

}  // namespace detail
}  // namespace honker

#endif  // HONKER_ENQUEUE_HPP
