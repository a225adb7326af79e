// Workers: what becomes of jobs, how many run at a time, what stops them, and what does not.

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support.hpp"

using honker::Failure;
using honker::Job;
using honker::Outcome;
using honker::WorkerOptions;

namespace {

// What a worker has told.
struct Told {
  std::mutex mutex;
  std::vector<std::string> failures;
  std::vector<std::string> warnings;
  std::vector<std::string> lines;

  WorkerOptions options() {
    WorkerOptions options;
    options.retry_base_s = 0;
    options.on_error = [this](const Failure& failure) {
      const std::lock_guard<std::mutex> lock(mutex);
      failures.push_back(failure.outcome.error());
      throw std::runtime_error("of the callback's own");
    };
    options.log = [this](honker::LogLevel level, const std::string& line) {
      const std::lock_guard<std::mutex> lock(mutex);
      lines.push_back(line);
      if (level == honker::LogLevel::warning) warnings.push_back(line);
      throw NoException();
    };
    return options;
  }

  // How many lines have this in them.
  std::ptrdiff_t says(const std::string& part) {
    const std::lock_guard<std::mutex> lock(mutex);
    return std::count_if(lines.begin(), lines.end(), [&](const std::string& line) { return contains(line, part); });
  }
};

// A worker that runs in a thread of its own, and is stopped at the end of the block.
class Running {
 public:
  template <class Handler>
  Running(honker::Worker& worker, Handler handler)
      : worker_(worker), thread_([this, handler] { ended_ = worker_.run(std::nothrow, handler); }) {}
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    if (thread_.joinable()) static_cast<void>(stop().ok());
  }

  honker::Result<honker::WorkerReport> stop() {
    worker_.stop();
    return ended();
  }

  honker::Result<honker::WorkerReport> ended() {
    thread_.join();
    return *ended_;
  }

 private:
  honker::Worker& worker_;
  std::optional<honker::Result<honker::WorkerReport>> ended_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("what a handler returns or throws becomes of its job") {
  const File file;
  const auto q = file.db.queue("q", 300, 2);
  q.enqueue_many({"good", "bad", "odd", "mute", "discard", "snooze", "release", "retry", "mine"});
  Told told;
  auto worker = q.worker("w", told.options());
  std::multiset<std::string> seen;
  std::vector<std::int64_t> attempts_of_release;
  const auto handler = [&](Job& job) -> Outcome {
    const std::string what = job.payload();
    seen.insert(what);
    if (what == "bad") throw std::runtime_error("no such \xff address");
    if (what == "odd") throw NoException();
    if (what == "mute") throw Mute();
    if (what == "discard") return Outcome::discard("never");
    if (what == "snooze") throw Outcome::snooze(60);
    if (what == "retry") return Outcome::retry(90, "too early");
    if (what == "mine") CHECK(job.fail("settled by the handler"));
    if (what == "release") {
      attempts_of_release.push_back(job.attempts());
      if (attempts_of_release.size() < 5) return Outcome::release();
    }
    if (what == "last") worker.stop();
    return Outcome::ack();
  };
  const Joined enqueueing(soon([&] {
    wait_until([&] {
      // Only those are left that come later: one that is released meanwhile may be due after the last one.
      return file.count("_honker_live") == 2 && file.count("_honker_dead") == 5;
    });
    q.enqueue("last");
  }));
  const auto report = worker.run(handler);
  CHECK(seen.count("bad") == 2);
  CHECK(seen.count("good") == 1);
  CHECK(seen.count("discard") == 1);
  CHECK(attempts_of_release == std::vector<std::int64_t>(5, 1));
  CHECK(contains(q.dead_json(), "no such ? address"));
  CHECK(contains(q.dead_json(), "no std::exception"));
  CHECK(contains(q.dead_json(), "says nothing"));
  CHECK(contains(q.dead_json(), "\"never\""));
  CHECK(contains(q.dead_json(), "settled by the handler"));
  CHECK(file.count("_honker_live") == 2);
  CHECK(file.count("_honker_live WHERE attempts = 0 AND run_at > unixepoch() + 50") == 1);
  CHECK(file.count("_honker_live WHERE attempts = 1 AND run_at > unixepoch() + 80") == 1);
  CHECK(told.failures.size() == 8);
  CHECK(told.warnings.empty());
  CHECK(told.says("attempt 1 of 2, next try in 0 s: no such ? address") == 1);
  CHECK(told.says("attempt 2 of 2, dead: no such ? address") == 1);
  CHECK(told.says("attempt 1 of 2, dead: never") == 1);
  CHECK(told.says("next try in 90 s: too early") == 1);
  CHECK(told.says("worker w ended: 13 jobs settled, 4 released, 0 still running") == 1);
  CHECK(report.released == 4);
  CHECK(report.settled == 13);
}

TEST_CASE("retries of a worker come later and later") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue("1");
  Told told;
  auto options = told.options();
  options.retry_base_s = 100;
  options.retry_jitter = 0;
  auto worker = q.worker("w", options);
  for (const int delay_s : {100, 200}) {
    worker.run([&](Job&) {
      worker.stop();
      throw std::runtime_error("later");
    });
    CHECK(*q.next_claim_at() >= now() + delay_s - 20);
    CHECK(*q.next_claim_at() <= now() + delay_s);
    file.run("UPDATE _honker_live SET run_at = unixepoch()");
  }
}

