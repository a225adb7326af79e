// Streams: events that stay, read by any number of consumers at their own pace.
//
// Threads: a Stream may be used by any number of them, a StreamSubscription by one at a time.

#ifndef HONKER_STREAM_HPP
#define HONKER_STREAM_HPP

#include <chrono>
#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "consumer.hpp"
#include "detail.hpp"
#include "settings.hpp"
#include "transaction.hpp"

namespace honker {

/// One event of a stream.
struct StreamEvent {
  /// Its place. Offsets increase within a topic, with gaps, and begin at 1.
  std::int64_t offset = 0;
  std::string topic;
  /// The publisher's key; empty if there is none.
  std::string key;
  /// Whether there is a key: tells an empty one from none.
  bool has_key = false;
  /// As it was published.
  std::string payload;
  /// When it was published, in Unix seconds.
  std::int64_t created_at = 0;
};

namespace detail {

inline StreamEvent make_event(const honker_event_view_t& view) {
  StreamEvent event;
  event.offset = view.offset;
  event.topic = string(view.topic);
  event.has_key = view.key.data != nullptr;
  if (event.has_key) event.key = string(view.key);
  event.payload = string(view.payload);
  event.created_at = view.created_at;
  return event;
}

}  // namespace detail

/// How a subscription to a stream reads and saves.
struct SubscribeOptions {
  /// Whose offset is read and saved. Empty: nobody's.
  std::optional<std::string> consumer = std::nullopt;
  /// Where to begin: after this offset. Default: after the consumer's saved offset, or from the beginning.
  std::optional<std::int64_t> from_offset = std::nullopt;
  /// After how many finished events the offset is saved; 0: never because of a number.
  std::int64_t save_every_n = 1000;
  /// After what time the offset is saved, if there is something to save; 0: never because of the time. With both at 0
  /// only StreamSubscription::save_offset() saves, not the destructor.
  std::int64_t save_every_ms = 1000;
};

/// Delivers the events of one topic in order, those that are there and those to come; made by Stream::subscribe().
///
///     for (const auto& event : orders.subscribe("totals")) count(event);
///
/// An event is finished when the next one is asked for, or with ack(). Only the offset of finished events is saved, now
/// and then and by the destructor: a consumer that dies in the middle of one, or leaves the loop by an exception, sees
/// it again.
class StreamSubscription : public Consumer<honker_subscription_t> {
 public:
  /// The next event, which finishes the one before. Empty if the time is over, or wake() was called.
  std::optional<StreamEvent> next(Timeout timeout = forever) { return next(std::nothrow, timeout).value(); }
  Result<std::optional<StreamEvent>> next(std::nothrow_t, Timeout timeout = forever) noexcept {
    return next_of<StreamEvent>(timeout, honker_event_view_t HONKER_EVENT_VIEW_INIT, honker_subscription_next,
                                detail::make_event);
  }

  /// The event in hand is finished. Does nothing if there is none.
  void ack() { ack(std::nothrow).value(); }
  Result<void> ack(std::nothrow_t) noexcept { return call(honker_subscription_ack); }

  /// Saves the offset of the last finished event now. Does nothing if that is saved, or if there is no consumer.
  void save_offset() { save_offset(std::nothrow).value(); }
  Result<void> save_offset(std::nothrow_t) noexcept { return call(honker_subscription_save); }

  /// The offset of the last event that next() returned; where it began if there was none.
  std::int64_t offset() const { return offset(std::nothrow).value(); }
  Result<std::int64_t> offset(std::nothrow_t) const noexcept {
    std::int64_t offset = 0;
    const auto got = call(honker_subscription_offset, &offset);
    if (!got.ok()) return got.error();
    return offset;
  }

  /// For `for`, which ends when wake() is called.
  auto begin() { return detail::Iterator<StreamSubscription, StreamEvent, &StreamSubscription::next>(*this); }
  auto end() noexcept { return detail::Iterator<StreamSubscription, StreamEvent, &StreamSubscription::next>(); }

