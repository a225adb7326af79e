// How values of the application's types are written as text, and read.
//
// Threads: plain functions.

#ifndef HONKER_CODEC_HPP
#define HONKER_CODEC_HPP

#include <string>
#include <string_view>

namespace honker {

/// How a value of type T, a payload or what a step has come to, is written and read: to be specialised by the
/// application. honker/json.hpp does so for every type that nlohmann::json converts.
///
///     template <>
///     struct honker::Codec<Resize> {
///       static std::string encode(const Resize& resize);
///       static Resize decode(std::string_view payload);  // throws if it is something else
///     };
template <class T, class = void>
struct Codec;

/// A payload, for everything that enqueues: `emails.enqueue(honker::encode(SendEmail{"alice@example.com"}))`.
template <class T>
std::string encode(const T& payload) {
  return Codec<T>::encode(payload);
}

}  // namespace honker

#endif  // HONKER_CODEC_HPP