TEST_CASE("what a failure says of the next try is a time, whatever the options and the attempts are") {
  struct Case {
    std::int64_t base_s;
    std::int64_t max_s;
    std::int64_t next_try_s;
  };
  // The third failure of a job whose delay grows beyond all numbers.
  for (const Case& one : {Case{0, 3600, 0},
                          {-5, 3600, 0},
                          {1, 3600, 3600},
                          {1, -1, 0},
                          {largest, largest, std::int64_t{1000} * 366 * 86400}}) {
    const File file;
    const auto q = file.db.queue("q", 300, 5);
    q.enqueue("1");
    file.run("UPDATE _honker_live SET attempts = 2");
    Told told;
    auto options = told.options();
    options.retry_base_s = one.base_s;
    options.retry_max_s = one.max_s;
    options.retry_factor = 1e300;
    options.retry_jitter = 0;
    std::optional<std::int64_t> next_try_s;
    options.on_error = [&](const Failure& failure) { next_try_s = failure.next_try_s; };
    auto worker = q.worker("w", options);
    const auto begin = now();
    worker.run([&](Job&) {
      worker.stop();
      throw std::runtime_error("later");
    });
    CHECK(next_try_s == one.next_try_s);
    // As the library has it.
    const auto run_at = file.db.query("SELECT run_at FROM _honker_live")[0][0].integer();
    CHECK(run_at >= begin + one.next_try_s);
    CHECK(run_at <= now() + one.next_try_s);
  }
}

TEST_CASE("as many handlers run at a time as the worker may have, and no more") {
  const File file;
  const auto q = file.db.queue("q");
  for (int i = 0; i < 40; ++i) q.enqueue(std::to_string(i));
  WorkerOptions options;
  options.concurrency = 4;
  auto worker = q.worker("w", options);
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  std::atomic<int> done{0};
  {
    Running run(worker, [&](Job&) {
      const int with_me = ++running;
      int seen = most;
      while (seen < with_me && !most.compare_exchange_weak(seen, with_me)) {
      }
      // All four meet once, which takes four threads.
      if (done < 4) wait_until([&] { return most == 4; });
      --running;
      ++done;
    });
    wait_until([&] { return done == 40; });
    CHECK(run.stop()->settled == 40);
  }
  CHECK(most == 4);
  CHECK(file.count("_honker_live") == 0);
}

