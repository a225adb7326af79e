// Values of SQL: parameters of a statement, and the rows it returns. Plain data.

#ifndef HONKER_VALUE_HPP
#define HONKER_VALUE_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "error.hpp"

namespace honker {

/// Bytes that are not text.
using Blob = std::vector<std::byte>;

namespace detail {

template <class T>
inline constexpr bool is_character =
    std::is_same_v<T, char> || std::is_same_v<T, signed char> || std::is_same_v<T, unsigned char> ||
    std::is_same_v<T, wchar_t> || std::is_same_v<T, char16_t> || std::is_same_v<T, char32_t>;

/// Whether every number of the type is one that SQLite can store.
template <class T>
inline constexpr bool is_storable_integer =
    std::is_integral_v<T> && !is_character<T> && (std::is_signed_v<T> || sizeof(T) < sizeof(std::int64_t));

}  // namespace detail

/// A parameter or a column: NULL, an integer, a floating-point number, text or a blob.
///
/// It is made implicitly, so that parameters can be written as `{42, 9.5, "text", nullptr, honker::Blob{...}}`. A bool
/// is 0 or 1. A std::size_t has to be cast by the caller: SQLite's integers are signed and have 64 bits.
class Value {
 public:
  Value() noexcept = default;
  Value(std::nullptr_t) noexcept {}
  Value(std::nullopt_t) noexcept {}
  template <class T, std::enable_if_t<detail::is_storable_integer<T>, int> = 0>
  Value(T number) noexcept : data_(static_cast<std::int64_t>(number)) {}
  Value(double number) noexcept : data_(number) {}
  Value(float number) noexcept : data_(static_cast<double>(number)) {}
  Value(std::string text) noexcept : data_(std::move(text)) {}
  Value(std::string_view text) : data_(std::string(text)) {}
  /// A null pointer is NULL.
  Value(const char* text) {
    if (text != nullptr) data_ = std::string(text);
  }
  Value(Blob blob) noexcept : data_(std::move(blob)) {}
  /// Empty is NULL.
  template <class T>
  Value(const std::optional<T>& value) {
    if (value) *this = Value(*value);
  }

  /// One of HONKER_TYPE_NULL, _INTEGER, _REAL, _TEXT and _BLOB.
  std::uint32_t type() const noexcept { return static_cast<std::uint32_t>(data_.index()); }

  bool is_null() const noexcept { return type() == HONKER_TYPE_NULL; }

  /// What is in it. Another type than that is HONKER_INVALID: nothing is converted.
  std::int64_t integer() const { return integer(std::nothrow).value(); }
  Result<std::int64_t> integer(std::nothrow_t) const noexcept { return get<HONKER_TYPE_INTEGER>(); }
  double real() const { return real(std::nothrow).value(); }
  Result<double> real(std::nothrow_t) const noexcept { return get<HONKER_TYPE_REAL>(); }
  std::string text() const { return text(std::nothrow).value(); }
  Result<std::string> text(std::nothrow_t) const noexcept { return get<HONKER_TYPE_TEXT>(); }
  Blob blob() const { return blob(std::nothrow).value(); }
  Result<Blob> blob(std::nothrow_t) const noexcept { return get<HONKER_TYPE_BLOB>(); }

  /// All of it, for std::visit and std::get_if.
  using Variant = std::variant<std::monostate, std::int64_t, double, std::string, Blob>;
  const Variant& variant() const noexcept { return data_; }

  friend bool operator==(const Value& a, const Value& b) { return a.data_ == b.data_; }
  friend bool operator!=(const Value& a, const Value& b) { return !(a == b); }

 private:
  template <std::size_t Type>
  Result<std::variant_alternative_t<Type, Variant>> get() const {
    if (const auto* content = std::get_if<Type>(&data_)) return *content;
    static constexpr const char* names[] = {"NULL", "INTEGER", "REAL", "TEXT", "BLOB"};
    return Error(HONKER_INVALID, std::string("the value is ") + names[data_.index()] + ", not " + names[Type]);
  }

  Variant data_;  // in the order of HONKER_TYPE_*
};

/// One row of a result.
class Row {
 public:
  /// For the library. `columns` are the names, shared by all rows of a result.
  Row(std::shared_ptr<const std::vector<std::string>> columns, std::vector<Value> values) noexcept
      : columns_(std::move(columns)), values_(std::move(values)) {}

  /// How many columns there are.
  std::size_t size() const noexcept { return values_.size(); }

  /// The names of the columns.
  const std::vector<std::string>& columns() const noexcept { return *columns_; }

  /// The value in a column, counted from 0 or by its name. HONKER_NOT_FOUND if there is no such column.
  template <class Index, std::enable_if_t<std::is_integral_v<Index>, int> = 0>
  const Value& operator[](Index column) const {
    return *find(static_cast<std::size_t>(column)).value();
  }
  const Value& operator[](std::string_view column) const { return *find(column).value(); }
  Result<Value> at(std::nothrow_t, std::size_t column) const noexcept { return copy(find(column)); }
  Result<Value> at(std::nothrow_t, std::string_view column) const noexcept { return copy(find(column)); }

 private:
  Result<const Value*> find(std::size_t column) const {
    if (column < values_.size()) return &values_[column];
    return Error(HONKER_NOT_FOUND,
                 "there is no column " + std::to_string(column) + ": there are " + std::to_string(values_.size()));
  }

  Result<const Value*> find(std::string_view column) const {
    for (std::size_t i = 0; i < columns_->size(); ++i) {
      if ((*columns_)[i] == column) return &values_[i];
    }
    return Error(HONKER_NOT_FOUND, "there is no column named " + std::string(column));
  }

  static Result<Value> copy(const Result<const Value*>& found) {
    if (!found.ok()) return found.error();
    return **found;
  }

  std::shared_ptr<const std::vector<std::string>> columns_;
  std::vector<Value> values_;
};

/// The rows of a query, in memory.
using Rows = std::vector<Row>;

}  // namespace honker

#endif  // HONKER_VALUE_HPP
