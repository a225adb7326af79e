// Threads that share a database.

#include <atomic>
#include <chrono>
#include <set>
#include <thread>
#include <vector>

#include "support.hpp"

namespace {

template <class Body>
void in_threads(int count, Body&& body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
  for (auto& thread : threads) thread.join();
}

}  // namespace

TEST_CASE("eight threads, one database, one queue: every job once") {
  const File file;
  const auto q = file.db.queue("q");
  constexpr int threads = 8;
  constexpr int jobs = 50;
  std::atomic<int> failures{0};
  std::vector<std::vector<std::int64_t>> done(threads);
  in_threads(threads, [&](int thread) {
    try {
      const std::string worker = "w" + std::to_string(thread);
      for (int i = 0; i < jobs; ++i) {
        q.enqueue(worker);
        if (i % 5 == 0) {
          auto tx = file.db.begin();
          q.enqueue_tx(tx, worker);
          if (i % 10 == 0) tx.commit();
        }
        file.db.stream("s").publish(worker);
        file.db.query("SELECT count(*) FROM _honker_live");
        while (auto job = q.claim_one(worker)) {
          if (!job->ack()) ++failures;
          done[static_cast<std::size_t>(thread)].push_back(job->id());
        }
      }
    } catch (const std::exception&) {
      ++failures;
    }
  });
  CHECK(failures == 0);
  std::set<std::int64_t> all;
  std::size_t total = 0;
  for (const auto& ids : done) {
    all.insert(ids.begin(), ids.end());
    total += ids.size();
  }
  CHECK(total == threads * (jobs + jobs / 10));
  CHECK(all.size() == total);
  CHECK(file.count("_honker_live") == 0);
  CHECK(file.count("_honker_stream") == threads * jobs);
}

TEST_CASE("a transaction and a job move between threads") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue("1");
  auto job = q.claim_one("w");
  auto tx = file.db.begin();
  std::thread([&, moved = std::move(tx)]() mutable {
    job->ack_tx(moved);
    moved.commit();
  }).join();
  CHECK(file.count("_honker_live") == 0);
}

TEST_CASE("close ends what other threads are waiting for") {
  File file;
  auto tx = file.db.begin();
  std::atomic<int> closed{0};
  std::atomic<int> started{0};
  std::thread closer([&] {
    while (started < 4) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    file.db.close();
  });
  in_threads(4, [&](int) {
    ++started;
    try {
      file.db.queue("q").enqueue("1");  // waits for the transaction
    } catch (const honker::ClosedError&) {
      ++closed;
    }
  });
  closer.join();
  CHECK(closed == 4);
}

TEST_CASE("interrupt ends what other threads are waiting for") {
  const File file;
  auto tx = file.db.begin();
  std::atomic<bool> interrupted{false};
  std::thread waiting([&] {
    try {
      file.db.queue("q").enqueue("1");
    } catch (const honker::InterruptedError&) {
      interrupted = true;
    }
  });
  while (!interrupted) {
    file.db.interrupt();  // again, should it have come before the call
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  waiting.join();
  tx.rollback();
  CHECK(file.db.queue("q").enqueue("1") > 0);
}

TEST_CASE("a lock that threads fight for") {
  const File file;
  std::atomic<int> holders{0};
  std::atomic<int> taken{0};
  std::atomic<bool> shared{false};
  in_threads(8, [&](int) {
    for (int i = 0; i < 20; ++i) {
      if (auto lock = file.db.try_lock("l")) {
        if (++holders > 1) shared = true;
        ++taken;
        --holders;
      }
    }
  });
  CHECK_FALSE(shared);
  CHECK(taken > 0);
  CHECK(file.count("_honker_locks") == 0);
}
