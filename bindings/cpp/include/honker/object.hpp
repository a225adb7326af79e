// JSON objects, as some functions of the C ABI take them; json_view.hpp reads what they answer. So this package needs
// no other library for it.
//
// Threads: plain data, and functions for any.

#ifndef HONKER_OBJECT_HPP
#define HONKER_OBJECT_HPP

#include <cstdint>
#include <locale>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "detail.hpp"
#include "value.hpp"

namespace honker {
namespace detail {

/// A text as JSON. What is not UTF-8, and a NUL, stays as it is: the library says so.
inline std::string json_text(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    if (c > 0 && c < 0x20) {
      json += "\\u00";
      json += c < 0x10 ? '0' : '1';
      json += "0123456789abcdef"[c % 16];
    } else {
      json += c;
    }
  }
  return json += '"';
}

/// An object that grows by its keys.
class JsonObject {
 public:
  /// An optional without a value adds nothing.
  template <class T>
  JsonObject& add(std::string_view key, const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      return add_raw(key, value ? "true" : "false");
    } else if constexpr (std::is_integral_v<T>) {
      return add_raw(key, std::to_string(value));
    } else if constexpr (std::is_floating_point_v<T>) {
      std::ostringstream text;  // a number that is none is no JSON, which the library says
      text.imbue(std::locale::classic());
      text.precision(17);
      text << value;
      return add_raw(key, text.str());
    } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
      return add_raw(key, json_text(value));
    } else {
      return value ? add(key, *value) : *this;
    }
  }

  /// `json` is JSON already.
  JsonObject& add_raw(std::string_view key, std::string_view json) {
    content_ += content_.empty() ? "" : ",";
    content_ += json_text(key);
    content_ += ':';
    content_ += json;
    return *this;
  }

  bool is_empty() const noexcept { return content_.empty(); }
  std::string text() const { return "{" + content_ + "}"; }

 private:
  std::string content_;
};

/// The rows of a query that only reads.
inline Result<Rows> query(const CorePtr& core, std::string_view sql, const std::vector<Value>& parameters) {
  const auto lent = lend(parameters);
  return rows(core, honker_query, handle(core), sql, lent.data(), lent.size());
}

}  // namespace detail
}  // namespace honker

#endif  // HONKER_OBJECT_HPP
