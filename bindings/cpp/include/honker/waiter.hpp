// Waiting: for how long, for commits, and what everything that waits has in common.
//
// Threads: what waits is used by one at a time; wake(), fd() and close() are for any.

#ifndef HONKER_WAITER_HPP
#define HONKER_WAITER_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "detail.hpp"

namespace honker {

/// How long to wait: any duration of <chrono>, such as `5s`, or `forever`. Zero, or less: not at all. It is rounded up
/// to milliseconds, and what is longer than those can count is forever.
class Timeout {
 public:
  template <class Number, class Period>
  constexpr Timeout(std::chrono::duration<Number, Period> time) noexcept {
    using Exact = std::chrono::duration<long double, std::milli>;
    const long double exact = Exact(time).count();
    if (exact >= static_cast<long double>(std::numeric_limits<std::int64_t>::max())) {
      ms_ = without_end;
    } else if (exact > 0) {
      ms_ = static_cast<std::int64_t>(exact);
      if (static_cast<long double>(ms_) < exact) ++ms_;
    }
  }

  /// In milliseconds, 0 or more; -1 without end.
  constexpr std::int64_t ms() const noexcept { return ms_; }

 private:
  static constexpr std::int64_t without_end = -1;
  std::int64_t ms_ = 0;
};

/// A Timeout: without end.
inline constexpr Timeout forever{std::chrono::milliseconds::max()};

namespace detail {

inline constexpr Timeout no_time{std::chrono::milliseconds(0)};

/// A consumer of the C ABI, and what it waits with. Both are freed with this.
template <class Handle>
struct Waiting {
  CorePtr core;
  Owned<honker_waiter_t> waiter;
  Owned<Handle> consumer;  // goes before what it waits with
  std::atomic<bool> closed{false};

  Waiting(CorePtr the_core, Owned<honker_waiter_t> the_waiter, Owned<Handle> the_consumer) noexcept
      : core(std::move(the_core)), waiter(std::move(the_waiter)), consumer(std::move(the_consumer)) {}

  /// Frees both now, also while another thread uses them, whose call then ends. The destructor frees them again, which
  /// does no harm.
  void close() noexcept {
    closed = true;
    Free()(consumer.get());
    Free()(waiter.get());
  }

