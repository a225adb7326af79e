// What went wrong, as an exception and as a value.
//
// Error is what functions throw and what a Result holds. Plain data: copy it, keep it, read it from any thread.

#ifndef HONKER_ERROR_HPP
#define HONKER_ERROR_HPP

#include <honker.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

namespace honker {

/// Why a call has failed. what() is a sentence for the user of the program.
class Error : public std::runtime_error {
 public:
  /// `status` is one of the HONKER_* numbers of honker.h, the codes are SQLite's or 0.
  Error(honker_status_t status, const std::string& message, std::int32_t sqlite_code = 0,
        std::int32_t sqlite_extended_code = 0)
      : std::runtime_error(message),
        status_(status),
        sqlite_code_(sqlite_code),
        sqlite_extended_code_(sqlite_extended_code) {}

  /// Which error it is: HONKER_BUSY and the others of honker.h. A later library may have more of them.
  honker_status_t status() const noexcept { return status_; }

  /// The name of the status, for logs: "HONKER_BUSY".
  const char* name() const noexcept { return honker_status_name(status_); }

  /// SQLite's primary result code, 5 for SQLITE_BUSY; 0 if it was not SQLite that refused.
  std::int32_t sqlite_code() const noexcept { return sqlite_code_; }

  /// SQLite's extended result code, 517 for SQLITE_BUSY_SNAPSHOT; 0 if it was not SQLite that refused.
  std::int32_t sqlite_extended_code() const noexcept { return sqlite_extended_code_; }

  /// Somebody held the write lock for longer than the busy timeout.
  bool is_busy() const noexcept { return status_ == HONKER_BUSY; }

  /// The database has been closed, before the call or while it ran.
  bool is_closed() const noexcept { return status_ == HONKER_CLOSED_HANDLE; }

  /// A constraint of the caller's own tables refused the change.
  bool is_constraint() const noexcept { return status_ == HONKER_CONSTRAINT; }

  /// The connection to the Postgres server was lost, or there is none to be had. The library connects again by itself.
  bool is_connection() const noexcept { return status_ == HONKER_CONNECTION; }

  /// Database::interrupt() ended the call.
  bool is_interrupted() const noexcept { return status_ == HONKER_INTERRUPTED; }

  /// The claim of a job was lost, and with it what was to be done on its behalf.
  bool is_lost() const noexcept { return status_ == HONKER_LOST; }

  /// A step of a job (Job::step) has run, but what it returned could not be encoded: nothing is saved, and another
  /// attempt would run it again. The job is to be discarded, which a Worker does if its handler throws the error.
  bool is_unsaved_step() const noexcept { return is_unsaved_step_; }

  /// The error is one of the moment, such as a locked file or a full disk: the same call may succeed later
  /// (honker_status_is_transient).
  bool is_transient() const noexcept { return honker_status_is_transient(status_) == 1; }

  /// What Job::step answers.
  static Error unsaved_step(const std::string& name, const Error& why) {
    Error error(why.status(), "step " + name + " has run, and is not saved: " + why.what());
    error.is_unsaved_step_ = true;
    return error;
  }

 private:
  honker_status_t status_;
  std::int32_t sqlite_code_;
  std::int32_t sqlite_extended_code_;
  bool is_unsaved_step_ = false;
};

// The errors that callers tell apart have types of their own, for `catch`. All others are thrown as Error.

/// Error::is_busy().
class BusyError : public Error {
 public:
  explicit BusyError(const Error& error) : Error(error) {}
};

/// Error::is_closed().
class ClosedError : public Error {
 public:
  explicit ClosedError(const Error& error) : Error(error) {}
};

/// Error::is_constraint().
class ConstraintError : public Error {
 public:
  explicit ConstraintError(const Error& error) : Error(error) {}
};

/// Error::is_connection().
class ConnectionError : public Error {
 public:
  explicit ConnectionError(const Error& error) : Error(error) {}
};

/// Error::is_interrupted().
class InterruptedError : public Error {
 public:
  explicit InterruptedError(const Error& error) : Error(error) {}
};

/// Error::is_lost().
class LostError : public Error {
 public:
  explicit LostError(const Error& error) : Error(error) {}
};

/// Error::is_unsaved_step().
class UnsavedStepError : public Error {
 public:
  explicit UnsavedStepError(const Error& error) : Error(error) {}
};

namespace detail {

[[noreturn]] inline void raise(const Error& error) {
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
  if (error.is_busy()) throw BusyError(error);
  if (error.is_closed()) throw ClosedError(error);
  if (error.is_constraint()) throw ConstraintError(error);
  if (error.is_connection()) throw ConnectionError(error);
  if (error.is_interrupted()) throw InterruptedError(error);
  if (error.is_lost()) throw LostError(error);
  if (error.is_unsaved_step()) throw UnsavedStepError(error);
  throw error;
#else
  std::fprintf(stderr, "%s: %s\n", error.name(), error.what());
  std::abort();
#endif
}

[[noreturn]] inline void raise_no_error() { raise(Error(HONKER_MISUSE, "error() of a Result that has no error")); }

}  // namespace detail

/// What a call with std::nothrow returns: a value or an Error.
///
/// There is no conversion to bool, because it would read wrongly where the value is a bool or an optional itself:
///
///     auto acked = job.ack(std::nothrow);
///     if (!acked.ok()) log(acked.error().what());
///     else if (!*acked) log("the claim was lost");
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  /// Whether there is a value.
  bool ok() const noexcept { return state_.index() == 0; }

  /// The value. Throws the error if there is none.
  T& value() & {
    check();
    return std::get<0>(state_);
  }
  const T& value() const& {
    check();
    return std::get<0>(state_);
  }
  T value() && {
    check();
    return std::move(std::get<0>(state_));
  }

  /// As value().
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  /// The error. Only if ok() is false; HONKER_MISUSE is thrown otherwise.
  const Error& error() const {
    if (ok()) detail::raise_no_error();
    return std::get<1>(state_);
  }

 private:
  void check() const {
    if (!ok()) detail::raise(error());
  }

  std::variant<T, Error> state_;
};

/// What a call with std::nothrow returns that has no value.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  /// Whether the call succeeded.
  bool ok() const noexcept { return !error_; }

  /// Throws the error if there is one.
  void value() const {
    if (error_) detail::raise(*error_);
  }

  /// The error. Only if ok() is false; HONKER_MISUSE is thrown otherwise.
  const Error& error() const {
    if (!error_) detail::raise_no_error();
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace honker

#endif  // HONKER_ERROR_HPP
