// What stops a worker: a call, or a signal.
//
// Signals: while a worker runs that wants them, SIGTERM and SIGINT have a handler that writes to a pipe, and a thread
// reads it. They are the process's, so there is one of each, however many workers run; a child that was forked has its
// own.
//
// Threads: for any number of them.

#ifndef HONKER_STOP_HPP
#define HONKER_STOP_HPP

#include <honker.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>
#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#endif

#include "error.hpp"

namespace honker {
namespace detail {

/// Stops a worker's run.
class Stop {
 public:
  void request() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++requests_;
    changed_.notify_all();
    if (waiter_ != nullptr) honker_waiter_wake(waiter_, nullptr);
  }

  int requests() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return requests_;
  }

  /// A run begins. False if there is one already.
  bool begin() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return !std::exchange(runs_, true);
  }

  void end() {
    const std::lock_guard<std::mutex> lock(mutex_);
    runs_ = false;
    requests_ = 0;
  }

  /// The run waits with `waiter` from now on; nullptr: with none.
  void wakes(honker_waiter_t* waiter) {
    const std::lock_guard<std::mutex> lock(mutex_);
    waiter_ = waiter;
  }

  /// Sleeps until the next request, at most for `time`.
  void rest(std::chrono::milliseconds time) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, time, [&, before = requests_] { return requests_ != before; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int requests_ = 0;
  bool runs_ = false;
  honker_waiter_t* waiter_ = nullptr;
};

using StopPtr = std::shared_ptr<Stop>;

/// Starts a thread.
template <class Body>
Result<void> start_thread(std::thread& thread, Body&& body) {
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
  try {
    thread = std::thread(std::forward<Body>(body));
  } catch (const std::system_error& error) {
    return Error(HONKER_SYSTEM, std::string("no thread can be started: ") + error.what());
  }
#else
  thread = std::thread(std::forward<Body>(body));
#endif
  return {};
}

#if defined(__unix__) || defined(__APPLE__)

class Signals {
 public:
  /// Signals stop `stop` from now on.
  static Result<void> begin(const StopPtr& stop) {
    Signals& self = instance();
    const std::lock_guard<std::mutex> one_at_a_time(self.changes_);
    if (!self.thread_.joinable()) {
      if (auto started = self.start(); !started.ok()) return started;
    }
    const std::lock_guard<std::mutex> lock(self.mutex_);
    self.stops_.push_back(stop);
    return {};
  }

  static void end(const StopPtr& stop) {
    Signals& self = instance();
    const std::lock_guard<std::mutex> one_at_a_time(self.changes_);
    {
      const std::lock_guard<std::mutex> lock(self.mutex_);
      self.stops_.erase(std::remove(self.stops_.begin(), self.stops_.end(), stop), self.stops_.end());
      if (!self.stops_.empty() || !self.thread_.joinable()) return;
    }
    for (const Caught& caught : self.caught_) {
      if (caught.is_ours) sigaction(caught.signal, &caught.before, nullptr);
    }
    static_cast<void>(!::write(self.pipe_[1], "e", 1));
    self.thread_.join();
  }

 private:
  struct Caught {
    int signal;
    struct sigaction before = {};
    bool is_ours = false;
  };

  static std::atomic<Signals*>& current() {
    static std::atomic<Signals*> one{nullptr};
    return one;
  }

  /// This process's. That of a parent, which a child has inherited, is of no use: its pipe and its thread are the
  /// parent's, and its locks may be held by nobody. Never destroyed: a signal may come while the process ends.
  static Signals& instance() {
    Signals* found = current();
    while (found == nullptr || found->process_ != getpid()) {
      auto made = std::make_unique<Signals>();
      if (current().compare_exchange_strong(found, made.get())) return *made.release();
    }
    return *found;
  }

  Result<void> start() {
    if (pipe_[0] < 0 && !open()) {
      return Error(HONKER_SYSTEM, std::string("no pipe can be made for signals: ") + std::strerror(errno));
    }
    if (auto started = start_thread(thread_, [this] { read_all(); }); !started.ok()) return started;
    for (Caught& caught : caught_) {
      struct sigaction now = {};
      sigaction(caught.signal, nullptr, &caught.before);
      if (caught.before.sa_handler == &Signals::on_signal) caught.before.sa_handler = SIG_DFL;  // a parent's
      // A program that handles it stops its workers itself, and one that was started to ignore it shall.
      caught.is_ours = (caught.before.sa_flags & SA_SIGINFO) == 0 && caught.before.sa_handler == SIG_DFL;
      now.sa_handler = &Signals::on_signal;
      now.sa_flags = SA_RESTART;
      if (caught.is_ours) sigaction(caught.signal, &now, nullptr);
    }
    return {};
  }

  /// Where standard output and error are closed the pipe must not take their places: what is written there would stop
  /// the worker.
  bool open() {
    int made[2];
    if (::pipe(made) != 0) return false;
    for (const int i : {0, 1}) pipe_[i] = fcntl(made[i], F_DUPFD_CLOEXEC, 3);
    const int error = errno;
    for (const int end : made) ::close(end);
    if (pipe_[0] >= 0 && pipe_[1] >= 0) return true;
    for (int& end : pipe_) {
      if (end >= 0) ::close(std::exchange(end, -1));
    }
    errno = error;
    return false;
  }

  static void on_signal(int signal) {
    const Signals* const self = current();
    if (getpid() != self->process_) {  // a child that was forked: the worker is its parent's
      ::signal(signal, SIG_DFL);
      ::raise(signal);
      return;
    }
    const int before = errno;
    static_cast<void>(!::write(self->pipe_[1], "s", 1));
    errno = before;
  }

  void read_all() {
    for (char what = 0;;) {
      const auto read = ::read(pipe_[0], &what, 1);
      if (read < 0 && errno == EINTR) continue;
      if (read != 1 || what == 'e') return;
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const StopPtr& stop : stops_) stop->request();
    }
  }

  const pid_t process_ = getpid();
  std::mutex changes_;  // while handlers and the thread begin or end
  std::thread thread_;
  int pipe_[2] = {-1, -1};
  std::mutex mutex_;
  std::vector<StopPtr> stops_;  // under it
  Caught caught_[2] = {{SIGTERM}, {SIGINT}};
};

#else

struct Signals {
  static Result<void> begin(const StopPtr&) { return {}; }
  static void end(const StopPtr&) {}
};

#endif

}  // namespace detail
}  // namespace honker

#endif  // HONKER_STOP_HPP