  bool is_over() const noexcept { return closed || core->handle() == nullptr; }
};

template <class Handle>
using WaitingPtr = std::unique_ptr<Waiting<Handle>>;

inline Result<Owned<honker_waiter_t>> make_waiter(const CorePtr& core) {
  auto waiter = owned<honker_waiter_t>(
      core, [&](honker_waiter_t** out, honker_error_t** err) { return honker_waiter_new(handle(core), out, err); });
  if (waiter.ok() && *waiter == nullptr) return unexpected();
  return waiter;
}

/// Makes a consumer with a call, `make(waiter, out, err)`.
template <class Handle, class Make>
Result<WaitingPtr<Handle>> make_waiting(const CorePtr& core, Make&& make) {
  auto waiter = make_waiter(core);
  if (!waiter.ok()) return waiter.error();
  auto consumer =
      owned<Handle>(core, [&](Handle** out, honker_error_t** err) { return make(waiter->get(), out, err); });
  if (!consumer.ok()) return consumer.error();
  if (*consumer == nullptr) return unexpected();
  return std::make_unique<Waiting<Handle>>(core, std::move(*waiter), std::move(*consumer));
}

inline Error closed_error(const Core& core) {
  if (core.handle() == nullptr) return Error(HONKER_CLOSED_HANDLE, "the database is closed: " + core.path());
  return Error(HONKER_CLOSED_HANDLE, "this has been closed; the database is open: " + core.path());
}

/// Makes a call, `make(err)`, that waits: HONKER_OK, HONKER_TIMEOUT or HONKER_WOKEN.
template <class Make>
Result<honker_status_t> wait(const CorePtr& core, Make&& make) {
  honker_error_t* raw = nullptr;
  const honker_status_t status = make(&raw);
  if (status < 0) return make_error(core.get(), status, raw);
  honker_error_free(raw);
  if (status == HONKER_CLOSED) return closed_error(*core);
  if (status != HONKER_OK && status != HONKER_TIMEOUT && status != HONKER_WOKEN) return unexpected();
  return status;
}

/// The result of a job, waited for.
inline Result<std::optional<std::string>> wait_result(const CorePtr& core, std::int64_t id, Timeout timeout) {
  const auto get = [&](honker_text_t** out, honker_error_t** err) {
    return honker_result_get(handle(core), nullptr, id, out, err);
  };
  // The first look needs no waiter, which costs milliseconds if nobody else in this process waits.
  auto there = optional_text(core, get);
  if (!there.ok() || *there || timeout.ms() == 0) return there;
  const auto waiting = make_waiting<honker_result_wait_t>(
      core, [&](honker_waiter_t* waiter, honker_result_wait_t** out, honker_error_t** err) {
        return honker_result_wait_new(handle(core), waiter, 0, id, out, err);
      });
  if (!waiting.ok()) return waiting.error();
  Owned<honker_text_t> value;
  const auto waited = wait(core, [&](honker_error_t** err) {
    honker_text_t* out = nullptr;
    const auto status = honker_result_wait_next((*waiting)->consumer.get(), timeout.ms(), &out, err);
    value.reset(out);
    return status;
  });
  if (!waited.ok()) return waited.error();
  if (value == nullptr) return std::optional<std::string>();
  return optional_text(core, [&](honker_text_t** out, honker_error_t**) {
    *out = value.release();
    return HONKER_OK;
  });
}

/// What a handler of the user's has thrown, as a text; empty if nothing.
template <class Call>
std::optional<std::string> thrown_by(Call&& call) {
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
  try {
    call();
  } catch (const std::exception& exception) {
    const char* const what = exception.what();
    return std::string(what == nullptr ? "an exception that says nothing" : what);
  } catch (...) {
    return std::string("an exception that is no std::exception");
  }
#else
  call();
#endif
  return std::nullopt;
}

/// Makes a call, and again, less and less often, if somebody else kept it from happening, until it happens or `stop` is
/// set.
template <class Make>
auto make_until(const std::atomic<bool>& stop, Make&& make) {
  constexpr std::chrono::milliseconds longest(100);
  auto made = make();
  for (std::chrono::milliseconds rest(10); !made.ok() && made.error().is_retryable() && !stop;
       rest = std::min(2 * rest, longest)) {
    std::this_thread::sleep_for(rest);
    made = make();
  }
  return made;
}

/// Goes through what a consumer delivers, with its function `Next`; the end is when that returns nothing.
template <class Consumer, class Item, std::optional<Item> (Consumer::*Next)(Timeout)>
class Iterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = Item;
  using difference_type = std::ptrdiff_t;
  using pointer = const Item*;
  using reference = const Item&;

  /// The end.
  Iterator() noexcept = default;
  explicit Iterator(Consumer& consumer) : consumer_(&consumer), item_((consumer.*Next)(forever)) {}

  const Item& operator*() const noexcept { return *item_; }
  const Item* operator->() const noexcept { return &*item_; }
  Iterator& operator++() {
    item_ = (consumer_->*Next)(forever);
    return *this;
  }
  void operator++(int) { ++*this; }

  friend bool operator==(const Iterator& a, const Iterator& b) noexcept {
    return a.item_.has_value() == b.item_.has_value();
  }
  friend bool operator!=(const Iterator& a, const Iterator& b) noexcept { return !(a == b); }

 private:
  Consumer* consumer_ = nullptr;
  std::optional<Item> item_;
};

}  // namespace detail

/// What everything that waits has in common.
///
/// A wait is over when there is what was waited for, when its time is over, or when somebody calls wake(). Closing the
/// database, or this, ends it with ClosedError, Database::interrupt() with InterruptedError, and if the file is
/// replaced by another it ends with HONKER_WATCHER: close the database and open it again. One thread waits at a time:
/// for a second one this is HONKER_MISUSE, or it takes the other one's wakes away.
template <class Handle>
class Waiter {
 public:
  Waiter(Waiter&&) noexcept = default;
  Waiter& operator=(Waiter&&) noexcept = default;

  /// Ends the wait that is running, or else the next one, which returns as if its time were over. For any thread, but
  /// not for a signal handler.
  void wake() const { wake(std::nothrow).value(); }
  Result<void> wake(std::nothrow_t) const noexcept {
    const auto woken = call([&](honker_error_t** err) { return honker_waiter_wake(waiter(), err); });
    if (!woken.ok()) return woken.error();
    return {};
  }

