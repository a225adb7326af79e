// Enqueueing through a connection of the application's own to a Postgres server. Not part of honker.hpp: it needs
// libpq-fe.h, and libpq beside libhonker. The server has to have honker's schema (docs/postgres.md).
//
// Threads: as the connection.

#ifndef HONKER_LIBPQ_HPP
#define HONKER_LIBPQ_HPP

#include <libpq-fe.h>

#include <array>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include "batch.hpp"
#include "enqueue.hpp"
#include "error.hpp"
#include "json_view.hpp"
#include "options.hpp"

namespace honker {
namespace detail {

/// The status that stands for an SQLSTATE, as the library has it.
inline honker_status_t status_of_sqlstate(std::string_view state) noexcept {
  struct Meaning {
    std::string_view begins;
    honker_status_t status;
  };
  // Whole states before their classes.
  constexpr Meaning meanings[] = {
      {"HK001", HONKER_INVALID},    {"HK002", HONKER_MISUSE},     {"HK003", HONKER_TOO_OLD},
      {"HK004", HONKER_TOO_BIG},    {"HK005", HONKER_MOVED},      {"40001", HONKER_BUSY},
      {"40P01", HONKER_BUSY},       {"55P03", HONKER_BUSY},       {"57014", HONKER_INTERRUPTED},
      {"25006", HONKER_READONLY},   {"25P02", HONKER_ABORTED},    {"53100", HONKER_FULL},
      {"P0001", HONKER_CONSTRAINT}, {"44000", HONKER_CONSTRAINT}, {"27000", HONKER_CONSTRAINT},
      {"22001", HONKER_TOO_BIG},    {"22021", HONKER_INVALID},    {"57P0", HONKER_CONNECTION},
      {"23", HONKER_CONSTRAINT},    {"08", HONKER_CONNECTION},    {"53", HONKER_SYSTEM},
      {"54", HONKER_TOO_BIG},       {"0A", HONKER_UNSUPPORTED},   {"58", HONKER_IO},
  };
  for (const auto& meaning : meanings) {
    if (state.substr(0, meaning.begins.size()) == meaning.begins) return meaning.status;
  }
  return HONKER_SQL;
}

inline Error postgres_error(PGconn* connection, const PGresult* result) {
  const char* const state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* const message = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (PQstatus(connection) != CONNECTION_OK) return Error(HONKER_CONNECTION, PQerrorMessage(connection));
  return Error(state == nullptr ? HONKER_INTERNAL : status_of_sqlstate(state),
               message == nullptr ? PQerrorMessage(connection) : message);
}

}  // namespace detail

/// Adds a job to `queue` through a connection of the caller's, as part of the transaction that is open there, if one
/// is; what has come of it. Workers of all processes are woken by the commit. All options may be given, and times are
/// those of the server's clock. What honker's function refuses has the status that the package has for it, other errors
/// the one that stands for their SQLSTATE; after either a transaction can only be rolled back.
inline Result<Enqueued> enqueue_sql(std::nothrow_t, PGconn* connection, std::string_view queue,
                                    std::string_view payload, const EnqueueOptions& options = {}) noexcept {
  if (queue.find('\0') != queue.npos || payload.find('\0') != payload.npos) {
    return Error(HONKER_INVALID, "a queue's name or a payload has a NUL in it");
  }
  auto object = detail::options_json(options);
  if (!object.ok()) return object.error();
  if (options.member) {
    object->add_raw(
        "member",
        detail::JsonObject().add("job_id", options.member->job_id).add("worker_id", options.member->worker_id).text());
  }
  const std::array<std::string, 3> texts{std::string(queue), std::string(payload), object->text()};
  const std::array<const char*, 3> values{texts[0].c_str(), texts[1].c_str(), texts[2].c_str()};
  const std::unique_ptr<PGresult, void (*)(PGresult*)> result(
      PQexecParams(connection, "SELECT honker.honker_enqueue_with($1::text, $2::text, $3::text)", 3, nullptr,
                   values.data(), nullptr, nullptr, 0),
      PQclear);
  if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) return detail::postgres_error(connection, result.get());
  const std::string text = PQgetvalue(result.get(), 0, 0);
  const auto answer = detail::answered(text);
  if (!answer.ok()) return answer.error();
  const auto status = (*answer)["status"].text();
  return Enqueued{(*answer)["id"].integer().value_or(0), status == "exists"     ? EnqueueStatus::exists
                                                         : status == "replaced" ? EnqueueStatus::replaced
                                                                                : EnqueueStatus::enqueued};
}
inline Enqueued enqueue_sql(PGconn* connection, std::string_view queue, std::string_view payload,
                            const EnqueueOptions& options = {}) {
  return enqueue_sql(std::nothrow, connection, queue, payload, options).value();
}

}  // namespace honker

#endif  // HONKER_LIBPQ_HPP
