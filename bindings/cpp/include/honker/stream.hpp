// Streams: events that stay, read by any number of consumers at their own pace.
//
// Threads: a Stream may be used by any number of them.

#ifndef HONKER_STREAM_HPP
#define HONKER_STREAM_HPP

#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "detail.hpp"
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

  /// The events after `offset`, oldest first, at most `limit` unless that is negative.
  std::vector<StreamEvent> read_since(std::int64_t offset, std::int64_t limit = 1000) const {
    return read_since(std::nothrow, offset, limit).value();
  }
  Result<std::vector<StreamEvent>> read_since(std::nothrow_t, std::int64_t offset,
                                              std::int64_t limit = 1000) const noexcept {
    const auto events = detail::owned<honker_events_t>(core_, [&](honker_events_t** out, honker_error_t** err) {
      return honker_stream_read_since(db(), nullptr, detail::bytes(topic_), topic_.size(), offset, limit, out, err);
    });
    if (!events.ok()) return events.error();
    return detail::list<StreamEvent>(core_, events->get(), honker_event_view_t HONKER_EVENT_VIEW_INIT,
                                     honker_events_len, honker_events_get, make_event);
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
    return detail::number(core_, [&](std::int64_t* offset, honker_error_t** err) {
      return honker_stream_get_offset(db(), nullptr, detail::bytes(consumer), consumer.size(), detail::bytes(topic_),
                                      topic_.size(), offset, err);
    });
  }

 private:
  friend class Database;

  Stream(detail::CorePtr core, std::string_view topic) : core_(std::move(core)), topic_(topic) {}

  honker_db_t* db() const noexcept { return detail::handle(core_); }

  Result<std::int64_t> publish_in(honker_tx_t* tx, std::string_view json, std::optional<std::string_view> key) const {
    const std::uint8_t* key_data = key ? detail::bytes(*key) : nullptr;
    return detail::number(core_, [&](std::int64_t* offset, honker_error_t** err) {
      return honker_stream_publish(db(), tx, detail::bytes(topic_), topic_.size(), key_data, key ? key->size() : 0,
                                   detail::bytes(json), json.size(), offset, err);
    });
  }

  Result<bool> save_offset_in(honker_tx_t* tx, std::string_view consumer, std::int64_t offset) const {
    return detail::call(core_, [&](honker_error_t** err) {
      return honker_stream_save_offset(db(), tx, detail::bytes(consumer), consumer.size(), detail::bytes(topic_),
                                       topic_.size(), offset, err);
    });
  }

  static StreamEvent make_event(const honker_event_view_t& view) {
    StreamEvent event;
    event.offset = view.offset;
    event.topic = detail::string(view.topic);
    event.has_key = view.key.data != nullptr;
    if (event.has_key) event.key = detail::string(view.key);
    event.payload = detail::string(view.payload);
    event.created_at = view.created_at;
    return event;
  }

  detail::CorePtr core_;
  std::string topic_;
};

}  // namespace honker

#endif  // HONKER_STREAM_HPP