  /// A descriptor for poll, epoll, kqueue and event loops: readable if something was committed since this last waited,
  /// or if wake() or close() was called. Take what there is, without waiting, until there is nothing, and then poll. It
  /// says nothing of what time alone makes due. It belongs to this object, which closes it: do not read from it. Not on
  /// Windows (HONKER_UNSUPPORTED).
  int fd() const { return fd(std::nothrow).value(); }
  Result<int> fd(std::nothrow_t) const noexcept {
    std::int64_t fd = -1;
    const auto got = call([&](honker_error_t** err) { return honker_waiter_fd(waiter(), &fd, err); });
    if (!got.ok()) return got.error();
    return static_cast<int>(fd);
  }

  /// Ends the wait that is running, and all later calls, with ClosedError. The destructor does it as well. For any
  /// thread; closing again does nothing.
  void close() { close(std::nothrow).value(); }
  Result<void> close(std::nothrow_t) noexcept {
    if (!waiting_) return detail::make_error(nullptr, HONKER_MISUSE, nullptr);
    waiting_->close();
    return {};
  }

 protected:
  explicit Waiter(detail::WaitingPtr<Handle> waiting) noexcept : waiting_(std::move(waiting)) {}
  ~Waiter() = default;

  /// Fails for what was moved from or closed.
  Result<void> check() const {
    if (!waiting_) return detail::make_error(nullptr, HONKER_MISUSE, nullptr);
    if (waiting_->is_over()) return detail::closed_error(*core());
    return {};
  }

  const detail::CorePtr& core() const noexcept { return waiting_->core; }
  Handle* consumer() const noexcept { return waiting_->consumer.get(); }
  honker_waiter_t* waiter() const noexcept { return waiting_->waiter.get(); }

  /// Makes a call, `make(err)`, with what must be neither moved from nor closed.
  template <class Make>
  Result<bool> call(Make&& make) const {
    if (auto usable = check(); !usable.ok()) return usable.error();
    return closed_meanwhile(detail::call(core(), std::forward<Make>(make)));
  }

  /// The same for a call that waits.
  template <class Make>
  Result<honker_status_t> wait(Make&& make) const {
    if (auto usable = check(); !usable.ok()) return usable.error();
    return closed_meanwhile(detail::wait(core(), std::forward<Make>(make)));
  }

  /// Waits for what makes another look worth while: a commit, a wake, the second `at`, or the passing of five seconds;
  /// or until `stop` is set, which is looked at every 100 ms.
  Result<void> idle(const std::atomic<bool>& stop, std::optional<std::int64_t> at) const {
    using std::chrono::duration_cast, std::chrono::milliseconds, std::chrono::steady_clock, std::chrono::system_clock;
    constexpr std::int64_t look_ms = 100;
    const auto until_due_ms = [at] {
      const auto now_ms = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
      return std::min<std::int64_t>(*at, std::numeric_limits<std::int64_t>::max() / 1000) * 1000 - now_ms;
    };
    const auto fallback = steady_clock::now() + std::chrono::seconds(5);
    while (!stop) {
      const std::int64_t ms = at ? std::clamp<std::int64_t>(until_due_ms(), 1, look_ms) : look_ms;
      const auto waited = wait([&](honker_error_t** err) { return honker_wait(waiter(), ms, err); });
      if (!waited.ok()) return waited.error();
      const bool is_due = at && until_due_ms() <= 0;
      if (*waited != HONKER_TIMEOUT || is_due || steady_clock::now() >= fallback) break;
    }
    return {};
  }

 private:
  /// The library only knows that the handle is not valid any more.
  template <class T>
  Result<T> closed_meanwhile(Result<T> made) const {
    if (!made.ok() && made.error().status() == HONKER_MISUSE && waiting_->is_over()) {
      return detail::closed_error(*core());
    }
    return made;
  }

  detail::WaitingPtr<Handle> waiting_;
};

/// Waits for commits to the file, by anyone in any process; made by Database::updates().
///
/// It has room for one: several that come before it is looked at are one.
class Updates : public Waiter<honker_updates_t> {
 public:
  /// Waits until something was committed: true, also if that was since the last wait. There may be nothing new to see:
  /// it is a hint. False if the time is over, or wake() was called.
  bool wait(Timeout timeout = forever) { return wait(std::nothrow, timeout).value(); }
  Result<bool> wait(std::nothrow_t, Timeout timeout = forever) noexcept {
    const auto waited =
        Waiter::wait([&](honker_error_t** err) { return honker_updates_next(consumer(), timeout.ms(), err); });
    if (!waited.ok()) return waited.error();
    return *waited == HONKER_OK;
  }

 private:
  friend class Database;
  using Waiter::Waiter;
};

}  // namespace honker

#endif  // HONKER_WAITER_HPP