TEST_CASE("several queues, some with limits of their own") {
  const File file;
  for (const char* name : {"a", "b", "c"}) file.db.queue(name).enqueue_many({"1", "2", "3"});
  WorkerOptions options;
  options.concurrency = 6;
  auto worker = file.db.worker({{"a", 5}, {"b"}, {"c", 1, 1}}, "w", options);
  std::atomic<int> of_c{0};
  std::atomic<bool> too_many{false};
  std::atomic<int> done{0};
  Running run(worker, [&](Job& job) {
    if (job.queue() == "c") {
      if (++of_c > 1) too_many = true;
      std::this_thread::sleep_for(5ms);
      --of_c;
    }
    ++done;
  });
  wait_until([&] { return done == 9; });
  CHECK(run.stop().ok());
  CHECK_FALSE(too_many);
  CHECK(file.count("_honker_live") == 0);
}

TEST_CASE("claims are prolonged while their handlers run") {
  const File file;
  const auto q = file.db.queue("q", 6);
  q.enqueue("1");
  auto worker = q.worker("w");
  Running run(worker, [&](Job& job) {
    const auto expires_at = "_honker_live WHERE claim_expires_at > " + std::to_string(job.claim_expires_at() + 1);
    wait_until([&] { return file.count(expires_at) == 1 || job.cancelled(); });
    CHECK_FALSE(job.cancelled());
  });
  wait_until([&] { return file.count("_honker_live") == 0; });
  CHECK(run.stop()->settled == 1);
}

TEST_CASE("a job that is cancelled cancels its handler") {
  const File file;
  const auto q = file.db.queue("q");
  const auto id = q.enqueue("1");
  Told told;
  auto worker = q.worker("w", told.options());
  std::atomic<bool> began{false};
  std::atomic<bool> seen{false};
  Running run(worker, [&](Job& job) {
    began = true;
    seen = job.wait_cancelled(long_time) && job.cancel_reason() == honker::CancelReason::gone;
    throw std::runtime_error("cancelled");
  });
  wait_until([&] { return began.load(); });
  CHECK(honker::Database(file.path).queue("q").cancel(id));
  wait_until([&] { return seen.load(); });
  const auto report = run.stop();
  CHECK(report->settled == 0);
  CHECK(told.failures.empty());
  CHECK(told.says("lost job " + std::to_string(id) + " of q") == 1);
}

TEST_CASE("a handler that runs for too long is cancelled, and its job retried") {
  const File file;
  const auto q = file.db.queue("q", 300, 1);
  q.enqueue("1");
  Told told;
  auto options = told.options();
  options.max_run_s = 1;
  auto worker = q.worker("w", options);
  std::atomic<bool> seen{false};
  Running run(worker, [&](Job& job) {
    seen = job.wait_cancelled(long_time) && job.cancel_reason() == honker::CancelReason::timeout;
  });
  wait_until([&] { return file.count("_honker_dead") == 1; });
  wait_until([&] { return seen.load(); });
  CHECK(run.stop().ok());
  CHECK(contains(q.dead_json(), "timeout after 1 s"));
  CHECK(told.failures == std::vector<std::string>{"timeout after 1 s"});
}

TEST_CASE("a worker that is stopped lets its handlers finish, and claims nothing more") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue_many({"1", "2"});
  auto worker = q.worker("w");
  std::atomic<int> begun{0};
  const auto report = worker.run([&](Job& job) {
    ++begun;
    worker.stop();
    CHECK_FALSE(job.wait_cancelled(100ms));
  });
  CHECK(begun == 1);
  CHECK(report.settled == 1);
  CHECK(report.released == 0);
  CHECK(file.count("_honker_live WHERE state = 'pending' AND attempts = 0") == 1);
  // Stopped before it began.
  worker.stop();
  CHECK(worker.run([&](Job&) { ++begun; }).settled == 0);
  CHECK(begun == 1);
}

TEST_CASE("a worker that is stopped cancels what takes too long, and gives it back") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue("1");
  Told told;
  auto options = told.options();
  options.stop_timeout = 1ms;
  options.cancel_timeout = honker::forever;
  auto worker = q.worker("w", options);
  const auto report = worker.run([&](Job& job) {
    CHECK(job.cancel_reason() == honker::CancelReason::none);
    worker.stop();
    CHECK(job.wait_cancelled(long_time));
    CHECK(job.cancel_reason() == honker::CancelReason::stop);
    throw std::runtime_error("interrupted");
  });
  CHECK(report.released == 1);
  CHECK(told.failures.empty());
  CHECK(file.count("_honker_live WHERE state = 'pending' AND attempts = 0") == 1);
}

