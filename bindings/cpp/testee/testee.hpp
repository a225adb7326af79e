// What the testee's operations are made of: values, the handles that requests name, and requests.
//
// Threads: all lanes share the handles. They are looked up under a lock and used without it, as shared pointers, so
// that one lane can close what another waits on; what may be done at the same time is for the package to say.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <future>
#include <honker.hpp>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

using Json = nlohmann::ordered_json;  // ordered: a payload is stored as the case has it
using Number = std::int64_t;

// Thrown by an operation whose answer is an outcome, or that it is unsupported.
struct Otherwise {
  const char *key, *name;
};
template <class T>
T unless(T answer, const char* outcome) {
  return answer ? std::move(answer) : throw Otherwise{"outcome", outcome};
}

template <class List, class Make>
Json list(const List& items, Make make) {
  Json list = Json::array();
  for (const auto& item : items) list.push_back(make(item));
  return list;
}

inline std::string unhex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}
inline std::string text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : unhex(value.at("$bytes"));
}
inline std::string payload(const Json& value) {
  if (value.is_object() && value.contains("$text")) return value["$text"];
  return value.is_object() && value.contains("$bytes") ? text(value) : value.dump();
}
inline Number integer(const Json& value) {  // exactly this number: JSON's conversions round and wrap
  const bool too_large = value.is_number_unsigned() && value.get<std::uint64_t>() >> 63 != 0;
  if (value.is_number_integer() && !too_large) return value;
  throw std::invalid_argument(value.dump() + " is no integer of 64 bits");
}
inline Json stored(const std::string& payload) {
  Json value = Json::parse(payload, nullptr, false);
  return value.is_discarded() ? Json{{"$text", payload}} : value;
}
inline Json parsed(const std::string& json) {  // what the package returns as JSON, where payloads are texts
  unless(!json.empty(), "EMPTY");
  return Json::parse(json, [](int, auto event, Json& value) {
    const bool has_payload = event == Json::parse_event_t::object_end && value.contains("payload");
    if (has_payload) value["payload"] = stored(value["payload"]);
    return true;
  });
}

inline honker::Value sql_value(const Json& value) {
  if (value.is_null()) return nullptr;
  if (value.is_number()) return value.is_number_float() ? honker::Value(value.get<double>()) : integer(value);
  if (!value.is_object() || !value.contains("$hex")) return text(value);
  honker::Blob blob;
  for (const char byte : unhex(value["$hex"])) blob.push_back(static_cast<std::byte>(byte));
  return blob;
}
struct ToJson {
  Json operator()(std::monostate) const { return nullptr; }
  Json operator()(const honker::Blob& blob) const {
    std::string hex;
    for (const auto byte : blob) {
      for (const int shift : {4, 0}) hex += "0123456789abcdef"[std::to_integer<unsigned>(byte) >> shift & 15];
    }
    return {{"$hex", hex}};
  }
  template <class T>
  Json operator()(const T& value) const {
    return value;
  }
};

// A loop of the package's, which runs until it is told to stop.
struct Runner {
  std::unique_ptr<std::atomic<bool>> stop;
  std::future<void> ended;
  template <class Loop>
  explicit Runner(Loop loop)
      : stop(std::make_unique<std::atomic<bool>>(false)),
        ended(std::async(std::launch::async, [loop, &flag = *stop] { loop(flag); })) {}
  void close() try {
    *stop = true;
    if (ended.valid()) ended.get();
  } catch (const honker::ClosedError&) {  // it ended with its database
  }
};

// A worker that runs handlers, and what has happened to those.
struct HandlerRun {
  struct Seen {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Json> events;
    void say(const char* what, const honker::Job& job);
  };
  std::shared_ptr<honker::Worker> worker;
  std::shared_ptr<Seen> seen = std::make_shared<Seen>();
  std::future<void> ended;
  void close() try {
    worker->stop();
    if (ended.valid()) ended.get();
  } catch (const honker::ClosedError&) {  // it ended with its database
  }
};

// An outbox; what its function was given so far, and what it does, call by call.
struct Deliveries {
  std::mutex mutex;
  std::vector<std::string> payloads, script;
  Json list() {
    const std::lock_guard<std::mutex> lock(mutex);
    return ::list(payloads, stored);
  }
};
struct ScriptedOutbox {
  honker::Outbox outbox;
  std::shared_ptr<Deliveries> deliveries;
};

// Innermost first, which is the order in which a reset closes them.
using Handle = std::variant<honker::Transaction, Runner, HandlerRun, honker::Jobs, honker::Subscription,
                            honker::StreamSubscription, honker::Updates, honker::Lock, ScriptedOutbox, honker::Queue,
                            honker::Stream, honker::Database>;

