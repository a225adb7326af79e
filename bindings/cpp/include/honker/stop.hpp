// What stops a worker: a call, or a signal.
//
// Signals: while a worker runs that wants them, SIGTERM and SIGINT have a handler that writes to a pipe, and a thread
// reads it. They are the process's, so there is one of each, however many workers run.
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
#include <thread>
#include <utility>
#include <vector>
#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#endif

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

#if defined(__unix__) || defined(__APPLE__)

class Signals {
 public:
  static void begin(const StopPtr& stop) {
    Signals& self = instance();
    const std::lock_guard<std::mutex> one_at_a_time(self.changes_);
    {
      const std::lock_guard<std::mutex> lock(self.mutex_);
      self.stops_.push_back(stop);
    }
    if (self.thread_.joinable() || !self.open()) return;
    self.thread_ = std::thread([&self] { self.read_all(); });
    for (Caught& caught : self.caught_) {
      struct sigaction now = {};
      sigaction(caught.signal, nullptr, &caught.before);
      // A program that handles it stops its workers itself, and one that was started to ignore it shall.
      caught.is_ours = (caught.before.sa_flags & SA_SIGINFO) == 0 && caught.before.sa_handler == SIG_DFL;
      now.sa_handler = &Signals::on_signal;
      now.sa_flags = SA_RESTART;
      if (caught.is_ours) sigaction(caught.signal, &now, nullptr);
    }
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
    static_cast<void>(!::write(pipe()[1], "e", 1));
    self.thread_.join();
  }

 private:
  struct Caught {
    int signal;
    struct sigaction before = {};
    bool is_ours = false;
  };

  // Never destroyed: a signal may come while the process ends.
  static Signals& instance() {
    static Signals* const one = new Signals;
    return *one;
  }
  static int* pipe() {
    static int ends[2] = {-1, -1};
    return ends;
  }
  static std::atomic<pid_t>& process() {
    static std::atomic<pid_t> id{0};
    return id;
  }

  bool open() {
    process() = getpid();
    if (pipe()[0] >= 0) return true;
    if (::pipe(pipe()) != 0) return false;
    for (const int end : {pipe()[0], pipe()[1]}) fcntl(end, F_SETFD, FD_CLOEXEC);
    return true;
  }

  static void on_signal(int signal) {
    if (getpid() != process()) {  // a child that was forked: the worker is its parent's
      ::signal(signal, SIG_DFL);
      ::raise(signal);
      return;
    }
    const int before = errno;
    static_cast<void>(!::write(pipe()[1], "s", 1));
    errno = before;
  }

  void read_all() {
    for (char what = 0;;) {
      const auto read = ::read(pipe()[0], &what, 1);
      if (read < 0 && errno == EINTR) continue;
      if (read != 1 || what == 'e') return;
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const StopPtr& stop : stops_) stop->request();
    }
  }

  std::mutex changes_;  // while handlers and the thread begin or end
  std::thread thread_;
  std::mutex mutex_;
  std::vector<StopPtr> stops_;  // under it
  Caught caught_[2] = {{SIGTERM}, {SIGINT}};
};

#else

struct Signals {
  static void begin(const StopPtr&) {}
  static void end(const StopPtr&) {}
};

#endif

}  // namespace detail
}  // namespace honker

#endif  // HONKER_STOP_HPP
