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
