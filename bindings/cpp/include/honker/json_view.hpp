// Reading JSON: what the library answers, and whether a text is JSON. So that this package needs no other library for
// it, and works alike whatever the database is.
//
// Threads: plain data.

#ifndef HONKER_JSON_VIEW_HPP
#define HONKER_JSON_VIEW_HPP

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <locale>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "error.hpp"

namespace honker {
namespace detail {

/// Walks over one JSON text, strictly as RFC 8259 has it.
class JsonScanner {
 public:
  explicit JsonScanner(std::string_view text) noexcept : text_(text) {}

  std::size_t at() const noexcept { return at_; }
  bool is_at_end() const noexcept { return at_ == text_.size(); }
  char next() const noexcept { return is_at_end() ? '\0' : text_[at_]; }

  void skip_space() noexcept {
    while (!is_at_end() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }

  /// Over a character, and the space behind it; false if it is another one.
  bool skip(char expected) noexcept {
    if (next() != expected || is_at_end()) return false;
    ++at_;
    skip_space();
    return true;
  }

  /// Over a value, and the space behind it; false if there is none.
  bool skip_value(int depth = 0) noexcept {
    constexpr int deepest = 1000;
    if (depth > deepest) return false;
    switch (next()) {
      case '{':
        return skip_all('}', depth);
      case '[':
        return skip_all(']', depth);
      case '"':
        return skip_string();
      case 't':
        return skip_word("true");
      case 'f':
        return skip_word("false");
      case 'n':
        return skip_word("null");
      default:
        return skip_number();
    }
  }

  bool skip_string() noexcept {
    if (next() != '"') return false;
    for (++at_; !is_at_end() && text_[at_] != '"'; ++at_) {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) return false;
      if (text_[at_] != '\\') continue;
      ++at_;
      if (next() == 'u') {
        for (int digit = 0; digit < 4; ++digit) {
          ++at_;
          if (std::string_view("0123456789abcdefABCDEF").find(next()) == std::string_view::npos) return false;
        }
      } else if (std::string_view("\"\\/bfnrt").find(next()) == std::string_view::npos) {
        return false;
      }
    }
    return skip('"');
  }

 private:
  bool skip_all(char end, int depth) noexcept {
    ++at_;
    skip_space();
    if (skip(end)) return true;
    do {
      if (end == '}' && !(skip_string() && skip(':'))) return false;
      if (!skip_value(depth + 1)) return false;
    } while (skip(','));
    return skip(end);
  }

  bool skip_word(std::string_view word) noexcept {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    skip_space();
    return true;
  }

  bool skip_digits() noexcept {
    const auto from = at_;
    while (next() >= '0' && next() <= '9') ++at_;
    return at_ > from;
  }

