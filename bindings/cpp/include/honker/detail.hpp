// How a call of the C ABI is made: what the other headers share, and not for their users.
//
// A call answers a status and, if it failed, an error object. `call` makes a Result of the two; the functions after it
// add what the call returns. Nothing here throws.
//
// Threads: a Core may be used by any number of them.

#ifndef HONKER_DETAIL_HPP
#define HONKER_DETAIL_HPP

#include <honker.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "error.hpp"
#include "options.hpp"
#include "value.hpp"

namespace honker {

/// The version of libhonker, "1.2.3".
inline const char* version() noexcept { return honker_version(); }

/// What libhonker was built from, as JSON, for bug reports.
inline const char* build_info() noexcept { return honker_build_info(); }

namespace detail {

struct Free {
  void operator()(honker_error_t* error) const noexcept { honker_error_free(error); }
  void operator()(honker_text_t* text) const noexcept { honker_text_free(text); }
  void operator()(honker_rows_t* rows) const noexcept { honker_rows_free(rows); }
  void operator()(honker_jobs_t* jobs) const noexcept { honker_jobs_free(jobs); }
  void operator()(honker_events_t* events) const noexcept { honker_events_free(events); }
  void operator()(honker_fires_t* fires) const noexcept { honker_fires_free(fires); }
  void operator()(honker_tx_t* tx) const noexcept { honker_tx_free(tx); }
  void operator()(honker_waiter_t* waiter) const noexcept { honker_waiter_free(waiter); }
  void operator()(honker_updates_t* updates) const noexcept { honker_updates_free(updates); }
  void operator()(honker_result_wait_t* wait) const noexcept { honker_result_wait_free(wait); }
  void operator()(honker_listener_t* listener) const noexcept { honker_listener_free(listener); }
  void operator()(honker_subscription_t* subscription) const noexcept { honker_subscription_free(subscription); }
  void operator()(honker_worker_t* worker) const noexcept { honker_worker_free(worker); }
  void operator()(honker_leader_t* leader) const noexcept { honker_leader_free(leader); }
  void operator()(honker_outbox_t* outbox) const noexcept { honker_outbox_free(outbox); }
};

/// A handle that is freed with its owner.
template <class T>
using Owned = std::unique_ptr<T, Free>;

/// Whether it is the URL of a server, and no file's name.
inline bool is_url(std::string_view path) noexcept {
  return path.compare(0, 11, "postgres://") == 0 || path.compare(0, 13, "postgresql://") == 0;
}

/// For texts: a URL has its user, password and parameters left out.
inline std::string name_of(const std::string& path) {
  if (!is_url(path)) return path;
  const auto begin = path.find("://") + 3;
  const auto place = path.substr(begin, path.find('?') - begin);
  const auto at = place.rfind('@');
  return path.substr(0, begin) + (at == place.npos ? place : place.substr(at + 1));
}

/// An open database, shared by all that came from it; the last of them closes it.
class Core {
 public:
  Core(honker_db_t* db, std::string path, Options options) noexcept
      : db_(db), path_(std::move(path)), options_(std::move(options)) {}
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;
  ~Core() { honker_close(db_.load(), nullptr); }

  /// NULL once it is closed.
  honker_db_t* handle() const noexcept { return db_.load(); }

  const std::string& path() const noexcept { return path_; }
  const Options& options() const noexcept { return options_; }

  /// The waiter that all consumers share, made by shared_waiter(); NULL before.
  honker_waiter_t* waiter() const noexcept { return waiter_.get(); }

  std::uint64_t next_token() noexcept { return ++last_token_; }

  /// Somebody wants the Waiter to be woken, and not one of its consumers.
  void leave_wake() noexcept { woken_ = true; }
  bool take_wake() noexcept { return woken_.exchange(false); }

  /// The handle, which the caller has to close now. NULL if somebody else has done so.
  honker_db_t* take() noexcept { return db_.exchange(nullptr); }

 private:
  friend Result<honker_waiter_t*> shared_waiter(const std::shared_ptr<Core>& core);

