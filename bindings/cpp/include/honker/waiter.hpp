// The waiter of a database, for event loops: one descriptor for all its consumers.
//
// Threads: a Waiter may be used by one at a time; wake() is for any.

#ifndef HONKER_WAITER_HPP
#define HONKER_WAITER_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#include "consumer.hpp"
#include "detail.hpp"

namespace honker {

/// What Waiter::ready() answers.
struct Ready {
  /// The consumers that have work, by their tokens.
  std::vector<std::uint64_t> tokens;
  /// Waiter::wake() has been called.
  bool woken = false;

  /// Whether `consumer` is among them.
  template <class Handle>
  bool has(const Consumer<Handle>& consumer) const noexcept {
    return std::find(tokens.begin(), tokens.end(), consumer.token()) != tokens.end();
  }
};

/// Where all consumers of a database wait; made by Database::waiter(). For programs whose threads wait for other things
/// as well: poll fd(), ask ready() which consumers have work when it is readable, and take what these have, without
/// waiting, until they have nothing more. It takes no clock: what becomes due with time makes it readable as well.
///
///     for (;;) {
///       poll(fds, 2, -1);  // one of them is waiter.fd()
///       const auto ready = waiter.ready();
///       if (ready.has(orders)) {
///         while (auto notification = orders.recv(0ms)) show(*notification);
///       }
///     }
///
/// There is one for each Database: all Waiters of it are the same, and one thread at a time may use them. It names
/// every consumer of the database, also those that threads of their own wait for, whose tokens are to be passed over.
/// Two loops in one process open the file twice. Workers have waiters of their own.
class Waiter {
 public:
  /// Readable when ready() may have something to say, which may turn out to be nothing. It stays readable until ready()
  /// was called. Not to be read from, and closed with the last that came from the database. Not on Windows
  /// (HONKER_UNSUPPORTED).
  int fd() const { return fd(std::nothrow).value(); }
  Result<int> fd(std::nothrow_t) const noexcept {
    const auto fd = detail::number(core_, honker_waiter_fd, waiter());
    if (!fd.ok()) return fd.error();
    return static_cast<int>(*fd);
  }

  /// The consumers that have work, without waiting. Each is named once when it was made, and then when there is
  /// something for it; not again before a call of its own has found nothing, or Jobs as many as it asked for. After a
  /// call of its own that failed it is named again half a second later. ClosedError if the database is closed,
  /// HONKER_WATCHER if the file was replaced.
  Ready ready() const { return ready(std::nothrow).value(); }
  Result<Ready> ready(std::nothrow_t) const noexcept {
    if (core_ == nullptr) return detail::make_error(nullptr, HONKER_MISUSE, nullptr);
    Ready ready;
    std::array<std::uint64_t, 64> tokens;
    for (std::size_t count = tokens.size(); count == tokens.size();) {
      const auto found = status(honker_waiter_ready, tokens.data(), tokens.size(), &count);
      if (!found.ok()) return found.error();
      ready.tokens.insert(ready.tokens.end(), tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(count));
    }
    ready.woken = core_->take_wake();
    return ready;
  }

  /// Waits until ready() has something to say: for loops without descriptors. False if the time is over.
  bool wait(Timeout timeout = forever) const { return wait(std::nothrow, timeout).value(); }
  Result<bool> wait(std::nothrow_t, Timeout timeout = forever) const noexcept {
    if (core_ == nullptr) return detail::make_error(nullptr, HONKER_MISUSE, nullptr);
    const auto waited = status(honker_wait, timeout.ms());
    if (!waited.ok()) return waited.error();
    return *waited != HONKER_TIMEOUT;
  }

  /// Makes the descriptor readable, or ends the wait that is running, or else the next one. For any thread, but not for
  /// a signal handler. It does not end the waits of consumers.
  void wake() const { wake(std::nothrow).value(); }
  Result<void> wake(std::nothrow_t) const noexcept {
    if (core_ == nullptr) return detail::make_error(nullptr, HONKER_MISUSE, nullptr);
    core_->leave_wake();
    return detail::done(core_, honker_waiter_wake, waiter());
  }

 private:
  friend class Database;

  explicit Waiter(detail::CorePtr core) noexcept : core_(std::move(core)) {}

  honker_waiter_t* waiter() const noexcept { return core_ ? core_->waiter() : nullptr; }

  template <class Function, class... Arguments>
  Result<honker_status_t> status(Function&& function, const Arguments&... arguments) const {
    honker_error_t* raw = nullptr;
    const honker_status_t status = detail::call_raw(function, waiter(), arguments..., &raw);
    if (status < 0) return detail::make_error(core_.get(), status, raw);
    honker_error_free(raw);
    if (status == HONKER_CLOSED) return detail::closed_error(*core_);
    return status;
  }

  detail::CorePtr core_;
};

}  // namespace honker

#endif  // HONKER_WAITER_HPP