 private:
  friend class Stream;
  using Consumer::Consumer;
};

/// For Stream::configure(): what to change of how long events are kept. By default they are kept for ever.
struct StreamChanges {
  /// For how many seconds.
  Change<std::int64_t> keep_s = {};
  /// How many, the newest ones.
  Change<std::int64_t> keep_n = {};
};

/// For Stream::trim(): what to keep. What is not given is as it is set for the topic.
struct TrimOptions {
  std::optional<std::int64_t> keep_s = std::nullopt;
  std::optional<std::int64_t> keep_n = std::nullopt;
  /// Also removes what a consumer has not finished.
  bool past_consumers = false;
};

/// The events of a topic, made by Database::stream(). It is only a name: copies are as good.
///
/// A consumer that saves its offset in the transaction of what it makes of the events has each exactly once.
class Stream {
 public:
  const std::string& topic() const noexcept { return topic_; }

  /// Appends an event; its offset.
  std::int64_t publish(std::string_view json, std::optional<std::string_view> key = std::nullopt) const {
    return publish(std::nothrow, json, key).value();
  }
  Result<std::int64_t> publish(std::nothrow_t, std::string_view json,
                               std::optional<std::string_view> key = std::nullopt) const noexcept {
    return publish_in(nullptr, json, key);
  }

  /// Appends an event in a transaction; its offset.
  std::int64_t publish_tx(Transaction& tx, std::string_view json,
                          std::optional<std::string_view> key = std::nullopt) const {
    return publish_tx(std::nothrow, tx, json, key).value();
  }
  Result<std::int64_t> publish_tx(std::nothrow_t, Transaction& tx, std::string_view json,
                                  std::optional<std::string_view> key = std::nullopt) const noexcept {
    return publish_in(tx.handle(), json, key);
  }

  /// Changes what is kept of the topic, in the file. The workers, and those who run schedules, remove the other events
  /// within a minute, but none that a consumer which has saved an offset has not finished.
  void configure(const StreamChanges& changes) const { configure(std::nothrow, changes).value(); }
  Result<void> configure(std::nothrow_t, const StreamChanges& changes) const noexcept {
    detail::JsonObject object;
    detail::add_change(object, "keep_s", changes.keep_s);
    detail::add_change(object, "keep_n", changes.keep_n);
    return detail::done(core_, honker_stream_configure, detail::handle(core_), nullptr, topic_, object.text());
  }

  /// Removes the events that are not kept any more; how many that were.
  std::int64_t trim(const TrimOptions& options = {}) const { return trim(std::nothrow, options).value(); }
  Result<std::int64_t> trim(std::nothrow_t, const TrimOptions& options = {}) const noexcept {
    detail::JsonObject object;
    object.add("keep_s", options.keep_s).add("keep_n", options.keep_n);
    if (options.past_consumers) object.add("past_consumers", true);
    return detail::number(core_, honker_stream_trim, detail::handle(core_), nullptr, topic_, object.text());
  }

  /// The events after `offset`, oldest first, at most `limit` unless that is negative.
  std::vector<StreamEvent> read_since(std::int64_t offset, std::int64_t limit = 1000) const {
    return read_since(std::nothrow, offset, limit).value();
  }
  Result<std::vector<StreamEvent>> read_since(std::nothrow_t, std::int64_t offset,
                                              std::int64_t limit = 1000) const noexcept {
    const auto events =
        detail::owned<honker_events_t>(core_, honker_stream_read_since, db(), nullptr, topic_, offset, limit);
    if (!events.ok()) return events.error();
    return detail::list<StreamEvent>(core_, events->get(), honker_event_view_t HONKER_EVENT_VIEW_INIT,
                                     honker_events_len, honker_events_get, detail::make_event);
  }

  /// The events after the offset that `consumer` has saved. Reading does not move that: save_offset() does.
  std::vector<StreamEvent> read_from_consumer(std::string_view consumer, std::int64_t limit = 1000) const {
    return read_from_consumer(std::nothrow, consumer, limit).value();
  }
  Result<std::vector<StreamEvent>> read_from_consumer(std::nothrow_t, std::string_view consumer,
                                                      std::int64_t limit = 1000) const noexcept {
    const auto offset = get_offset(std::nothrow, consumer);
    if (!offset.ok()) return offset.error();
    return read_since(std::nothrow, *offset, limit);
  }

