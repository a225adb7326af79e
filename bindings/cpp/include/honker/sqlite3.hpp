// Enqueueing through a connection of the application's own SQLite. Not part of honker.hpp: it needs sqlite3.h, and a
// SQLite beside the one in libhonker. Nothing is loaded into the connection.
//
// Threads: as the connection.

#ifndef HONKER_SQLITE3_HPP
#define HONKER_SQLITE3_HPP

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string_view>

#include "error.hpp"
#include "options.hpp"

namespace honker {
namespace detail {

inline Error sqlite_error(sqlite3* connection) {
  const int code = sqlite3_extended_errcode(connection);
  honker_status_t status = HONKER_SQL;
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      status = HONKER_BUSY;
      break;
    case SQLITE_CONSTRAINT:
      status = HONKER_CONSTRAINT;
      break;
    case SQLITE_FULL:
      status = HONKER_FULL;
      break;
    case SQLITE_IOERR:
      status = HONKER_IO;
      break;
    case SQLITE_READONLY:
      status = HONKER_READONLY;
      break;
    case SQLITE_INTERRUPT:
      status = HONKER_INTERRUPTED;
      break;
    case SQLITE_TOOBIG:
      status = HONKER_TOO_BIG;
      break;
    default:
      break;
  }
  return Error(status, sqlite3_errmsg(connection), code & 0xff, code);
}

}  // namespace detail

/// Adds a job to `queue` through a connection of the caller's, as part of the transaction that is open there, if one
/// is; its id. Workers of all processes are woken by the commit. The file has to have honker's tables: open it with a
/// Database once. Times are taken from the system's clock. Metadata, keys, a batch and max_run_s need the package or
/// the extension: HONKER_UNSUPPORTED.
inline Result<std::int64_t> enqueue_sql(std::nothrow_t, sqlite3* connection, std::string_view queue,
                                        std::string_view payload, const EnqueueOptions& options = {}) noexcept {
  if (!options.metadata.empty() || options.unique_key || options.concurrency_key || options.batch_id ||
      options.member || options.max_run_s) {
    return Error(HONKER_UNSUPPORTED, "enqueue_sql cannot give a job metadata, a key, a batch or max_run_s");
  }
  if (queue.find('\0') != queue.npos || payload.find('\0') != payload.npos) {
    return Error(HONKER_INVALID, "a queue's name or a payload has a NUL in it");
  }
  // As precise as the library's clock: std::time() may still be in the second before.
  const auto now = static_cast<std::int64_t>(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()));
  constexpr std::int64_t most = 1LL << 53;  // seconds: no sum overflows
  for (const auto& seconds : {options.run_at, options.delay_s, options.expires_s}) {
    if (seconds && (*seconds > most || *seconds < -most)) return Error(HONKER_INVALID, "a time is out of range");
  }
  const std::int64_t run_at = options.delay_s ? now + *options.delay_s : options.run_at.value_or(now);
  sqlite3_stmt* raw = nullptr;
  const int prepared =
      sqlite3_prepare_v2(connection,
                         "INSERT INTO _honker_live (queue, payload, priority, run_at, max_attempts, "
                         "created_at, expires_at) VALUES (?1, ?2, ?3, ?4, coalesce(?5, (SELECT json_extract(settings, "
                         "'$.max_attempts') FROM _honker_queues WHERE name = ?1), 3), ?6, ?7)",
                         -1, &raw, nullptr);
  const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> insert(raw, sqlite3_finalize);
  if (prepared != SQLITE_OK) return detail::sqlite_error(connection);
  const auto text = [&](int index, std::string_view value) {
    return sqlite3_bind_text64(raw, index, value.data() == nullptr ? "" : value.data(), value.size(), SQLITE_STATIC,
                               SQLITE_UTF8);
  };
  int bound = text(1, queue);
  bound |= text(2, payload);
  bound |= sqlite3_bind_int64(raw, 3, options.priority);
  bound |= sqlite3_bind_int64(raw, 4, run_at);
  if (options.max_attempts) bound |= sqlite3_bind_int64(raw, 5, *options.max_attempts);
  bound |= sqlite3_bind_int64(raw, 6, now);
  if (options.expires_s) bound |= sqlite3_bind_int64(raw, 7, now + *options.expires_s);
  if (bound != SQLITE_OK || sqlite3_step(raw) != SQLITE_DONE) return detail::sqlite_error(connection);
  return static_cast<std::int64_t>(sqlite3_last_insert_rowid(connection));
}
inline std::int64_t enqueue_sql(sqlite3* connection, std::string_view queue, std::string_view payload,
                                const EnqueueOptions& options = {}) {
  return enqueue_sql(std::nothrow, connection, queue, payload, options).value();
}

}  // namespace honker

#endif  // HONKER_SQLITE3_HPP