  std::atomic<honker_db_t*> db_;
  const std::string path_;
  const Options options_;
  std::mutex mutex_;  // while the waiter is made
  Owned<honker_waiter_t> waiter_;
  std::atomic<std::uint64_t> last_token_{0};
  std::atomic<bool> woken_{false};
};

using CorePtr = std::shared_ptr<Core>;

/// NULL, which is HONKER_MISUSE to every call, if the database is closed or the object was moved from.
inline honker_db_t* handle(const CorePtr& core) noexcept { return core ? core->handle() : nullptr; }

inline Error make_error(honker_status_t status, honker_error_t* raw) {
  const Owned<honker_error_t> owned(raw);
  if (!owned) return Error(status, honker_status_name(status));
  std::size_t len = 0;
  const char* message = honker_error_message(raw, &len);
  return Error(status, std::string(message, len), honker_error_sqlite_code(raw),
               honker_error_sqlite_extended_code(raw));
}

/// The library only knows that a handle is not valid. Why it is not is known here.
inline Error make_error(const Core* core, honker_status_t status, honker_error_t* raw) {
  const Error error = make_error(status, raw);
  if (status != HONKER_MISUSE) return error;
  if (core == nullptr) return Error(HONKER_MISUSE, "this object has been moved from");
  if (core->handle() == nullptr) return Error(HONKER_CLOSED_HANDLE, "the database is closed: " + name_of(core->path()));
  return error;
}

/// The bytes of a text; not NULL, which would mean none where a function takes an optional text.
inline const std::uint8_t* bytes(std::string_view text) noexcept {
  return reinterpret_cast<const std::uint8_t*>(text.data() == nullptr ? "" : text.data());
}

inline honker_bytes_t view(std::string_view text) noexcept { return {bytes(text), text.size()}; }

inline std::string string(const honker_bytes_t& bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data), bytes.len);
}

/// What an argument is to the C ABI: a text is two, its bytes and how many they are.
template <class T>
auto argument(const T& value) noexcept {
  if constexpr (std::is_convertible_v<const T&, std::string_view> && !std::is_null_pointer_v<T>) {
    const std::string_view text = value;
    return std::make_tuple(bytes(text), text.size());
  } else {
    return std::make_tuple(value);
  }
}

template <class Function, class... Arguments>
honker_status_t call_raw(Function&& function, const Arguments&... arguments) {
  return std::apply(function, std::tuple_cat(argument(arguments)...));
}

/// Calls a function of the C ABI: `function(arguments..., err)`. True for HONKER_OK, false for a positive status: the
/// call did not do it.
template <class Function, class... Arguments>
Result<bool> call(const CorePtr& core, Function&& function, const Arguments&... arguments) {
  honker_error_t* raw = nullptr;
  const honker_status_t status = call_raw(function, arguments..., &raw);
  if (status < 0) return make_error(core.get(), status, raw);
  honker_error_free(raw);  // a warning
  return status == HONKER_OK;
}

/// The status of a newer library, where this header expects HONKER_OK and nothing else.
inline Error unexpected() {
  return Error(HONKER_UNSUPPORTED, "libhonker gave an answer that this header does not know");
}

/// The same of one that returns nothing.
template <class Function, class... Arguments>
Result<void> done(const CorePtr& core, Function&& function, const Arguments&... arguments) {
  const auto made = call(core, function, arguments...);
  if (!made.ok()) return made.error();
  if (!*made) return unexpected();
  return {};
}

/// The same of `function(arguments..., out, err)`, which returns a number.
template <class Function, class... Arguments>
Result<std::int64_t> number(const CorePtr& core, Function&& function, const Arguments&... arguments) {
  std::int64_t out = 0;
  const auto made = call(core, function, arguments..., &out);
  if (!made.ok()) return made.error();
  if (!*made) return unexpected();
  return out;
}

/// The same of one that may return a number.
template <class Function, class... Arguments>
Result<std::optional<std::int64_t>> optional_number(const CorePtr& core, Function&& function,
                                                    const Arguments&... arguments) {
  std::int64_t out = 0;
  const auto made = call(core, function, arguments..., &out);
  if (!made.ok()) return made.error();
  return *made ? std::optional<std::int64_t>(out) : std::nullopt;
}

/// The same of one that may return a handle.
template <class T, class Function, class... Arguments>
Result<Owned<T>> owned(const CorePtr& core, Function&& function, const Arguments&... arguments) {
  T* out = nullptr;
  const auto made = call(core, function, arguments..., &out);
  Owned<T> handle(out);
  if (!made.ok()) return made.error();
  return handle;
}

inline Result<Owned<honker_waiter_t>> make_waiter(const CorePtr& core) {
  auto waiter = owned<honker_waiter_t>(core, honker_waiter_new, handle(core));
  if (waiter.ok() && *waiter == nullptr) return unexpected();
  return waiter;
}

