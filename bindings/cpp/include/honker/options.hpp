// How a database is opened, and how jobs are enqueued.
//
// Plain data: copy it, keep it, read it from any thread.

#ifndef HONKER_OPTIONS_HPP
#define HONKER_OPTIONS_HPP

#include <honker.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace honker {

/// Until when a job has its unique key.
enum class UniqueUntil : std::uint32_t {
  settled = HONKER_UNIQUE_SETTLED,  ///< Until it is done, dead or cancelled.
  claimed = HONKER_UNIQUE_CLAIMED,  ///< Until it is claimed, and again while it waits for another attempt.
};

/// What becomes of a job whose unique key another one has.
enum class OnConflict : std::uint32_t {
  keep = HONKER_CONFLICT_KEEP,        ///< Nothing is added, and the other job stays as it is.
  replace = HONKER_CONFLICT_REPLACE,  ///< Nothing is added; the other job becomes this one if it is still waiting.
};

/// A job that is running, and who has claimed it.
struct BatchMember {
  std::int64_t job_id = 0;
  std::string worker_id;
};

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
  /// How often the job may be claimed. Default: what the Queue was made with, or what is set for it
  /// (Queue::configure()), or 3.
  std::optional<std::int64_t> max_attempts = std::nullopt;
  /// Comes back with the job: a JSON object of texts, at most 8192 bytes. Empty: none.
  std::string metadata = {};
  /// There is only one job of the queue with this key: enqueueing another one answers EnqueueStatus::exists or
  /// replaced, and the id of the one that has the key.
  std::optional<std::string> unique_key = std::nullopt;
  UniqueUntil unique_until = UniqueUntil::settled;
  /// For how many seconds the job has the key at least, this one included, whatever becomes of it; 1 or more.
  std::optional<std::int64_t> unique_for_s = std::nullopt;
  OnConflict on_conflict = OnConflict::keep;
  /// Of the jobs of a queue with this key no more run at the same time than QueueSettings::concurrency_per_key.
  std::optional<std::string> concurrency_key = std::nullopt;
  /// The batch that the job belongs to; Batch::join() sets it, and the next one.
  std::optional<std::int64_t> batch_id = std::nullopt;
  /// The member of that batch, running now, by which this job joins it although it is sealed.
  std::optional<BatchMember> member = std::nullopt;
  /// For how many seconds a worker lets the job run before it is retried; 1 or more. Default:
  /// WorkerOptions::max_run_s.
  std::optional<std::int64_t> max_run_s = std::nullopt;
};

/// What has become of a job that was enqueued.
enum class EnqueueStatus : honker_status_t {
  enqueued = HONKER_OK,        ///< It was added.
  exists = HONKER_EXISTS,      ///< Another job has its unique key, and was left as it is.
  replaced = HONKER_REPLACED,  ///< Another job had its unique key, and has become this one.
  skipped = HONKER_EMPTY,      ///< Of a schedule: none was added (Overlap::skip).
};

/// A job that was enqueued. It is its id wherever a number is wanted.
struct Enqueued {
  /// The job's id, or that of the job that has its unique key.
  std::int64_t id = 0;
  EnqueueStatus status = EnqueueStatus::enqueued;

  constexpr operator std::int64_t() const noexcept { return id; }
  explicit operator bool() const = delete;  // look at `status`
};

/// One of the jobs that are enqueued together.
struct JobSpec {
  std::string queue;
  std::string payload;
  EnqueueOptions options = {};
};

/// What a commit survives.
enum class Durability : std::uint32_t {
  normal = HONKER_DURABILITY_NORMAL,  ///< A crash of the process; a power cut may take the last ones back.
  full = HONKER_DURABILITY_FULL,      ///< A power cut as well.
};

/// SQLite's journal.
enum class JournalMode : std::uint32_t {
  wal = HONKER_JOURNAL_WAL,            ///< Write-ahead log: readers do not wait for the writer.
  remove = HONKER_JOURNAL_DELETE,      ///< Rollback journal, deleted after each transaction.
  truncate = HONKER_JOURNAL_TRUNCATE,  ///< Rollback journal, truncated after each transaction.
  persist = HONKER_JOURNAL_PERSIST,    ///< Rollback journal, kept.
};

/// How to open a database.
struct Options {
  Durability durability = Durability::normal;
  JournalMode journal_mode = JournalMode::wal;
  /// How long a call waits for a lock that another process, or a transaction of this one, holds.
  std::int64_t busy_timeout_ms = 5000;
  /// How many reads may run at once, 1 to 1000.
  std::uint32_t readers_max = 8;
  /// After how many pages the write-ahead log is written back; 0 means never.
  std::uint32_t wal_autocheckpoint_pages = 10000;
  /// How commits are noticed by those who wait: "auto", "polling" (or "poll"), "kernel" ("kernel-watcher") or "shm"
  /// ("shm-fast-path"). Empty is auto, which sleeps on events of the file system, and polls where these do not come.
  std::string watcher_backend = {};
  /// How often the back ends that poll look, more than 0.
  std::int64_t watcher_poll_interval_ms = 1;
  /// Called around everything that enqueues: sees the jobs, may change them and add metadata, and calls `next` to have
  /// them enqueued. If it does not, or throws before it does, nothing is enqueued (HONKER_INVALID); what it throws
  /// afterwards is passed over. By any thread, several at a time.
  std::function<void(std::vector<JobSpec>& jobs, const std::function<void()>& next)> around_enqueue = nullptr;
};

}  // namespace honker

#endif  // HONKER_OPTIONS_HPP