  bool skip_number() noexcept {
    if (next() == '-') ++at_;
    const bool is_zero = next() == '0';
    const auto from = at_;
    if (!skip_digits() || (is_zero && at_ > from + 1)) return false;
    if (next() == '.') {
      ++at_;
      if (!skip_digits()) return false;
    }
    if (next() == 'e' || next() == 'E') {
      ++at_;
      if (next() == '+' || next() == '-') ++at_;
      if (!skip_digits()) return false;
    }
    skip_space();
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

/// A value in a JSON text, which has to outlive it; or none.
class JsonView {
 public:
  JsonView() noexcept = default;

  /// None if the text is no JSON.
  static JsonView of(std::string_view text) noexcept {
    JsonScanner scanner(text);
    scanner.skip_space();
    return scanner.skip_value() && scanner.is_at_end() ? JsonView(trimmed(text)) : JsonView();
  }

  explicit operator bool() const noexcept { return !json_.empty(); }

  /// The value of a key of an object; none if there is none, or this is no object.
  JsonView operator[](std::string_view key) const {
    JsonScanner scanner(json_);
    if (!scanner.skip('{')) return {};
    while (scanner.next() == '"') {
      const auto name = take(scanner);
      scanner.skip(':');
      const auto value = take(scanner);
      if (JsonView(name).text() == key) return JsonView(value);
      scanner.skip(',');
    }
    return {};
  }

  /// The elements of an array.
  std::vector<JsonView> elements() const {
    std::vector<JsonView> all;
    JsonScanner scanner(json_);
    if (!scanner.skip('[') || scanner.next() == ']') return all;
    do {
      all.push_back(JsonView(take(scanner)));
    } while (scanner.skip(','));
    return all;
  }

  /// A whole number of 64 bits; 1 and 0 of true and false; none of anything else.
  std::optional<std::int64_t> integer() const noexcept {
    if (json_ == "true") return 1;
    if (json_ == "false") return 0;
    std::int64_t number = 0;
    const auto* const end = json_.data() + json_.size();
    const auto read = std::from_chars(json_.data(), end, number);
    return !json_.empty() && read.ec == std::errc() && read.ptr == end ? std::optional<std::int64_t>(number)
                                                                       : std::nullopt;
  }

  /// A number; none of anything else.
  std::optional<double> real() const {
    if (json_.empty() || std::string_view("-0123456789").find(json_[0]) == std::string_view::npos) return std::nullopt;
    std::istringstream in{std::string(json_)};
    in.imbue(std::locale::classic());
    double number = 0;
    in >> number;
    return number;
  }

  /// What a string says; of an object or an array its JSON; none of anything else.
  std::optional<std::string> text() const {
    if (json_.empty()) return std::nullopt;
    if (json_[0] == '{' || json_[0] == '[') return std::string(json_);
    if (json_[0] != '"') return std::nullopt;
    std::string text;
    for (std::size_t at = 1; at + 1 < json_.size(); ++at) {
      if (json_[at] != '\\') {
        text += json_[at];
        continue;
      }
      ++at;
      if (json_[at] == 'u') {
        add_character(text, at);
      } else {
        const auto which = std::string_view("bfnrt").find(json_[at]);
        text += which == std::string_view::npos ? json_[at] : "\b\f\n\r\t"[which];
      }
    }
    return text;
  }

 private:
  explicit JsonView(std::string_view json) noexcept : json_(json) {}

  static std::string_view trimmed(std::string_view text) noexcept {
    constexpr std::string_view space = " \t\r\n";
    const auto first = text.find_first_not_of(space);
    return first == std::string_view::npos ? std::string_view()
                                           : text.substr(first, text.find_last_not_of(space) + 1 - first);
  }

  std::string_view take(JsonScanner& scanner) const noexcept {
    const auto from = scanner.at();
    scanner.skip_value();
    return trimmed(json_.substr(from, scanner.at() - from));
  }

  /// The four digits behind the `u` at `at`, which is left on the last of them.
  std::uint32_t unit(std::size_t& at) const noexcept {
    std::uint32_t unit = 0;
    std::from_chars(json_.data() + at + 1, json_.data() + at + 5, unit, 16);
    at += 4;
    return unit;
  }

  /// One character, which may be a pair of escapes, as UTF-8. Half of a pair is U+FFFD.
  void add_character(std::string& text, std::size_t& at) const {
    std::uint32_t character = unit(at);
    if (character >= 0xd800 && character < 0xdc00 && json_.substr(at + 1, 2) == "\\u") {
      auto behind = at + 2;
      const auto low = unit(behind);
      if (low >= 0xdc00 && low < 0xe000) {
        character = 0x10000 + ((character - 0xd800) << 10) + (low - 0xdc00);
        at = behind;
      }
    }
    if (character >= 0xd800 && character < 0xe000) character = 0xfffd;
    const auto add = [&text](std::uint32_t byte) { text += static_cast<char>(byte); };
    if (character < 0x80) {
      add(character);
    } else if (character < 0x800) {
      add(0xc0 | (character >> 6));
      add(0x80 | (character & 0x3f));
    } else if (character < 0x10000) {
      add(0xe0 | (character >> 12));
      add(0x80 | ((character >> 6) & 0x3f));
      add(0x80 | (character & 0x3f));
    } else {
      add(0xf0 | (character >> 18));
      add(0x80 | ((character >> 12) & 0x3f));
      add(0x80 | ((character >> 6) & 0x3f));
      add(0x80 | (character & 0x3f));
    }
  }

  std::string_view json_;
};

/// What the library has answered, which is JSON.
inline Result<JsonView> answered(const std::string& json) {
  const auto view = JsonView::of(json);
  if (!view) return Error(HONKER_INTERNAL, "the library has answered what is no JSON: " + json);
  return view;
}

}  // namespace detail
}  // namespace honker

#endif  // HONKER_JSON_VIEW_HPP
