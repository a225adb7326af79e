// What becomes of a job.
//
// Plain data: copy it, keep it, read it from any thread.

#ifndef HONKER_OUTCOME_HPP
#define HONKER_OUTCOME_HPP

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

#include "detail.hpp"

namespace honker {

/// What becomes of a job that was claimed. A handler of a Worker returns one or throws one, which is the same:
///
///     if (!is_open(shop)) return honker::Outcome::snooze(600);
class Outcome {
 public:
  /// The job is done.
  static Outcome ack() { return Outcome(HONKER_SETTLE_ACK); }
  /// The job could not be done now: it becomes due again after the worker's own delay, which grows with its attempts,
  /// or ends among the dead with the text `error` if those are used up.
  static Outcome retry(std::string_view error) { return Outcome(HONKER_SETTLE_RETRY, HONKER_NO_TIME, error); }
  /// The same in `delay_s` seconds.
  static Outcome retry(std::int64_t delay_s, std::string_view error) {
    return Outcome(HONKER_SETTLE_RETRY, delay_s, error);
  }
  /// The job can never be done: it ends among the dead with the text `error`, whatever attempts it has left.
  static Outcome discard(std::string_view error) { return Outcome(HONKER_SETTLE_FAIL, 0, error); }
  /// Not yet: the job becomes due again in `delay_s` seconds, and this attempt does not count.
  static Outcome snooze(std::int64_t delay_s) { return Outcome(HONKER_SETTLE_SNOOZE, delay_s); }
  /// The job goes back: it is due again at once, and this attempt does not count.
  static Outcome release() { return Outcome(HONKER_SETTLE_RELEASE); }

  /// One of HONKER_SETTLE_*.
  std::uint32_t kind() const noexcept { return kind_; }
  /// Of a retry or a snooze; HONKER_NO_TIME for the worker's own delay.
  std::int64_t delay_s() const noexcept { return delay_s_; }
  /// Why; empty if that was not asked for.
  const std::string& error() const noexcept { return error_; }
  /// Whether something went wrong: a retry or a discard.
  bool is_failure() const noexcept { return kind_ == HONKER_SETTLE_RETRY || kind_ == HONKER_SETTLE_FAIL; }

 private:
  explicit Outcome(std::uint32_t kind, std::int64_t delay_s = 0, std::string_view error = {})
      : kind_(kind), delay_s_(delay_s), error_(detail::readable(error)) {}

  std::uint32_t kind_;
  std::int64_t delay_s_;
  std::string error_;
};

namespace detail {

/// What the C ABI is told; the outcome's text has to stay until it was.
inline honker_settlement_t settlement(std::int64_t id, std::int64_t serial, const Outcome& outcome) noexcept {
  honker_settlement_t raw{};
  raw.kind = outcome.kind();
  raw.status = HONKER_INTERNAL;  // until the call says otherwise
  raw.id = id;
  raw.serial = serial;
  raw.delay_s = outcome.delay_s();
  raw.error = view(outcome.error());
  return raw;
}

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
/// What an exception says, and what those say that it was thrown around (std::throw_with_nested).
inline std::string text_of(const std::exception& exception) {
  const char* const what = exception.what();
  std::string text = what == nullptr ? "an exception that says nothing" : what;
#ifdef __cpp_rtti
  try {
    std::rethrow_if_nested(exception);
  } catch (const std::exception& cause) {
    text += ": " + text_of(cause);
  } catch (...) {
  }
#endif
  return text;
}
#endif

/// What a function of the user's has thrown, as a text; empty if nothing. pthread_exit() comes through: it cannot be
/// stopped.
template <class Call>
std::optional<std::string> thrown_by(Call&& call) {
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
  try {
    call();
#ifdef __GLIBCXX__
  } catch (abi::__forced_unwind&) {
    throw;
#endif
  } catch (const std::exception& exception) {
    return text_of(exception);
  } catch (...) {
    return std::string("an exception that is no std::exception");
  }
#else
  call();
#endif
  return std::nullopt;
}

/// What a function of the user's has come to: what it returns, which may be a Result of that.
template <class T>
struct Plain {
  using type = std::decay_t<T>;
};
template <class T>
struct Plain<Result<T>> {
  using type = T;
};
template <class Function, class... Arguments>
using ReturnedBy = typename Plain<std::invoke_result_t<Function&, Arguments...>>::type;

template <class Function, class... Arguments>
auto returned_by(Function& function, Arguments&... arguments) -> Result<ReturnedBy<Function, Arguments&...>> {
  using Returned = std::invoke_result_t<Function&, Arguments&...>;
  if constexpr (std::is_void_v<Returned>) {
    function(arguments...);
    return {};
  } else {
    return function(arguments...);
  }
}

/// Makes a call, `make()`, that returns a Result. What is thrown comes through, or is the Error if `Catches`.
template <bool Catches, class Make>
auto guarded(const std::string& what, Make&& make) -> decltype(make()) {
  if constexpr (!Catches) {
    return make();
  } else {
    std::optional<decltype(make())> made;
    const auto thrown = thrown_by([&] { made.emplace(make()); });
    if (!made) return Error(HONKER_INVALID, what + " has thrown: " + *thrown);
    return std::move(*made);
  }
}

/// What a function of the user's, which returns an Outcome or nothing, says becomes of its job.
template <class Function, class... Arguments>
Outcome outcome_of(Function& function, Arguments&&... arguments) {
  if constexpr (std::is_convertible_v<std::invoke_result_t<Function&, Arguments...>, Outcome>) {
    return function(std::forward<Arguments>(arguments)...);
  } else {
    function(std::forward<Arguments>(arguments)...);
    return Outcome::ack();
  }
}

/// The outcome that `call` returns, or throws; a step that has run and cannot be saved is a discard; anything else that
/// it throws is what `failed`, given its text, says. `thrown` is what was thrown.
template <class Call, class Failed>
Outcome caught_outcome(Call&& call, [[maybe_unused]] Failed&& failed, [[maybe_unused]] std::exception_ptr& thrown) {
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
  try {
    return call();
  } catch (const Outcome& outcome) {
    thrown = std::current_exception();
    return outcome;
  } catch (const UnsavedStepError& error) {
    thrown = std::current_exception();
    return Outcome::discard(error.what());
#ifdef __GLIBCXX__
  } catch (abi::__forced_unwind&) {
    throw;
#endif
  } catch (...) {
    thrown = std::current_exception();
  }
  return failed(*thrown_by([&] { std::rethrow_exception(thrown); }));
#else
  return call();
#endif
}

}  // namespace detail
}  // namespace honker

#endif  // HONKER_OUTCOME_HPP
