// Typed payloads as JSON, for every type that nlohmann::json converts. Not part of honker.hpp: to be included by those
// who have that library.
//
//     struct SendEmail { std::string to; };
//     NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SendEmail, to)
//
// Threads: plain functions.

#ifndef HONKER_JSON_HPP
#define HONKER_JSON_HPP

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "typed.hpp"

namespace honker {

template <class T>
struct Codec<T, std::void_t<decltype(nlohmann::json(std::declval<const T&>())),
                            decltype(std::declval<const nlohmann::json&>().template get<T>())>> {
  static std::string encode(const T& payload) { return nlohmann::json(payload).dump(); }
  static T decode(std::string_view payload) { return nlohmann::json::parse(payload).template get<T>(); }
};

}  // namespace honker

#endif  // HONKER_JSON_HPP