  /// Records that `consumer` has finished everything up to `offset`. False, and nothing changed, if it was that far
  /// already: an offset never goes back.
  bool save_offset(std::string_view consumer, std::int64_t offset) const {
    return save_offset(std::nothrow, consumer, offset).value();
  }
  Result<bool> save_offset(std::nothrow_t, std::string_view consumer, std::int64_t offset) const noexcept {
    return save_offset_in(nullptr, consumer, offset);
  }
  bool save_offset_tx(Transaction& tx, std::string_view consumer, std::int64_t offset) const {
    return save_offset_tx(std::nothrow, tx, consumer, offset).value();
  }
  Result<bool> save_offset_tx(std::nothrow_t, Transaction& tx, std::string_view consumer,
                              std::int64_t offset) const noexcept {
    return save_offset_in(tx.handle(), consumer, offset);
  }

  /// The offset that `consumer` last saved; 0 if it never did.
  std::int64_t get_offset(std::string_view consumer) const { return get_offset(std::nothrow, consumer).value(); }
  Result<std::int64_t> get_offset(std::nothrow_t, std::string_view consumer) const noexcept {
    return detail::number(core_, honker_stream_get_offset, db(), nullptr, consumer, topic_);
  }

  /// Subscribes `consumer` to the topic, after the offset it has saved. Its offset is saved after every `save_every_n`
  /// finished events, and every second. `poll` is not looked at: a subscription is woken by commits, and polls nothing.
  StreamSubscription subscribe(std::string_view consumer, std::int64_t save_every_n = 1000,
                               Timeout poll = std::chrono::milliseconds(100)) const {
    return subscribe(std::nothrow, consumer, save_every_n, poll).value();
  }
  Result<StreamSubscription> subscribe(std::nothrow_t, std::string_view consumer, std::int64_t save_every_n = 1000,
                                       Timeout poll = std::chrono::milliseconds(100)) const noexcept {
    static_cast<void>(poll);
    SubscribeOptions options;
    options.consumer = consumer;
    options.save_every_n = save_every_n;
    return subscribe(std::nothrow, options);
  }

  /// The same with other settings, or without a consumer.
  StreamSubscription subscribe(const SubscribeOptions& options) const {
    return subscribe(std::nothrow, options).value();
  }
  Result<StreamSubscription> subscribe(std::nothrow_t, const SubscribeOptions& options) const noexcept {
    if (auto set = detail::check_is_set("from_offset", options.from_offset); !set.ok()) return set.error();
    honker_subscription_opts_t opts = HONKER_SUBSCRIPTION_OPTS_INIT;
    if (options.consumer) opts.consumer = detail::view(*options.consumer);
    opts.from_offset = options.from_offset.value_or(HONKER_NO_TIME);
    opts.save_every_n = options.save_every_n;
    opts.save_every_ms = options.save_every_ms;
    auto waiting = detail::make_waiting<honker_subscription_t>(core_, honker_subscription_new, topic_, &opts);
    if (!waiting.ok()) return waiting.error();
    return StreamSubscription(std::move(*waiting));
  }

 private:
  friend class Database;

  Stream(detail::CorePtr core, std::string_view topic) : core_(std::move(core)), topic_(topic) {}

  honker_db_t* db() const noexcept { return detail::handle(core_); }

  Result<std::int64_t> publish_in(honker_tx_t* tx, std::string_view json, std::optional<std::string_view> key) const {
    const std::uint8_t* key_data = key ? detail::bytes(*key) : nullptr;
    return detail::number(core_, honker_stream_publish, db(), tx, topic_, key_data, key ? key->size() : 0, json);
  }

  Result<bool> save_offset_in(honker_tx_t* tx, std::string_view consumer, std::int64_t offset) const {
    return detail::call(core_, honker_stream_save_offset, db(), tx, consumer, topic_, offset);
  }

  detail::CorePtr core_;
  std::string topic_;
};

}  // namespace honker

#endif  // HONKER_STREAM_HPP