/// The waiter of a database. The first call makes it.
inline Result<honker_waiter_t*> shared_waiter(const CorePtr& core) {
  if (core == nullptr) return make_error(nullptr, HONKER_MISUSE, nullptr);
  const std::lock_guard<std::mutex> lock(core->mutex_);
  if (core->waiter_ == nullptr) {
    auto waiter = make_waiter(core);
    if (!waiter.ok()) return waiter.error();
    core->waiter_ = std::move(*waiter);
  }
  return core->waiter_.get();
}

/// A text of the library's, unless it is NULL.
inline Result<std::optional<std::string>> copy(const CorePtr& core, const honker_text_t* text) {
  if (text == nullptr) return std::optional<std::string>();
  const std::uint8_t* data = nullptr;
  std::size_t len = 0;
  const auto got = call(core, honker_text_get, text, &data, &len);
  if (!got.ok()) return got.error();
  return std::optional<std::string>(std::in_place, reinterpret_cast<const char*>(data), len);
}

/// The same of one that may return a text.
template <class Function, class... Arguments>
Result<std::optional<std::string>> optional_text(const CorePtr& core, Function&& function,
                                                 const Arguments&... arguments) {
  const auto text = owned<honker_text_t>(core, function, arguments...);
  if (!text.ok()) return text.error();
  return copy(core, text->get());
}

/// The same of one that returns a text; an empty one if it did not.
template <class Function, class... Arguments>
Result<std::string> text(const CorePtr& core, Function&& function, const Arguments&... arguments) {
  auto text = optional_text(core, function, arguments...);
  if (!text.ok()) return text.error();
  return std::move(*text).value_or(std::string());
}

/// The largest 64-bit number means "not set" to the C ABI. Whoever passes it here means a number, which is too large.
inline Result<void> check_is_set(const char* argument, std::optional<std::int64_t> number) {
  if (number == HONKER_NO_TIME) {
    return Error(HONKER_INVALID, std::string(argument) + " is too large: " + std::to_string(HONKER_NO_TIME));
  }
  return {};
}

/// A text that the library takes: what is not UTF-8, and each NUL, is replaced by '?'.
inline std::string readable(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  std::string kept(text);
  for (std::size_t i = 0; i < text.size();) {
    const unsigned char first = at(i);
    std::size_t len = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (first == 0 || i + len > text.size()) len = 0;
    for (std::size_t k = 1; k < len; ++k) {
      if ((at(i + k) & 0xc0) != 0x80) len = 0;
    }
    if (len >= 3) {  // too long a form, a surrogate, or beyond Unicode
      const unsigned char second = at(i + 1);
      if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
          (first == 0xf4 && second > 0x8f)) {
        len = 0;
      }
    }
    if (len == 0) kept[i] = '?';
    i += len == 0 ? 1 : len;
  }
  return kept;
}

/// A name that nobody else has: 128 random bits.
inline std::string random_owner() {
  std::random_device random;
  std::string owner;
  for (int i = 0; i < 32; ++i) owner += "0123456789abcdef"[random() % 16];
  return owner;
}

/// Whether a library of version `runtime` serves a program that was compiled against `compiled`.
constexpr bool abi_fits(std::uint32_t compiled, std::uint32_t runtime) noexcept {
  return compiled >> 16 == runtime >> 16 && (runtime & 0xffff) >= (compiled & 0xffff);
}

inline std::string abi_text(std::uint32_t version) {
  return std::to_string(version >> 16) + "." + std::to_string(version & 0xffff);
}

/// Made before anything else is asked of the library.
inline Result<void> check_abi(std::uint32_t runtime = honker_abi_version()) {
  constexpr std::uint32_t compiled = HONKER_ABI_VERSION;
  if (abi_fits(compiled, runtime)) return {};
  return Error(HONKER_UNSUPPORTED, "this program was compiled for libhonker with interface version " +
                                       abi_text(compiled) + ", and runs with libhonker " + honker_version() +
                                       ", whose interface version is " + abi_text(runtime));
}