TEST_CASE("a handler that never returns is left behind, without its job") {
  struct Shared {
    std::atomic<bool> began{false};
    std::atomic<bool> goes_on{true};
    std::atomic<bool> returned{false};
  };
  const auto shared = std::make_shared<Shared>();
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue("1");
  Told told;
  auto worker = q.worker("w", told.options());
  Running run(worker, [shared](Job&) {
    shared->began = true;
    while (shared->goes_on) std::this_thread::sleep_for(1ms);
    shared->returned = true;
  });
  wait_until([&] { return shared->began.load(); });
  worker.stop();
  CHECK(file.count("_honker_live WHERE state = 'processing'") == 1);
  worker.stop();  // at once
  const auto report = run.ended();
  CHECK(report->released == 1);
  CHECK(report->settled == 0);
  CHECK(report->running == 1);
  CHECK(told.says("0 jobs settled, 1 released, 1 still running") == 1);
  CHECK_FALSE(shared->returned);
  CHECK(file.count("_honker_live WHERE state = 'pending' AND attempts = 0") == 1);
  shared->goes_on = false;
  wait_until([&] { return shared->returned.load(); });
  CHECK(file.count("_honker_live WHERE state = 'pending' AND attempts = 0") == 1);
}

TEST_CASE("a worker says once that the file is locked, and goes on when it is not") {
  const File file(impatient());
  const auto q = file.db.queue("q");
  q.enqueue_many({"1", "2"});
  honker::Database other(file.path);
  std::optional<honker::Transaction> tx;
  Told told;
  auto worker = q.worker("w", told.options());
  std::atomic<int> done{0};
  Running run(worker, [&](Job& job) {
    if (job.payload() == "1") {
      tx = other.begin();  // the job cannot be settled
      return;
    }
    ++done;
  });
  wait_until([&] { return told.says("HONKER_BUSY") > 0; });
  std::this_thread::sleep_for(300ms);  // some more tries
  CHECK(told.says("HONKER_BUSY") == 1);
  CHECK(done == 0);
  tx.reset();
  wait_until([&] { return done == 1; });
  CHECK(run.stop()->settled == 2);
  CHECK(told.warnings.size() == 1);
  CHECK(told.says("works again") == 1);
}

TEST_CASE("a worker whose file is locked when it opens it, and when it claims") {
  const File file(impatient());
  const auto q = file.db.queue("q");
  q.enqueue("1");
  for (const bool by_path : {true, false}) {
    std::optional<honker::Transaction> tx = file.db.begin();
    honker::Database other(file.path, impatient());
    Told told;
    auto worker = by_path ? honker::Worker(file.path, {{"q"}}, "w", told.options(), impatient())
                          : other.queue("q").worker("w", told.options());
    std::atomic<bool> done{false};
    Running run(worker, [&](Job&) { done = true; });
    wait_until([&] { return told.says("cannot go on for now, and tries again: HONKER_BUSY") == 1; });
    CHECK_FALSE(done);
    tx.reset();
    wait_until([&] { return done.load(); });
    CHECK(run.stop()->settled == 1);
    CHECK(told.warnings.size() == 1);
    q.enqueue("1");
  }
}

TEST_CASE("what was in hand when a worker is stopped is settled or released when the file is free") {
  for (const int stops : {1, 2}) {
    const File file(impatient());
    const auto q = file.db.queue("q");
    q.enqueue("1");
    honker::Database other(file.path);
    std::optional<honker::Transaction> tx;
    Told told;
    auto worker = q.worker("w", told.options());
    Running run(worker, [&](Job& job) {
      tx = other.begin();  // the job cannot be settled
      for (int i = 0; i < stops; ++i) worker.stop();
      if (stops == 1) return;
      CHECK(job.wait_cancelled(long_time));
      wait_until([&] { return told.says("HONKER_BUSY") > 0; });  // until its release has been tried
    });
    wait_until([&] { return told.says("HONKER_BUSY") > 0; });
    tx.reset();
    const auto report = run.ended();
    REQUIRE(report.ok());
    CHECK(report->settled == (stops == 1 ? 1 : 0));
    CHECK(report->released == (stops == 1 ? 0 : 1));
    CHECK(file.count("_honker_live WHERE state = 'pending' AND attempts = 0") == report->released);
  }
}

