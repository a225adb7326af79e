// Consumers: how long they wait, and what everything that waits has in common.
//
// All consumers of a database wait at its one native waiter, under a token each. That waiter wakes all of them: a
// consumer that was not meant goes on waiting.
//
// Threads: a consumer is used by one at a time; wake(), token() and close() are for any.

#ifndef HONKER_CONSUMER_HPP
#define HONKER_CONSUMER_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#if __has_include(<version>)
#include <version>
#endif
#ifdef __cpp_lib_jthread
#include <stop_token>
#endif

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

/// How often a loop looks at the std::atomic<bool> that stops it.
inline constexpr Timeout stop_interval{std::chrono::milliseconds(100)};

/// A consumer of the C ABI, freed with this.
template <class Handle>
struct Waiting {
  CorePtr core;
  std::uint64_t token;
  Owned<Handle> consumer;
  std::atomic<bool> closed{false};
  std::atomic<bool> woken{false};

  Waiting(CorePtr the_core, std::uint64_t the_token, Owned<Handle> the_consumer) noexcept
      : core(std::move(the_core)), token(the_token), consumer(std::move(the_consumer)) {}

  Result<void> wake() {
    woken = true;
    const auto made = call(core, honker_waiter_wake, core->waiter());
    if (!made.ok()) return made.error();
    return {};
  }

  /// Frees the consumer now, also while another thread waits for it, whose call then ends. The destructor frees it
  /// again, which does no harm.
  void close() noexcept {
    if (closed.exchange(true)) return;
    static_cast<void>(wake().ok());
    Free()(consumer.get());
  }

  bool is_over() const noexcept { return closed || core->handle() == nullptr; }
};

template <class Handle>
using WaitingPtr = std::unique_ptr<Waiting<Handle>>;

/// Makes a consumer: `function(db, waiter, token, arguments..., out, err)`.
template <class Handle, class Function, class... Arguments>
Result<WaitingPtr<Handle>> make_waiting(const CorePtr& core, Function&& function, const Arguments&... arguments) {
  if (core == nullptr) return make_error(nullptr, HONKER_MISUSE, nullptr);
  const auto waiter = shared_waiter(core);
  if (!waiter.ok()) return waiter.error();
  const std::uint64_t token = core->next_token();
  auto consumer = owned<Handle>(core, function, handle(core), *waiter, token, arguments...);
  if (!consumer.ok()) return consumer.error();
  if (*consumer == nullptr) return unexpected();
  return std::make_unique<Waiting<Handle>>(core, token, std::move(*consumer));
}

inline Error closed_error(const Core& core) {
  if (core.handle() == nullptr) return Error(HONKER_CLOSED_HANDLE, "the database is closed: " + name_of(core.path()));
  return Error(HONKER_CLOSED_HANDLE, "this has been closed; the database is open: " + name_of(core.path()));
}

/// Makes a call, `make(ms, err)`, that waits: HONKER_OK, HONKER_TIMEOUT or HONKER_WOKEN.
template <class Handle, class Make>
Result<honker_status_t> wait(Waiting<Handle>& waiting, Timeout timeout, Make&& make) {
  using std::chrono::steady_clock, std::chrono::milliseconds, std::chrono::duration_cast;
  const auto begin = steady_clock::now();
  std::int64_t ms = timeout.ms();
  for (;;) {
    honker_error_t* raw = nullptr;
    const honker_status_t status = make(ms, &raw);
    if (status < 0) {
      // The library only knows that the handle is not valid any more.
      const Error error = make_error(waiting.core.get(), status, raw);
      if (status == HONKER_MISUSE && waiting.is_over()) return closed_error(*waiting.core);
      return error;
    }
    honker_error_free(raw);
    if (status == HONKER_OK || status == HONKER_TIMEOUT) return status;
    if (status == HONKER_CLOSED || waiting.closed) return closed_error(*waiting.core);
    if (status != HONKER_WOKEN) return unexpected();
    if (waiting.woken.exchange(false)) return status;
    if (timeout.ms() > 0) {
      const auto elapsed_ms = duration_cast<milliseconds>(steady_clock::now() - begin).count();
      ms = std::max<std::int64_t>(timeout.ms() - elapsed_ms, 0);
    }
  }
}

/// Waits for what a consumer delivers: `function(consumer, ms, out, err)`. Null if the time is over, or it was woken.
template <class T, class Handle, class Function>
Result<Owned<T>> wait_for(Waiting<Handle>& waiting, Timeout timeout, Function&& function) {
  Owned<T> found;
  const auto waited = wait(waiting, timeout, [&](std::int64_t ms, honker_error_t** err) {
    T* out = nullptr;
    const honker_status_t status = function(waiting.consumer.get(), ms, &out, err);
    found.reset(out);
    return status;
  });
  if (!waited.ok()) return waited.error();
  return found;
}

/// The result of a job, waited for.
inline Result<std::optional<std::string>> wait_result(const CorePtr& core, std::int64_t id, Timeout timeout) {
  // The first look needs no consumer.
  auto there = optional_text(core, honker_result_get, handle(core), nullptr, id);
  if (!there.ok() || *there || timeout.ms() == 0) return there;
  const auto waiting = make_waiting<honker_result_wait_t>(core, honker_result_wait_new, id);
  if (!waiting.ok()) return waiting.error();
  const auto found = wait_for<honker_text_t>(**waiting, timeout, honker_result_wait_next);
  if (!found.ok()) return found.error();
  return copy(core, found->get());
}

