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
#include "object.hpp"
#include "options.hpp"
#include "outcome.hpp"

namespace honker {

namespace detail {

/// What the C ABI takes as "not set" is not what somebody means who has set it.
inline Result<void> check_options(const EnqueueOptions& options) {
  if (auto set = check_is_set("run_at", options.run_at); !set.ok()) return set;
  if (auto set = check_is_set("delay_s", options.delay_s); !set.ok()) return set;
  if (auto set = check_is_set("expires_s", options.expires_s); !set.ok()) return set;
  const char* wrong = nullptr;
  if (options.unique_for_s == 0) wrong = "unique_for_s must be at least 1, not 0";
  if (options.max_run_s == 0) wrong = "max_run_s must be at least 1, not 0";
  if (options.batch_id == 0) wrong = "there is no batch 0";
  if (options.unique_key == "") wrong = "unique_key must not be empty";
  if (options.concurrency_key == "") wrong = "concurrency_key must not be empty";
  if (options.member && options.member->worker_id.empty()) wrong = "the worker_id of a member must not be empty";
  if (wrong != nullptr) return Error(HONKER_INVALID, wrong);
  return {};
}

inline Result<honker_enqueue_opts_t> enqueue_opts(const EnqueueOptions& options) {
  if (auto checked = check_options(options); !checked.ok()) return checked.error();
  honker_enqueue_opts_t raw = HONKER_ENQUEUE_OPTS_INIT;
  raw.run_at = options.run_at.value_or(raw.run_at);
  raw.delay_s = options.delay_s.value_or(raw.delay_s);
  raw.expires_s = options.expires_s.value_or(raw.expires_s);
  raw.priority = options.priority;
  raw.max_attempts = options.max_attempts.value_or(raw.max_attempts);
  raw.metadata = view(options.metadata);
  if (options.unique_key) raw.unique_key = view(*options.unique_key);
  raw.unique_until = static_cast<std::uint32_t>(options.unique_until);
  raw.unique_for_s = options.unique_for_s.value_or(0);
  raw.on_conflict = static_cast<std::uint32_t>(options.on_conflict);
  if (options.concurrency_key) raw.concurrency_key = view(*options.concurrency_key);
  raw.batch_id = options.batch_id.value_or(0);
  if (options.member) {
    raw.member_job_id = options.member->job_id;
    raw.member_worker_id = view(options.member->worker_id);
  }
  raw.max_run_s = options.max_run_s.value_or(0);
  return raw;
}

inline Result<std::vector<Enqueued>> enqueue_raw(const CorePtr& core, honker_tx_t* tx,
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
  std::vector<Enqueued> made;
  made.reserve(results.size());
  for (const honker_enqueue_result_t& result : results) {
    made.push_back({result.id, static_cast<EnqueueStatus>(result.status)});
  }
  return made;
}

/// Adds jobs, all or none.
inline Result<std::vector<Enqueued>> enqueue(const CorePtr& core, honker_tx_t* tx, std::vector<JobSpec> jobs) {
  if (core == nullptr || !core->options().around_enqueue) return enqueue_raw(core, tx, jobs);
  std::optional<Result<std::vector<Enqueued>>> enqueued;
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