// What can be closed is closed; of anything else the scope ends.
template <class T>
auto close(T& handle, int) -> decltype(handle.close()) {
  handle.close();
}
template <class T>
void close(T& handle, long) {
  const T scope = std::move(handle);
}
inline void close(Handle& handle) {
  std::visit([](auto& it) { close(it, 0); }, handle);
}

struct Handles {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Handle>> by_name;
  std::map<std::pair<Number, std::string>, std::shared_ptr<honker::Job>> jobs;  // given, by id and worker

  std::set<std::shared_ptr<Handle>> closed;

  void close(const std::shared_ptr<Handle>& handle) {
    std::unique_lock<std::mutex> lock(mutex);
    closed.insert(handle);
    lock.unlock();
    ::close(*handle);
  }
  bool was_closed(const std::shared_ptr<Handle>& handle) {
    const std::lock_guard<std::mutex> lock(mutex);
    return closed.count(handle) > 0;
  }
  void drop(const std::string& name) try {
    std::unique_lock<std::mutex> lock(mutex);
    const auto node = by_name.extract(name);
    lock.unlock();
    if (node) close(node.mapped());
  } catch (const honker::Error&) {  // it is gone all the same
  }
  void drop_all() {
    for (std::size_t kind = 0; kind < std::variant_size_v<Handle>; ++kind) {
      for (const auto& [name, handle] : std::map(by_name)) {
        if (handle->index() == kind) drop(name);
      }
    }
    jobs.clear();
    closed.clear();
  }
  void interrupt() {  // ends the calls that are running
    const std::lock_guard<std::mutex> lock(mutex);
    for (const auto& [name, handle] : by_name) {
      if (const auto* db = std::get_if<honker::Database>(&*handle)) static_cast<void>(db->interrupt(std::nothrow).ok());
    }
  }
};

// A request, with its arguments as the package takes them.
struct Request {
  const Json& json;
  Handles& handles;
  std::shared_ptr<honker::Transaction> tx = has("tx") ? use<honker::Transaction>("tx") : nullptr;

  bool has(const char* key) const { return json.contains(key); }
  Number num(const char* key) const { return integer(json.at(key)); }
  std::string str(const char* key) const { return text(json.at(key)); }
  std::string data(const char* key = "payload") const { return payload(json.at(key)); }
  std::optional<Number> opt(const char* key) const { return opt(key, integer); }
  template <class Read>
  auto opt(const char* key, Read read) const -> std::optional<decltype(read(json))> {
    return has(key) && !json[key].is_null() ? std::optional(read(json[key])) : std::nullopt;
  }
  template <class Read>
  auto all(const char* key, Read read) const {
    std::vector<decltype(read(json))> values;
    if (has(key)) std::transform(json[key].begin(), json[key].end(), std::back_inserter(values), read);
    return values;
  }
  honker::Timeout timeout() const {
    return num("timeout_ms") < 0 ? honker::forever : honker::Timeout(std::chrono::milliseconds(num("timeout_ms")));
  }
  // Calls a function whose last parameters have defaults, with no more of them than is necessary. The number beside a
  // key is for when only a later one is there.
  template <std::size_t N, class Call, class... Given>
  auto with(const std::pair<const char*, Number> (&all)[N], Call call, Given... given) const {
    if constexpr (constexpr auto next = sizeof...(given); next < N) {
      const auto is_here = [&](auto& parameter) { return has(parameter.first); };
      const auto argument = opt(all[next].first).value_or(all[next].second);
      if (std::any_of(all + next, all + N, is_here)) return with(all, call, given..., argument);
    }
    return call(given...);
  }

  std::shared_ptr<Handle> handle(const char* key = "on") const {
    const std::lock_guard<std::mutex> lock(handles.mutex);
    return handles.by_name.at(json.at(key));
  }
  template <class T>
  std::shared_ptr<T> use(const char* key = "on") const {
    const auto it = handle(key);
    return {it, &std::get<T>(*it)};
  }
  auto db() const { return use<honker::Database>(); }
  auto queue() const { return use<honker::Queue>(); }
  auto stream() const { return use<honker::Stream>(); }
  auto scheduler() const { return db()->scheduler(); }
  std::shared_ptr<honker::Job> job() const {
    const std::lock_guard<std::mutex> lock(handles.mutex);
    const auto found = handles.jobs.find({num("id"), str("worker")});
    return found != handles.jobs.end() ? found->second : throw Otherwise{"unsupported", "by_id"};
  }
  template <class Make>
  Json keep(Make make) const {
    handles.drop(str("as"));
    auto made = std::make_shared<Handle>(make());
    const std::lock_guard<std::mutex> lock(handles.mutex);
    handles.by_name[str("as")] = std::move(made);
    return Json::object();
  }
};
