// Jobs whose payload is a type of the application's.
//
// Threads: plain functions.

#ifndef HONKER_TYPED_HPP
#define HONKER_TYPED_HPP

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "codec.hpp"
#include "job.hpp"
#include "outcome.hpp"
#include "worker_options.hpp"

namespace honker {

/// A handler for Worker::run() that is called with a payload of type T, and with the job if it takes that as well. A
/// payload that cannot be decoded is discarded: it is among the dead with the reason, and not tried again.
///
///     worker.run(honker::typed<SendEmail>([](const SendEmail& email) { send(email.to); }));
template <class T, class Function>
Handler typed(Function function) {
  return [function = std::move(function)](Job& job) mutable -> Outcome {
    std::optional<T> payload;
    if (const auto error = detail::thrown_by([&] { payload.emplace(Codec<T>::decode(job.payload())); })) {
      return Outcome::discard("the payload cannot be decoded: " + *error);
    }
    if constexpr (std::is_invocable_v<Function&, const T&, Job&>) {
      return detail::outcome_of(function, std::as_const(*payload), job);
    } else {
      return detail::outcome_of(function, std::as_const(*payload));
    }
  };
}

/// A handler for a worker of several queues, each of which has one of its own. A job of another queue is discarded.
///
///     worker.run(honker::by_queue({{"emails", honker::typed<SendEmail>(send)}, {"images",
///     honker::typed<Resize>(resize)}}));
inline Handler by_queue(std::map<std::string, Handler> handlers) {
  return [handlers = std::move(handlers)](Job& job) {
    const auto handler = handlers.find(job.queue());
    return handler == handlers.end() ? Outcome::discard("there is no handler for the queue " + job.queue())
                                     : handler->second(job);
  };
}

}  // namespace honker

#endif  // HONKER_TYPED_HPP