TEST_CASE("a stop does not wait for ever for a file that stays locked") {
  const File file(impatient());
  const auto q = file.db.queue("q");
  q.enqueue("1");
  honker::Database other(file.path);
  std::optional<honker::Transaction> tx;
  auto worker = q.worker("w");
  const auto ended = worker.run(std::nothrow, [&](Job&) {
    tx = other.begin();
    worker.stop();
    worker.stop();
  });
  REQUIRE_FALSE(ended.ok());
  CHECK(ended.error().is_busy());
}

TEST_CASE("a job that cannot be settled is retried, and does not keep the others from it") {
  const File file;
  const auto q = file.db.queue("q");
  refuse_poison(file, "DELETE");
  q.enqueue_many({"poison", "1", "2", "3"});
  Told told;
  auto options = told.options();
  options.concurrency = 4;
  options.retry_base_s = 60;
  auto worker = q.worker("w", options);
  Running run(worker, [](Job&) {});
  // The job that goes back may be written before the last of the others is settled.
  wait_until([&] { return file.count("_honker_live") == 1; });
  wait_until([&] { return file.count("_honker_live WHERE state = 'pending' AND run_at > unixepoch()") == 1; });
  CHECK(run.stop()->settled == 4);
  CHECK(told.says("cannot settle job 1, and retries it: HONKER_CONSTRAINT") == 1);
}

TEST_CASE("a job that nothing can be done about is left to the end of its claim") {
  const File file;
  const auto q = file.db.queue("q");
  refuse_poison(file, "DELETE");
  refuse_poison(file, "UPDATE OF run_at");
  q.enqueue_many({"poison", "1", "2"});
  Told told;
  auto worker = q.worker("w", told.options());
  Running run(worker, [](Job&) {});
  wait_until([&] { return told.says("leaves it to the end of its claim") == 1; });
  wait_until([&] { return file.count("_honker_live") == 1; });
  CHECK(file.count("_honker_live WHERE state = 'processing'") == 1);
  CHECK(run.stop()->settled == 2);
}

TEST_CASE("an interrupt ends no worker") {
  const File file;
  const auto q = file.db.queue("q");
  Told told;
  auto worker = q.worker("w", told.options());
  std::atomic<int> done{0};
  Running run(worker, [&](Job&) { ++done; });
  for (int i = 0; i < 20; ++i) {
    file.db.interrupt();
    std::this_thread::sleep_for(2ms);
  }
  q.enqueue("1");
  wait_until([&] { return done == 1; });
  CHECK(run.stop().ok());
  CHECK(told.warnings.empty());
}

TEST_CASE("a handler may end its thread") {
  const File file;
  const auto q = file.db.queue("q", 300, 1);
  q.enqueue_many({"exit", "exit", "1"});
  Told told;
  auto worker = q.worker("w", told.options());
  std::atomic<bool> done{false};
  Running run(worker, [&](Job& job) {
    if (job.payload() == "exit") pthread_exit(nullptr);
    done = true;
  });
  wait_until([&] { return done.load(); });
  CHECK(run.stop()->settled == 3);
  CHECK(told.failures.size() == 2);
  CHECK(contains(q.dead_json(), "ended its thread"));
}

#ifdef __GLIBC__