/// Opens a file. `warning` is what is to be said about one that could be opened nevertheless.
inline Result<CorePtr> open(std::string_view path, const Options& options, std::optional<Error>* warning) {
  if (auto fits = check_abi(); !fits.ok()) return fits.error();
  honker_open_opts_t opts = HONKER_OPEN_OPTS_INIT;
  opts.busy_timeout_ms = options.busy_timeout_ms;
  opts.readers_max = options.readers_max;
  opts.durability = static_cast<std::uint32_t>(options.durability);
  opts.journal_mode = static_cast<std::uint32_t>(options.journal_mode);
  opts.wal_autocheckpoint_pages = options.wal_autocheckpoint_pages;
  opts.watcher_backend = view(options.watcher_backend);
  opts.watcher_poll_interval_ms = options.watcher_poll_interval_ms;
  honker_db_t* db = nullptr;
  honker_error_t* raw = nullptr;
  const honker_status_t status = call_raw(honker_open, path, &opts, &db, &raw);
  if (status < 0) return make_error(status, raw);
  if (status != HONKER_OK) return unexpected();
  if (raw != nullptr) *warning = make_error(HONKER_UNSUPPORTED, raw);
  return std::make_shared<Core>(db, std::string(path), options);
}

inline honker_value_t lend(const Value& value) noexcept {
  honker_value_t lent{};
  lent.value_type = value.type();
  if (const auto* integer = std::get_if<std::int64_t>(&value.variant())) lent.integer = *integer;
  if (const auto* real = std::get_if<double>(&value.variant())) lent.real = *real;
  if (const auto* text = std::get_if<std::string>(&value.variant())) lent.bytes = view(*text);
  if (const auto* blob = std::get_if<Blob>(&value.variant())) {
    lent.bytes = {reinterpret_cast<const std::uint8_t*>(blob->data()), blob->size()};
  }
  return lent;
}

inline std::vector<honker_value_t> lend(const std::vector<Value>& values) {
  std::vector<honker_value_t> lent;
  lent.reserve(values.size());
  for (const Value& value : values) lent.push_back(lend(value));
  return lent;
}

inline Value keep(const honker_value_t& lent) {
  switch (lent.value_type) {
    case HONKER_TYPE_INTEGER:
      return lent.integer;
    case HONKER_TYPE_REAL:
      return lent.real;
    case HONKER_TYPE_TEXT:
      return string(lent.bytes);
    case HONKER_TYPE_BLOB: {
      const auto* first = reinterpret_cast<const std::byte*>(lent.bytes.data);
      return Blob(first, first + lent.bytes.len);
    }
    default:
      return Value();
  }
}

/// The same of one that returns rows.
template <class Function, class... Arguments>
Result<Rows> rows(const CorePtr& core, Function&& function, const Arguments&... arguments) {
  auto owned_rows = owned<honker_rows_t>(core, function, arguments...);
  if (!owned_rows.ok()) return owned_rows.error();
  const honker_rows_t* raw = owned_rows->get();
  std::size_t height = 0;
  std::size_t width = 0;
  auto got = call(core, honker_rows_size, raw, &height, &width);
  auto columns = std::make_shared<std::vector<std::string>>();
  for (std::size_t column = 0; got.ok() && column < width; ++column) {
    const std::uint8_t* name = nullptr;
    std::size_t len = 0;
    got = call(core, honker_rows_column, raw, column, &name, &len);
    columns->emplace_back(reinterpret_cast<const char*>(name), len);
  }
  Rows rows;
  for (std::size_t row = 0; got.ok() && row < height; ++row) {
    std::vector<Value> values;
    values.reserve(width);
    for (std::size_t column = 0; got.ok() && column < width; ++column) {
      honker_value_t value{};
      got = call(core, honker_rows_get, raw, row, column, &value);
      values.push_back(keep(value));
    }
    rows.emplace_back(columns, std::move(values));
  }
  if (!got.ok()) return got.error();
  return rows;
}

/// Copies what a call has returned into a vector: `len(list, &out, err)` is how many there are, `get(list, i, &view,
/// err)` fills `view`, and `make(view)` is one element.
template <class T, class List, class View, class Make>
Result<std::vector<T>> list(const CorePtr& core, const List* list, View view,
                            honker_status_t (*len)(const List*, std::size_t*, honker_error_t**),
                            honker_status_t (*get)(const List*, std::size_t, View*, honker_error_t**), Make&& make) {
  std::vector<T> elements;
  if (list == nullptr) return elements;
  std::size_t count = 0;
  auto got = call(core, len, list, &count);
  elements.reserve(count);
  for (std::size_t i = 0; got.ok() && i < count; ++i) {
    got = call(core, get, list, i, &view);
    if (got.ok()) elements.push_back(make(view));
  }
  if (!got.ok()) return got.error();
  return elements;
}

}  // namespace detail
}  // namespace honker

#endif  // HONKER_DETAIL_HPP