/// Makes a call, and again, less and less often, after an error of the moment, until it happens or `stop` is set. An
/// interrupt is no such error here: it is told to whoever runs the loop.
template <class Make>
auto make_until(const std::atomic<bool>& stop, Make&& make) {
  constexpr std::chrono::milliseconds longest(100);
  auto made = make();
  const auto is_transient = [&] { return made.error().is_transient() && !made.error().is_interrupted(); };
  for (std::chrono::milliseconds rest(10); !made.ok() && is_transient() && !stop; rest = std::min(2 * rest, longest)) {
    std::this_thread::sleep_for(rest);
    made = make();
  }
  return made;
}

#ifdef __cpp_lib_jthread
/// Calls `loop(stopped)` with a flag that `stop` sets, and wakes the consumer that the loop waits with.
template <class Consumer, class Loop>
Result<void> until_stopped(const std::stop_token& stop, Consumer& consumer, Loop&& loop) {
  std::atomic<bool> stopped{false};
  const std::stop_callback on_stop(stop, [&] {
    stopped = true;
    static_cast<void>(consumer.wake(std::nothrow).ok());
  });
  return loop(stopped);
}
#endif

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
  Item& operator*() noexcept { return *item_; }
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
/// replaced by another it ends with HONKER_WATCHER: close the database and open it again. One thread waits at a time;
/// for a second one this is HONKER_MISUSE.
template <class Handle>
class Consumer {
 public:
  Consumer(Consumer&&) noexcept = default;
  Consumer& operator=(Consumer&&) noexcept = default;

  /// By what Waiter::ready() names this; no other consumer of the database ever has the same. 0 if it was moved from.
  std::uint64_t token() const noexcept { return waiting_ ? waiting_->token : 0; }

  /// Ends the wait that is running, or else the next one, which returns as if its time were over. For any thread, but
  /// not for a signal handler.
  void wake() const { wake(std::nothrow).value(); }
  Result<void> wake(std::nothrow_t) const noexcept {
    if (auto usable = check(); !usable.ok()) return usable;
    return waiting_->wake();
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
  explicit Consumer(detail::WaitingPtr<Handle> waiting) noexcept : waiting_(std::move(waiting)) {}
  ~Consumer() = default;

  /// Fails for what was moved from or closed.
  Result<void> check() const {
    if (!waiting_) return detail::make_error(nullptr, HONKER_MISUSE, nullptr);
    if (waiting_->is_over()) return detail::closed_error(*core());
    return {};
  }

  const detail::CorePtr& core() const noexcept { return waiting_->core; }
  Handle* consumer() const noexcept { return waiting_->consumer.get(); }

  /// Makes a call, `function(consumer, arguments..., err)`, with what must be neither moved from nor closed.
  template <class Function, class... Arguments>
  Result<void> call(Function&& function, const Arguments&... arguments) const {
    if (auto usable = check(); !usable.ok()) return usable;
    const auto made = detail::call(core(), function, consumer(), arguments...);
    if (made.ok()) return {};
    if (made.error().status() == HONKER_MISUSE && waiting_->is_over()) return detail::closed_error(*core());
    return made.error();
  }

  /// The same for a call that waits, `make(ms, err)`.
  template <class Make>
  Result<honker_status_t> wait(Timeout timeout, Make&& make) const {
    if (auto usable = check(); !usable.ok()) return usable.error();
    return detail::wait(*waiting_, timeout, make);
  }

  /// The same for one that delivers a `View`, `function(consumer, ms, view, err)`, of which `make(view)` is an `Item`.
  template <class Item, class View, class Function, class Make>
  Result<std::optional<Item>> next_of(Timeout timeout, View view, Function&& function, Make&& make) const {
    const auto waited =
        wait(timeout, [&](std::int64_t ms, honker_error_t** err) { return function(consumer(), ms, &view, err); });
    if (!waited.ok()) return waited.error();
    if (*waited != HONKER_OK) return std::optional<Item>();
    return std::optional<Item>(make(view));
  }

  /// The same for one that delivers a handle, as detail::wait_for().
  template <class T, class Function>
  Result<detail::Owned<T>> wait_for(Timeout timeout, Function&& function) const {
    if (auto usable = check(); !usable.ok()) return usable.error();
    return detail::wait_for<T>(*waiting_, timeout, function);
  }

 private:
  detail::WaitingPtr<Handle> waiting_;
};

/// Waits for commits to the file, by anyone in any process; made by Database::updates().
///
/// It has room for one: several that come before it is looked at are one.
class Updates : public Consumer<honker_updates_t> {
 public:
  /// Waits until something was committed: true, also if that was since the last wait. There may be nothing new to see:
  /// it is a hint. False if the time is over, or wake() was called.
  bool wait(Timeout timeout = forever) { return wait(std::nothrow, timeout).value(); }
  Result<bool> wait(std::nothrow_t, Timeout timeout = forever) noexcept {
    const auto waited = Consumer::wait(
        timeout, [&](std::int64_t ms, honker_error_t** err) { return honker_updates_next(consumer(), ms, err); });
    if (!waited.ok()) return waited.error();
    return *waited == HONKER_OK;
  }

 private:
  friend class Database;
  using Consumer::Consumer;
};

}  // namespace honker

#endif  // HONKER_CONSUMER_HPP