TEST_CASE("a worker that can start no more threads goes on with those it has") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue("first");
  pthread_attr_t before;
  pthread_attr_t too_large;
  REQUIRE(pthread_getattr_default_np(&before) == 0);
  REQUIRE(pthread_getattr_default_np(&too_large) == 0);
  REQUIRE(pthread_attr_setstacksize(&too_large, std::size_t{1} << 50) == 0);
  Told told;
  auto options = told.options();
  options.concurrency = 4;
  auto worker = q.worker("w", options);
  std::atomic<int> done{0};
  Running run(worker, [&](Job& job) {
    if (job.payload() == "first") {
      CHECK(pthread_setattr_default_np(&too_large) == 0);
      q.enqueue_many({"1", "2", "3", "4", "5", "6"});
      wait_until([&] { return told.says("goes on with 1 of 4 threads for now: HONKER_SYSTEM: ") == 1; });
    }
    ++done;
  });
  wait_until([&] { return done == 7; });
  CHECK(pthread_setattr_default_np(&before) == 0);
  pthread_attr_destroy(&before);
  pthread_attr_destroy(&too_large);
  // What had no thread did not wait for one: another worker may have it.
  const auto report = run.stop();
  CHECK(report->settled == 7);
  CHECK(report->released > 0);
  CHECK(told.warnings.size() == 1);
}

#endif

TEST_CASE("a handler may close the database, and do with its job what it likes") {
  const File file;
  file.db.queue("q").enqueue_many({"1"});
  honker::Database own(file.path);
  auto worker = own.queue("q").worker("w");
  const auto ended = worker.run(std::nothrow, [&](Job&) { own.close(); });
  REQUIRE_FALSE(ended.ok());
  CHECK(ended.error().is_closed());
  CHECK(file.count("_honker_live WHERE state = 'processing'") == 1);

  const auto q = file.db.queue("other");
  q.enqueue_many({"1", "2"});
  auto second = q.worker("w");
  std::optional<Job> kept;
  const auto report = second.run([&](Job& job) {
    if (job.payload() == "1") {
      kept = std::move(job);
      return;
    }
    CHECK(job.ack());
    CHECK_FALSE(job.ack());
    second.stop();
  });
  CHECK(report.settled == 2);
  CHECK(kept->payload() == "1");
  CHECK_FALSE(kept->ack());
  CHECK(file.count("_honker_live WHERE queue = 'other'") == 0);
}

TEST_CASE("a worker's settings are checked, and one run at a time") {
  const File file;
  const auto handler = [](Job&) {};
  const auto refused = [&](auto change) {
    WorkerOptions options;
    change(options);
    return status_of([&] { file.db.queue("q").worker("w", options).run(handler); });
  };
  CHECK(refused([](auto& o) { o.concurrency = 0; }) == HONKER_INVALID);
  CHECK(refused([](auto& o) { o.concurrency = smallest; }) == HONKER_INVALID);
  CHECK(refused([](auto& o) { o.max_run_s = 0; }) == HONKER_INVALID);
  CHECK(refused([](auto& o) { o.max_run_s = largest; }) == HONKER_INVALID);
  CHECK(refused([](auto& o) { o.retry_factor = 0; }) == HONKER_INVALID);
  CHECK_FAILS(HONKER_INVALID, file.db.worker({}, "w").run(handler));
  CHECK_FAILS(HONKER_INVALID, file.db.worker({{"a"}, {"a"}}, "w").run(handler));
  CHECK_FAILS(HONKER_INVALID, file.db.worker({{std::string("a\0b", 3)}}, "w").run(handler));
  CHECK_FAILS(HONKER_UTF8, file.db.worker({{"a"}}, "\xff").run(handler));
  CHECK_FAILS(HONKER_INVALID, file.db.worker({{"a"}}, "w").run(std::function<void(Job&)>()));

  file.db.queue("q").enqueue("1");
  WorkerOptions many;
  many.concurrency = 10000;  // as many threads as there are jobs
  auto worker = file.db.queue("q").worker("w", many);
  const auto report = worker.run([&](Job&) {
    CHECK_FAILS(HONKER_MISUSE, worker.run(handler));
    worker.stop();
  });
  CHECK(report.settled == 1);
}

#if defined(__unix__) || defined(__APPLE__)

