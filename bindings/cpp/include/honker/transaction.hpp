// A transaction: the caller's own SQL and honker's operations, committed together or not at all.
//
// Threads: one at a time; it may move between threads.

#ifndef HONKER_TRANSACTION_HPP
#define HONKER_TRANSACTION_HPP

#include <cstdint>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "detail.hpp"

namespace honker {

class Transaction;

namespace detail {

Result<Transaction> begin(const CorePtr& core) noexcept;

}  // namespace detail

/// An open transaction that may write (BEGIN IMMEDIATE), made by Database::begin().
///
///     auto tx = db.begin();
///     tx.execute("INSERT INTO orders (id, total) VALUES (?, ?)", {42, 99});
///     emails.enqueue_tx(tx, R"({"order_id":42})");
///     tx.commit();
///
/// It holds the database's only writer: until it is over, others that write wait for as long as their busy timeout.
/// The destructor rolls back what was not committed, and never throws. Should the process die, nothing has happened.
/// After HONKER_FULL, HONKER_IO and HONKER_ABORTED SQLite may have rolled it back already; a commit then fails.
class Transaction {
 public:
  Transaction(Transaction&&) noexcept = default;
  Transaction& operator=(Transaction&&) noexcept = default;

  /// Runs one statement of SQL; how many rows it inserted, updated or deleted. `parameters` are the values of ?1, ?2, …
  /// in order; a statement with more or fewer parameters is HONKER_INVALID. All of honker's SQL functions are there.
  std::int64_t execute(std::string_view sql, const std::vector<Value>& parameters = {}) {
    return execute(std::nothrow, sql, parameters).value();
  }
  Result<std::int64_t> execute(std::nothrow_t, std::string_view sql,
                               const std::vector<Value>& parameters = {}) noexcept {
    const auto lent = detail::lend(parameters);
    return detail::number(core_, honker_tx_execute, handle(), sql, lent.data(), lent.size());
  }

  /// Runs one statement of SQL; its rows. They see what the transaction has done so far. Parameters as for execute().
  Rows query(std::string_view sql, const std::vector<Value>& parameters = {}) {
    return query(std::nothrow, sql, parameters).value();
  }
  Result<Rows> query(std::nothrow_t, std::string_view sql, const std::vector<Value>& parameters = {}) noexcept {
    const auto lent = detail::lend(parameters);
    return detail::rows(core_, honker_tx_query, handle(), sql, lent.data(), lent.size());
  }

  /// Commits. On an error nothing of the transaction has happened, and it is over. Does nothing if it was committed
  /// before; HONKER_MISUSE if it was rolled back.
  void commit() { commit(std::nothrow).value(); }
  Result<void> commit(std::nothrow_t) noexcept {
    if (tx_ && state_ == State::committed) return {};
    auto committed = detail::done(core_, honker_tx_commit, handle());
    state_ = committed.ok() ? State::committed : State::rolled_back;
    return committed;
  }

  /// Rolls back: nothing of the transaction has happened. Does nothing if it is over already, also if it was committed.
  void rollback() { rollback(std::nothrow).value(); }
  Result<void> rollback(std::nothrow_t) noexcept {
    if (tx_ && state_ != State::open) return {};
    state_ = State::rolled_back;
    return detail::done(core_, honker_tx_rollback, handle());
  }

  /// For the library. Never NULL, which would mean no transaction: the handle of a transaction that was moved from is
  /// one that the C ABI refuses.
  honker_tx_t* handle() const noexcept {
    static char no_handle;
    return tx_ ? tx_.get() : reinterpret_cast<honker_tx_t*>(&no_handle);
  }

 private:
  friend Result<Transaction> detail::begin(const detail::CorePtr& core) noexcept;
  enum class State { open, committed, rolled_back };

  Transaction(detail::CorePtr core, detail::Owned<honker_tx_t> tx) noexcept
      : core_(std::move(core)), tx_(std::move(tx)) {}

  detail::CorePtr core_;
  detail::Owned<honker_tx_t> tx_;  // goes before the database may
  State state_ = State::open;
};

namespace detail {

inline Result<Transaction> begin(const CorePtr& core) noexcept {
  auto tx = owned<honker_tx_t>(core, honker_tx_begin, handle(core));
  if (!tx.ok()) return tx.error();
  if (*tx == nullptr) return unexpected();
  return Transaction(core, std::move(*tx));
}

}  // namespace detail

}  // namespace honker

#endif  // HONKER_TRANSACTION_HPP
