// Workers: what becomes of jobs, how many run at a time, what stops them, and what does not.

#include <pthread.h>

#include <atomic>
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
  std::vector<std::string> errors;

  WorkerOptions options() {
    WorkerOptions options;
    options.retry_base_s = 0;
    options.on_failure = [this](const Failure& failure) {
      const std::lock_guard<std::mutex> lock(mutex);
      failures.push_back(failure.outcome.error());
      throw std::runtime_error("of the callback's own");
    };
    options.on_error = [this](const honker::Error& error) {
      const std::lock_guard<std::mutex> lock(mutex);
      errors.push_back(error.name());
      throw NoException();
    };
    return options;
  }

  std::size_t errors_told() {
    const std::lock_guard<std::mutex> lock(mutex);
    return errors.size();
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
      return file.count("_honker_live WHERE state = 'pending' AND run_at <= unixepoch()") == 0 &&
             file.count("_honker_dead") == 5;
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
  CHECK(told.errors.empty());
  CHECK(report.released == 4);
  CHECK(report.settled == 12);
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
  const auto q = file.db.queue("q", 1);
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
    seen = job.wait_cancelled(long_time);
    throw std::runtime_error("cancelled");
  });
  wait_until([&] { return began.load(); });
  CHECK(honker::Database(file.path).queue("q").cancel(id));
  wait_until([&] { return seen.load(); });
  const auto report = run.stop();
  CHECK(report->settled == 0);
  CHECK(told.failures.empty());
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
  Running run(worker, [&](Job& job) { seen = job.wait_cancelled(long_time); });
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
  options.finish_limit = 1ms;
  options.cancel_limit = honker::forever;
  auto worker = q.worker("w", options);
  const auto report = worker.run([&](Job& job) {
    worker.stop();
    CHECK(job.wait_cancelled(long_time));
    throw std::runtime_error("interrupted");
  });
  CHECK(report.released == 1);
  CHECK(told.failures.empty());
  CHECK(file.count("_honker_live WHERE state = 'pending' AND attempts = 0") == 1);
}

TEST_CASE("a handler that ignores that it is cancelled loses its job, and nothing else") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue("1");
  auto worker = q.worker("w");
  std::atomic<bool> began{false};
  std::atomic<bool> goes_on{true};
  Running run(worker, [&](Job&) {
    began = true;
    while (goes_on) std::this_thread::sleep_for(1ms);
  });
  wait_until([&] { return began.load(); });
  worker.stop();
  CHECK(file.count("_honker_live WHERE state = 'processing'") == 1);
  worker.stop();  // at once
  wait_until([&] { return file.count("_honker_live WHERE state = 'pending' AND attempts = 0") == 1; });
  goes_on = false;
  const auto report = run.ended();
  CHECK(report->released == 1);
  CHECK(report->settled == 0);
  CHECK(file.count("_honker_live") == 1);
}

TEST_CASE("a worker says once that the file is locked, and goes on when it is not") {
  honker::Options file_options;
  file_options.busy_timeout_ms = 5;
  const File file(file_options);
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
  wait_until([&] { return told.errors_told() > 0; });
  std::this_thread::sleep_for(300ms);  // some more tries
  CHECK(told.errors_told() == 1);
  CHECK(done == 0);
  tx.reset();
  wait_until([&] { return done == 1; });
  CHECK(run.stop()->settled == 2);
  CHECK(told.errors == std::vector<std::string>{"HONKER_BUSY"});
}

TEST_CASE("a job that cannot be settled does not keep the others from it") {
  const File file;
  const auto q = file.db.queue("q");
  file.run("CREATE TABLE never (x CHECK (x <> 'poison'))");
  file.run("CREATE TRIGGER refuse BEFORE DELETE ON _honker_live BEGIN INSERT INTO never VALUES (OLD.payload); END");
  q.enqueue_many({"poison", "1", "2", "3"});
  Told told;
  auto options = told.options();
  options.concurrency = 4;
  auto worker = q.worker("w", options);
  Running run(worker, [](Job&) {});
  wait_until([&] { return file.count("_honker_live") == 1; });
  wait_until([&] { return told.errors_told() == 1; });
  CHECK(run.stop()->settled == 3);
  CHECK(told.errors == std::vector<std::string>{"HONKER_CONSTRAINT"});
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
  CHECK(told.errors.empty());
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
  CHECK(report.settled == 1);
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

TEST_CASE("a worker ends with an error when its file was replaced") {
  const Directory directory;
  const std::string path = directory / "app.db";
  honker::Database db(path);
  auto worker = db.queue("q").worker("w");
  Running run(worker, [](Job&) {});
  { honker::Database(directory / "new.db").notify("c", "1"); }
  std::filesystem::rename(directory / "new.db", path);
  const auto ended = run.ended();
  REQUIRE_FALSE(ended.ok());
  CHECK(std::string(ended.error().name()) == "HONKER_WATCHER");
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

#endif