TEST_CASE("a worker goes on with the file that took the place of its own") {
  const Directory directory;
  const std::string path = directory / "app.db";
  Told told;
  for (const bool by_path : {false, true}) {
    honker::Database db(path);
    db.queue("q").enqueue("old");
    auto worker =
        by_path ? honker::Worker(path, {{"q"}}, "w", told.options()) : db.queue("q").worker("w", told.options());
    std::atomic<bool> began{false};
    std::atomic<bool> cancelled{false};
    std::atomic<bool> done{false};
    Running run(worker, [&](Job& job) {
      if (job.payload() == "old") {
        began = true;
        cancelled = job.wait_cancelled(long_time) && job.cancel_reason() == honker::CancelReason::file;
      } else {
        done = true;
      }
    });
    wait_until([&] { return began.load(); });
    { honker::Database(directory / "new.db").queue("q").enqueue("new"); }
    // The old file goes first: who opened it without its log would find it as it was some time ago.
    std::filesystem::rename(path, path + ".old");
    for (const char* of_old : {"-wal", "-shm"}) std::filesystem::remove(path + of_old);
    std::filesystem::rename(directory / "new.db", path);
    wait_until([&] { return cancelled && done; });
    wait_until([&] { return honker::Database(path).query("SELECT id FROM _honker_live").empty(); });
    const auto report = run.stop();
    REQUIRE(report.ok());
    CHECK(report->settled == 1);
    std::filesystem::remove(path);
  }
  CHECK(told.says("opens its file anew: HONKER_WATCHER") == 2);
}

TEST_CASE("a worker waits for its file, and for its folder") {
  const Directory directory;
  std::atomic<bool> done{false};
  Told told;
  honker::Worker worker(directory / "later/app.db", {{"q"}}, "w", told.options());
  Running run(worker, [&](Job& job) {
    auto tx = job.begin();
    tx.execute("CREATE TABLE done (x)");
    CHECK(job.ack_tx(tx));
    tx.commit();
    done = true;
  });
  wait_until([&] { return told.says("there is no such file yet") == 1; });
  std::filesystem::create_directory(directory / "later");
  CHECK_FALSE(std::filesystem::exists(directory / "later/app.db"));
  honker::Database db(directory / "later/app.db");
  db.queue("q").enqueue("1");
  wait_until([&] { return done.load(); });
  CHECK(run.stop().ok());
  CHECK(db.query("SELECT id FROM _honker_live").empty());
  CHECK(db.query("SELECT x FROM done").empty());
  CHECK(told.warnings.size() == 1);

  // Stopped while it waits.
  honker::Worker other(directory / "never/app.db", {{"q"}}, "w", told.options());
  Running waiting(other, [](Job&) {});
  wait_until([&] { return told.says("there is no such file yet") == 2; });
  CHECK(waiting.stop().ok());
}

TEST_CASE("signals stop a worker, but for those that the program handles") {
  static std::atomic<int> own{0};
  struct sigaction of_tests = {};
  struct sigaction mine = {};
  mine.sa_handler = [](int) { ++own; };
  REQUIRE(sigaction(SIGINT, &mine, nullptr) == 0);
  mine.sa_handler = SIG_DFL;
  REQUIRE(sigaction(SIGTERM, &mine, &of_tests) == 0);
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue_many({"1", "2"});
  Told told;
  auto options = told.options();
  options.stop_timeout = honker::forever;
  auto worker = q.worker("w", options);
  const auto report = worker.run([&](Job& job) {
    raise(SIGINT);  // in this thread, before it returns: two signals that are pending for the process may be one
    CHECK_FALSE(job.wait_cancelled(50ms));
    raise(SIGTERM);
    CHECK_FALSE(job.wait_cancelled(50ms));
    raise(SIGTERM);
    CHECK(job.wait_cancelled(long_time));
    throw std::runtime_error("stopped");
  });
  CHECK(own == 1);
  CHECK(report.released == 1);
  CHECK(file.count("_honker_live WHERE state = 'pending' AND attempts = 0") == 2);
  struct sigaction now = {};
  sigaction(SIGTERM, nullptr, &now);
  CHECK((now.sa_handler == SIG_DFL));
  sigaction(SIGTERM, &of_tests, nullptr);
  sigaction(SIGINT, &of_tests, nullptr);
}

