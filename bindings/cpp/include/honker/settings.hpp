// What is set for a queue.
//
// Plain data: copy it, keep it, read it from any thread.

#ifndef HONKER_SETTINGS_HPP
#define HONKER_SETTINGS_HPP

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "detail.hpp"
#include "json_view.hpp"
#include "object.hpp"

namespace honker {

/// At most `limit` claims in each window of `per_s` seconds; windows are aligned to multiples of their length.
struct Rate {
  std::int64_t limit = 0;
  std::int64_t per_s = 0;
};

/// A job that has failed for the nth time is due again after `base_s` times `factor` to the power of n - 1, at most
/// `max_s`, times a random number in 1 ± `jitter`.
struct Backoff {
  std::int64_t base_s = 15;
  double factor = 2;
  std::int64_t max_s = 3600;
  double jitter = 0.1;
};

/// What holds for a queue, in every process.
struct QueueSettings {
  std::string queue;
  /// Nothing is claimed. What runs goes on.
  bool paused = false;
  /// How many claims may be valid at once.
  std::optional<std::int64_t> concurrency = std::nullopt;
  /// How many of jobs with the same EnqueueOptions::concurrency_key.
  std::optional<std::int64_t> concurrency_per_key = std::nullopt;
  std::optional<Rate> rate = std::nullopt;
  /// How often jobs may be claimed whose enqueue does not say.
  std::int64_t max_attempts = 3;
  /// When a job is tried again if its handler does not say. Empty: as its worker has it.
  std::optional<Backoff> retry = std::nullopt;
  /// For how many seconds done jobs are kept, with their results: Database::jobs() shows them.
  std::int64_t keep_done_s = 0;
  /// For how many seconds dead jobs are kept. Empty: for ever.
  std::optional<std::int64_t> keep_dead_s = std::nullopt;
};

/// A Change: back to the default.
struct UseDefault {};
inline constexpr UseDefault use_default{};

/// What becomes of a setting: it stays as it is, goes back to its default (`use_default`), or is set to a value.
template <class T>
class Change {
 public:
  constexpr Change() = default;
  constexpr Change(UseDefault) : changes_(true) {}
  constexpr Change(T value) : changes_(true), value_(std::move(value)) {}

  constexpr bool changes() const noexcept { return changes_; }
  /// Empty: the default.
  constexpr const std::optional<T>& value() const noexcept { return value_; }

 private:
  bool changes_ = false;
  std::optional<T> value_;
};

/// For Queue::configure(): what to change of a queue's settings.
///
///     honker::QueueChanges changes;
///     changes.concurrency = 10;
///     changes.rate = honker::Rate{100, 60};
///     changes.keep_done_s = honker::use_default;
///     emails.configure(changes);
struct QueueChanges {
  Change<bool> paused = {};
  Change<std::int64_t> concurrency = {};
  Change<std::int64_t> concurrency_per_key = {};
  Change<Rate> rate = {};
  Change<std::int64_t> max_attempts = {};
  Change<Backoff> retry = {};
  Change<std::int64_t> keep_done_s = {};
  Change<std::int64_t> keep_dead_s = {};
};

namespace detail {

/// Adds what is changed to an object of the library's.
template <class T>
void add_change(JsonObject& object, std::string_view key, const Change<T>& change) {
  if (!change.changes()) return;
  if (change.value()) {
    object.add(key, *change.value());
  } else {
    object.add_raw(key, "null");
  }
}

inline std::string settings_json(const QueueChanges& changes) {
  JsonObject object;
  const auto add = [&](const char* key, const auto& change) { add_change(object, key, change); };
  add("paused", changes.paused);
  add("concurrency", changes.concurrency);
  add("concurrency_per_key", changes.concurrency_per_key);
  add("max_attempts", changes.max_attempts);
  add("keep_done_s", changes.keep_done_s);
  add("keep_dead_s", changes.keep_dead_s);
  const auto add_object = [&](const char* key, const auto& change, auto&& json) {
    if (change.changes()) object.add_raw(key, change.value() ? json(*change.value()) : "null");
  };
  add_object("rate", changes.rate,
             [](const Rate& rate) { return JsonObject().add("limit", rate.limit).add("per_s", rate.per_s).text(); });
  add_object("retry", changes.retry, [](const Backoff& retry) {
    return JsonObject()
        .add("base_s", retry.base_s)
        .add("factor", retry.factor)
        .add("max_s", retry.max_s)
        .add("jitter", retry.jitter)
        .text();
  });
  return object.text();
}

inline QueueSettings read_settings(const JsonView& json) {
  QueueSettings settings;
  settings.queue = json["queue"].text().value_or("");
  settings.paused = json["paused"].integer().value_or(0) != 0;
  settings.concurrency = json["concurrency"].integer();
  settings.concurrency_per_key = json["concurrency_per_key"].integer();
  if (const auto limit = json["rate"]["limit"].integer()) {
    settings.rate = Rate{*limit, json["rate"]["per_s"].integer().value_or(0)};
  }
  settings.max_attempts = json["max_attempts"].integer().value_or(settings.max_attempts);
  if (const auto retry = json["retry"]; const auto base_s = retry["base_s"].integer()) {
    const Backoff by_default;
    settings.retry = Backoff{*base_s, retry["factor"].real().value_or(by_default.factor),
                             retry["max_s"].integer().value_or(by_default.max_s),
                             retry["jitter"].real().value_or(by_default.jitter)};
  }
  settings.keep_done_s = json["keep_done_s"].integer().value_or(0);
  settings.keep_dead_s = json["keep_dead_s"].integer();
  return settings;
}

/// Reads an array of settings.
inline Result<std::vector<QueueSettings>> read_all_settings(const std::string& json) {
  const auto answer = answered(json);
  if (!answer.ok()) return answer.error();
  std::vector<QueueSettings> read;
  for (const auto& each : answer->elements()) read.push_back(read_settings(each));
  return read;
}

}  // namespace detail
}  // namespace honker

#endif  // HONKER_SETTINGS_HPP
