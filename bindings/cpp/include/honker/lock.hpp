// Locks: held by an owner, in any process, until they are released or their time is over.
//
// Threads: a Lock may be used by any number of them, as long as none moves, assigns or destroys it.

#ifndef HONKER_LOCK_HPP
#define HONKER_LOCK_HPP

#include <atomic>
#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "detail.hpp"

namespace honker {

/// A lock that was taken by Database::try_lock(). The destructor releases it.
///
/// It ends by itself `ttl_s` seconds after it was taken or last prolonged: somebody else may have it then, although
/// this object is still there. That is what happens after a crash, and what heartbeat() is for. It guards nothing by
/// force.
class Lock {
 public:
  Lock(Lock&& other) noexcept
      : core_(std::move(other.core_)),
        name_(std::move(other.name_)),
        owner_(std::move(other.owner_)),
        ttl_s_(other.ttl_s_),
        released_(other.released_.exchange(true)) {}

  Lock& operator=(Lock&& other) noexcept {
    if (this == &other) return *this;
    release_quietly();
    core_ = std::move(other.core_);
    name_ = std::move(other.name_);
    owner_ = std::move(other.owner_);
    ttl_s_ = other.ttl_s_;
    released_ = other.released_.exchange(true);
    return *this;
  }

  /// Releases the lock, as release() does, waiting for the busy timeout at most. An error is passed over, also the one
  /// that this thread has a transaction open: the lock then ends with its time.
  ~Lock() { release_quietly(); }

  const std::string& name() const noexcept { return name_; }
  const std::string& owner() const noexcept { return owner_; }

  /// Gives the lock up. False if it was not the owner's any more; whoever has it now is not disturbed.
  bool release() { return release(std::nothrow).value(); }
  Result<bool> release(std::nothrow_t) noexcept {
    auto released = detail::call(core_, honker_lock_release, detail::handle(core_), nullptr, name_, owner_);
    if (released.ok()) released_ = true;
    return released;
  }

  /// Prolongs the lock to `ttl_s` seconds from now, by default as many as it was taken for. False if it is lost.
  bool heartbeat(std::optional<std::int64_t> ttl_s = std::nullopt) { return heartbeat(std::nothrow, ttl_s).value(); }
  Result<bool> heartbeat(std::nothrow_t, std::optional<std::int64_t> ttl_s = std::nullopt) noexcept {
    return detail::call(core_, honker_lock_renew, detail::handle(core_), nullptr, name_, owner_,
                        ttl_s.value_or(ttl_s_));
  }

 private:
  friend class Database;

  Lock(detail::CorePtr core, std::string_view name, std::string owner, std::int64_t ttl_s)
      : core_(std::move(core)), name_(name), owner_(std::move(owner)), ttl_s_(ttl_s) {}

  void release_quietly() noexcept {
    if (!released_) static_cast<void>(release(std::nothrow).ok());
  }

  detail::CorePtr core_;
  std::string name_;
  std::string owner_;
  std::int64_t ttl_s_;
  std::atomic<bool> released_{false};
};

}  // namespace honker

#endif  // HONKER_LOCK_HPP