TEST_CASE("middleware goes around each job") {
  const File file;
  const auto q = file.db.queue("q", 300, 1);
  q.enqueue_many({"good", "bad", "odd", "skipped"});
  Told told;
  auto options = told.options();
  std::vector<std::string> seen;
  options.middleware.push_back([&](Job& job, const honker::Handler& next) {
    seen.push_back("outer " + job.payload());
    try {
      return next(job);
    } catch (const std::runtime_error&) {
      return Outcome::discard("by the middleware");
    }
  });
  options.middleware.push_back([&](Job& job, const honker::Handler& next) {
    if (job.payload() == "skipped") return Outcome::snooze(60);
    seen.push_back("inner " + job.payload());
    return next(job);
  });
  auto worker = q.worker("w", options);
  Running run(worker, [](Job& job) {
    if (job.payload() == "bad") throw std::runtime_error("no such address");
    if (job.payload() == "odd") throw NoException();
  });
  wait_until([&] { return file.count("_honker_live WHERE run_at <= unixepoch()") == 0; });
  CHECK(run.stop().ok());
  CHECK(seen == std::vector<std::string>{"outer good", "inner good", "outer bad", "inner bad", "outer odd", "inner odd",
                                         "outer skipped"});
  CHECK(contains(q.dead_json(), "by the middleware"));
  CHECK(contains(q.dead_json(), "no std::exception"));
  CHECK(contains(q.stats_json(), R"("pending":0,"delayed":1)"));
}

TEST_CASE("a failure says what it was nested around, and how large a payload is does not matter") {
  const File file;
  const auto q = file.db.queue("q", 300, 1);
  const std::string large(10 << 20, 'x');
  q.enqueue(large);
  Told told;
  auto worker = q.worker("w", told.options());
  Running run(worker, [&](Job& job) {
    CHECK(job.payload() == large);
    try {
      throw std::runtime_error("connection refused");
    } catch (...) {
      std::throw_with_nested(std::runtime_error("no mail was sent"));
    }
  });
  wait_until([&] { return file.count("_honker_dead") == 1; });
  CHECK(run.stop().ok());
  CHECK(told.failures == std::vector<std::string>{"no mail was sent: connection refused"});
}

TEST_CASE("a file that has no room to grow keeps a worker from its work for as long") {
  const File file;
  const auto q = file.db.queue("q", 300, 1);
  q.enqueue("1");
  signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  Told told;
  auto worker = q.worker("w", told.options());
  Running run(worker, [&](Job&) {
    rlimit none = before;
    none.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_FSIZE, &none) == 0);
    throw std::runtime_error("what is kept of the job");
  });
  wait_until([&] { return told.says("cannot go on for now, and tries again: HONKER_") == 1; });
  CHECK(file.count("_honker_live") == 1);
  CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
  wait_until([&] { return file.count("_honker_dead") == 1; });
  CHECK(run.stop()->settled == 1);
  CHECK(told.warnings.size() == 1);
}

#endif

#ifdef __cpp_lib_jthread

TEST_CASE("a worker that a token stops") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue("1");
  auto worker = q.worker("w");
  std::stop_source source;
  CHECK(worker.run(source.get_token(), [&](Job&) { source.request_stop(); }).settled == 1);
  CHECK(worker.run(source.get_token(), [&](Job&) {}).settled == 0);
}

TEST_CASE("a handler that is cancelled has a token of it") {
  const File file;
  const auto q = file.db.queue("q");
  const auto id = q.enqueue("1");
  auto worker = q.worker("w");
  std::atomic<bool> called{false};
  Running run(worker, [&](Job& job) {
    const std::stop_callback on_stop(job.stop_token(), [&] { called = true; });
    CHECK_FALSE(job.stop_token().stop_requested());
    honker::Database(file.path).queue("q").cancel(id);
    wait_until([&] { return called.load(); });
    CHECK(job.stop_token().stop_requested());
  });
  wait_until([&] { return called.load(); });
  CHECK(run.stop().ok());
  q.enqueue("2");
  CHECK_FALSE(q.claim_one("w")->stop_token().stop_possible());
}

#endif
