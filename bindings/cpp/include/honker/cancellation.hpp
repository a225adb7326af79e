// How a handler is told to stop, and why.
//
// Threads: a Cancellation is used by any number of them.

#ifndef HONKER_CANCELLATION_HPP
#define HONKER_CANCELLATION_HPP

#include <honker.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#if __has_include(<version>)
#include <version>
#endif
#ifdef __cpp_lib_jthread
#include <stop_token>
#endif

namespace honker {

/// Why a handler should stop.
enum class CancelReason : std::uint32_t {
  none = 0,                       ///< It should not.
  gone = HONKER_LOST_GONE,        ///< The job was cancelled, deleted or settled by somebody else.
  lapsed = HONKER_LOST_LAPSED,    ///< The claim's time was over before it could be prolonged.
  taken = HONKER_LOST_TAKEN,      ///< Another worker has the job.
  timeout = HONKER_LOST_TIMEOUT,  ///< It ran for longer than `max_run_s`.
  stop = 100,                     ///< The worker is stopping, and its `stop_timeout` is over.
  file = 101,                     ///< The file was closed or replaced by another: the job cannot be settled any more.
};

namespace detail {

/// Tells one handler. Its layout does not depend on the standard that it is compiled as.
class Cancellation {
 public:
  void set(CancelReason reason) {
    std::function<void()> request;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (reason_ != CancelReason::none) return;
      reason_ = reason;
      request = std::move(request_);
      changed_.notify_all();
    }
    if (request) request();  // calls what the handler has registered
  }

  CancelReason reason() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return reason_;
  }

  template <class Duration>
  bool wait_for(Duration time) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, time, [&] { return reason_ != CancelReason::none; });
  }

#ifdef __cpp_lib_jthread
  std::stop_token token() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (source_ == nullptr) {
      const auto source = std::make_shared<std::stop_source>();
      source_ = source;
      request_ = [source] { source->request_stop(); };
      if (reason_ != CancelReason::none) source->request_stop();
    }
    return std::static_pointer_cast<std::stop_source>(source_)->get_token();
  }
#endif

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  CancelReason reason_ = CancelReason::none;
  std::shared_ptr<void> source_;  // a std::stop_source, once somebody wants one
  std::function<void()> request_;
};

}  // namespace detail
}  // namespace honker

#endif  // HONKER_CANCELLATION_HPP
