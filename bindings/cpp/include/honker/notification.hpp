// Notifications: short-lived messages to whoever listens to a channel.
//
// Threads: a Subscription may be used by one at a time.

#ifndef HONKER_NOTIFICATION_HPP
#define HONKER_NOTIFICATION_HPP

#include <chrono>
#include <cstdint>
#include <new>
#include <optional>
#include <string>

#include "consumer.hpp"
#include "detail.hpp"

namespace honker {

/// One notification.
struct Notification {
  /// Increases from one to the next, over all channels.
  std::int64_t id = 0;
  std::string channel;
  /// As it was sent.
  std::string payload;
  /// When it was sent, in Unix seconds.
  std::int64_t created_at = 0;
};

/// Delivers the notifications of one channel, in order, from when it was made on; made by Database::listen().
///
///     for (const auto& notification : db.listen("orders")) show(notification);
class Subscription : public Consumer<honker_listener_t> {
 public:
  /// The next notification. Empty if the time is over, or wake() was called.
  std::optional<Notification> recv(Timeout timeout = std::chrono::seconds(5)) {
    return recv(std::nothrow, timeout).value();
  }
  Result<std::optional<Notification>> recv(std::nothrow_t, Timeout timeout = std::chrono::seconds(5)) noexcept {
    return next_of<Notification>(
        timeout, honker_notification_view_t HONKER_NOTIFICATION_VIEW_INIT, honker_listener_next,
        [](const honker_notification_view_t& view) {
          return Notification{view.id, detail::string(view.channel), detail::string(view.payload), view.created_at};
        });
  }

  /// For `for`, which waits without end, and ends when wake() is called.
  auto begin() { return detail::Iterator<Subscription, Notification, &Subscription::recv>(*this); }
  auto end() noexcept { return detail::Iterator<Subscription, Notification, &Subscription::recv>(); }

 private:
  friend class Database;
  using Consumer::Consumer;
};

}  // namespace honker

#endif  // HONKER_NOTIFICATION_HPP
