// Waiting: for commits, notifications, events and results; how it ends, and what a descriptor says.

#include <atomic>
#include <thread>
#include <vector>

#include "support.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <poll.h>
#endif

using honker::Timeout;

TEST_CASE("timeouts") {
  static_assert(Timeout(5s).ms() == 5000);
  static_assert(Timeout(0s).ms() == 0);
  static_assert(Timeout(-1ms).ms() == 0);
  static_assert(Timeout(1us).ms() == 1);
  static_assert(Timeout(1000001us).ms() == 1001);
  static_assert(Timeout(std::chrono::duration<double>(0.25)).ms() == 250);
  static_assert(Timeout(std::chrono::hours::max()).ms() == -1);
  static_assert(Timeout(std::chrono::hours::min()).ms() == 0);
  static_assert(Timeout(std::chrono::nanoseconds::max()).ms() == 9223372036855);
  static_assert(honker::forever.ms() == -1);
  static_assert(!std::is_convertible_v<int, Timeout>);
}

TEST_CASE("updates: commits wake, nothing else does") {
  for (const char* backend : {"auto", "polling", "kernel", "shm"}) {
    INFO(backend);
    const Directory directory;
    honker::Database db(directory / "app.db", "", backend, 2);
    honker::Database other(directory / "app.db");
    auto updates = db.updates();
    CHECK_FALSE(updates.wait(0ms));
    CHECK(time_of([&] { CHECK_FALSE(updates.wait(30ms)); }) >= 30ms);
    other.notify("c", "1");
    CHECK(updates.wait(long_time));
    db.notify("c", "1");
    CHECK(updates.wait(long_time));
    {
      const Joined committing(soon([&] { other.notify("c", "2"); }));
      CHECK(updates.wait());
    }
  }
}

TEST_CASE("what the database is opened with is what watches") {
  const Directory directory;
  const std::string path = directory / "app.db";
  honker::Options options;
  options.watcher_backend = "polling";
  options.watcher_poll_interval_ms = 500;
  honker::Database db(path, options);
  honker::Database other(path);
  auto updates = db.updates();
  other.notify("c", "1");
  CHECK(updates.wait(long_time));

  options.watcher_backend = "POLLING";
  CHECK_FAILS(HONKER_INVALID, honker::Database(path, options));
  options.watcher_backend = "polling";
  options.watcher_poll_interval_ms = 0;
  CHECK_FAILS(HONKER_INVALID, honker::Database(path, options));
  const auto text = [&](std::string_view backend, std::int64_t interval_ms) {
    return std::string(honker::Database::open(std::nothrow, path, "", backend, interval_ms).error().what());
  };
  CHECK(contains(text(" polling ", 1), "unknown watcher backend"));
  CHECK(contains(text("polling", 0), "poll interval must be positive"));
  CHECK(contains(text("", smallest), "poll interval must be positive"));
  options.journal_mode = honker::JournalMode::remove;
  options.watcher_backend = "shm";
  options.watcher_poll_interval_ms = 1;
  const Directory no_wal;
  CHECK(contains(honker::Database::open(std::nothrow, no_wal / "app.db", options).error().what(), "probe failed"));
}

namespace {

// A wait for each thing that is waited for. All are for what never comes.
struct Waits {
  File file;
  honker::Updates updates = file.db.updates();
  honker::Subscription subscription = file.db.listen("never");
  honker::StreamSubscription events = file.db.stream("never").subscribe("c");
  honker::Jobs jobs = file.db.queue("never").jobs("w");
  honker::Leader leader = file.db.scheduler().leader("me");
  std::atomic<bool> stop{false};

  // Calls `body(wait)` for each of them, with a function that waits.
  template <class Body>
  void each(Body&& body) {
    body(updates, [&] { return updates.wait(std::nothrow, long_time); });
    body(subscription, [&] { return subscription.recv(std::nothrow, long_time); });
    body(events, [&] { return events.next(std::nothrow, long_time); });
    body(jobs, [&] { return jobs.next(std::nothrow, long_time); });
    body(leader, [&] { return leader.next(std::nothrow, long_time); });
  }
};

bool is_empty(bool found) { return !found; }
template <class T>
bool is_empty(const T& found) {
  if constexpr (std::is_same_v<T, std::vector<honker::ScheduledFire>>) {
    return found.empty();
  } else {
    return !found.has_value();
  }
}

}  // namespace

TEST_CASE("a wake from another thread ends a wait, or the next one") {
  Waits waits;
  CHECK_FALSE(waits.leader.leads());
  CHECK(waits.leader.next(0ms).empty());  // it leads now, which is a commit
  CHECK(waits.leader.leads());
  CHECK(waits.updates.wait(long_time));
  waits.each([&](auto& waiter, auto wait) {
    waiter.wake();
    waiter.wake();
    const auto first = wait();
    REQUIRE(first.ok());
    CHECK(is_empty(*first));
    const Joined waking(soon([&] { waiter.wake(); }));
    const auto second = wait();
    REQUIRE(second.ok());
    CHECK(is_empty(*second));
  });
}

TEST_CASE("a wake ends the wait that is meant, and no other") {
  const File file;
  auto woken = file.db.listen("never");
  auto waiting = file.db.listen("c");
  std::optional<honker::Notification> found;
  {
    const Joined other(std::thread([&] { found = waiting.recv(long_time); }));
    for (int i = 0; i < 20; ++i) {
      woken.wake();
      CHECK_FALSE(woken.recv(long_time).has_value());
      std::this_thread::sleep_for(2ms);
    }
    auto closed = file.db.listen("never");
    closed.close();
    file.db.notify("c", "1");
  }
  REQUIRE(found.has_value());
  CHECK(found->payload == "1");
}

TEST_CASE("an interrupt ends the waits that are running") {
  Waits waits;
  waits.each([&](auto&, auto wait) {
    std::atomic<bool> over{false};
    const Joined interrupting(std::thread([&] {
      while (!over) {
        waits.file.db.interrupt();
        std::this_thread::sleep_for(5ms);
      }
    }));
    const auto waited = wait();
    over = true;
    REQUIRE_FALSE(waited.ok());
    CHECK(waited.error().is_interrupted());
  });
}

TEST_CASE("close ends the wait that is running, and all later ones") {
  Waits waits;
  waits.each([&](auto& waiter, auto wait) {
    {
      const Joined closing(soon([&] { waiter.close(); }));
      CHECK_REFUSED(HONKER_CLOSED_HANDLE, wait());
    }
    CHECK_REFUSED(HONKER_CLOSED_HANDLE, wait());
    CHECK_REFUSED(HONKER_CLOSED_HANDLE, waiter.wake(std::nothrow));
    CHECK(contains(waiter.wake(std::nothrow).error().what(), "has been closed"));
    waiter.close();
  });
  CHECK(waits.file.db.notify("never", "1") == 1);  // the database is open
}

TEST_CASE("closing the database ends every wait") {
  Waits waits;
  std::vector<std::thread> threads;
  std::vector<std::string> outcomes(9);
  std::atomic<int> started{0};
  const auto q = waits.file.db.queue("never");
  const auto outbox = waits.file.db.outbox("never", [](std::string_view) {});
  const auto scheduler = waits.file.db.scheduler();
  auto worker = q.worker("w2");
  const auto in_thread = [&](auto body) {
    threads.emplace_back([&started, &outcome = outcomes[threads.size()], body] {
      ++started;
      const auto waited = body();
      outcome = waited.ok() ? "no error" : waited.error().name();
    });
  };
  in_thread([&] {
    auto waited = waits.updates.wait(std::nothrow);
    while (waited.ok() && *waited) waited = waits.updates.wait(std::nothrow);  // one of the leaders leads
    return waited;
  });
  in_thread([&] { return waits.subscription.recv(std::nothrow, honker::forever); });
  in_thread([&] { return waits.events.next(std::nothrow); });
  in_thread([&] { return waits.jobs.next(std::nothrow); });
  in_thread([&] { return worker.run(std::nothrow, [](honker::Job&) {}); });
  in_thread([&] { return waits.leader.next(std::nothrow); });
  in_thread([&] { return scheduler.run(std::nothrow, waits.stop, "other"); });
  in_thread([&] { return outbox.run(std::nothrow, "w", waits.stop); });
  in_thread([&] { return q.wait_result(std::nothrow, 1); });
  while (started < 9) std::this_thread::yield();
  std::this_thread::sleep_for(50ms);
  waits.file.db.close();
  for (auto& thread : threads) thread.join();
  for (const auto& outcome : outcomes) CHECK(outcome == "HONKER_CLOSED_HANDLE");
  CHECK_FAILS(HONKER_CLOSED_HANDLE, waits.file.db.updates());
  CHECK_FAILS(HONKER_CLOSED_HANDLE, waits.events.ack());
  waits.jobs.close();
}

TEST_CASE("what waits outlives its database, and moves") {
  const Directory directory;
  auto db = std::make_unique<honker::Database>(directory / "app.db");
  auto listener = db->listen("c");
  const auto q = db->queue("q");
  auto jobs = q.jobs("w");
  db->notify("c", "1");
  db.reset();
  q.enqueue("2");
  CHECK(listener.recv()->payload == "1");
  auto moved = std::move(jobs);
  CHECK(moved.next(0ms)->payload() == "2");
  CHECK_FAILS(HONKER_MISUSE, jobs.next(0ms));
  CHECK_FAILS(HONKER_MISUSE, jobs.wake());
  CHECK_FAILS(HONKER_MISUSE, jobs.close());
  CHECK(jobs.token() == 0);
  jobs = std::move(moved);
  CHECK_FALSE(jobs.next(0ms).has_value());
  static_assert(!std::is_copy_constructible_v<honker::Updates>);
  static_assert(std::is_nothrow_move_constructible_v<honker::Jobs>);
}

TEST_CASE("one thread at a time") {
  const File file;
  auto listener = file.db.listen("c");
  {
    // Either finds the other one in its call: this one as soon as the other waits.
    const Joined waking(std::thread([&] {
      auto looked = listener.recv(std::nothrow, 0ms);
      while (looked.ok()) {
        std::this_thread::sleep_for(1ms);
        looked = listener.recv(std::nothrow, 0ms);
      }
      CHECK(std::string(looked.error().name()) == "HONKER_MISUSE");
      listener.wake();
    }));
    auto waited = listener.recv(std::nothrow, long_time);
    while (!waited.ok() && waited.error().status() == HONKER_MISUSE) waited = listener.recv(std::nothrow, long_time);
    REQUIRE(waited.ok());
    CHECK_FALSE(waited->has_value());
  }
}

#if defined(__unix__) || defined(__APPLE__)

namespace {

bool is_readable(int fd) {
  pollfd waiting{fd, POLLIN, 0};
  return poll(&waiting, 1, 0) == 1;
}

bool becomes_readable(int fd) {
  pollfd waiting{fd, POLLIN, 0};
  return poll(&waiting, 1, 10000) == 1;
}

}  // namespace

TEST_CASE("an event loop is told which consumers have work, and keeps no clock") {
  const Directory directory;
  honker::Database db(directory / "app.db");
  honker::Database other(directory / "app.db");
  auto listener = db.listen("c");
  auto idle = db.listen("never");
  auto jobs = db.queue("q").jobs("w");
  const auto waiter = db.waiter();
  const int fd = waiter.fd();
  CHECK(db.waiter().fd() == fd);
  // Once each, when they are new; then those that there is something for.
  auto ready = waiter.ready();
  CHECK(ready.tokens.size() == 3);
  CHECK(ready.has(idle));
  CHECK_FALSE(ready.woken);
  CHECK_FALSE(listener.recv(0ms).has_value());
  CHECK_FALSE(idle.recv(0ms).has_value());
  CHECK_FALSE(jobs.next(0ms).has_value());

  // Until the consumer is named, whatever the descriptor says meanwhile.
  const auto named = [&](const auto& consumer) {
    for (int i = 0; i < 1000; ++i) {
      if (!becomes_readable(fd)) return false;
      ready = waiter.ready();
      CHECK_FALSE(ready.has(idle));
      if (ready.has(consumer)) return true;
    }
    return false;
  };
  other.notify("c", "1");
  other.notify("c", "2");
  CHECK(named(listener));
  CHECK_FALSE(waiter.ready().has(listener));  // it has not been asked
  int found = 0;
  while (listener.recv(0ms)) ++found;
  CHECK(found == 2);

  // A job that becomes due: nobody commits.
  other.queue("q").enqueue("later", 1);
  for (bool has_job = false; !has_job;) {
    REQUIRE(named(jobs));
    has_job = jobs.next(0ms).has_value();
  }

  waiter.wake();
  CHECK(becomes_readable(fd));
  CHECK(waiter.ready().woken);
  CHECK_FALSE(waiter.ready().woken);
  listener.close();
  other.notify("c", "3");
  CHECK_FALSE(waiter.ready().has(listener));
  db.close();
  CHECK(is_readable(fd));
  CHECK_FAILS(HONKER_CLOSED_HANDLE, waiter.ready());
}

TEST_CASE("many consumers are all named") {
  const File file;
  std::vector<honker::Subscription> listeners;
  for (int i = 0; i < 150; ++i) listeners.push_back(file.db.listen("c"));
  const auto waiter = file.db.waiter();
  CHECK(waiter.wait(0ms));
  CHECK(waiter.ready().tokens.size() == 150);
  for (auto& listener : listeners) CHECK_FALSE(listener.recv(0ms).has_value());
  file.db.notify("c", "1");
  std::size_t named = 0;
  while (named < 150 && waiter.wait(long_time)) named += waiter.ready().tokens.size();
  CHECK(named == 150);
  for (auto& listener : listeners) CHECK(listener.recv(0ms).has_value());
}

TEST_CASE("a file that is replaced") {
  const Directory directory;
  const std::string path = directory / "app.db";
  honker::Database db(path);
  auto listener = db.listen("c");
  { honker::Database(directory / "new.db").notify("c", "1"); }
  std::filesystem::rename(directory / "new.db", path);
  const auto lost = listener.recv(std::nothrow, long_time);
  REQUIRE_FALSE(lost.ok());
  CHECK(std::string(lost.error().name()) == "HONKER_WATCHER");
  CHECK(contains(lost.error().what(), "watcher died"));
  CHECK_FAILS(HONKER_WATCHER, db.updates().wait(0ms));
}

#endif

TEST_CASE("listen begins now, and misses nothing from then on") {
  const File file;
  file.db.notify("c", "before");
  auto listener = file.db.listen("c");
  CHECK_FALSE(listener.recv(0ms).has_value());
  for (int i = 0; i < 600; ++i) file.db.notify(i % 2 == 0 ? "c" : "d", std::to_string(i));
  {
    auto tx = file.db.begin();
    file.db.notify_tx(tx, "c", "never");
  }
  std::int64_t last = 0;
  for (int i = 0; i < 600; i += 2) {
    const auto notification = listener.recv();
    REQUIRE(notification.has_value());
    CHECK(notification->payload == std::to_string(i));
    CHECK(notification->channel == "c");
    CHECK(notification->id > last);
    CHECK(notification->created_at >= now() - 60);
    last = notification->id;
  }
  CHECK_FALSE(listener.recv(0ms).has_value());

  std::vector<std::string> found;
  const Joined notifying(soon([&] {
    file.db.notify("c", "[1]");
    file.db.notify("c", "not JSON");
    file.db.notify("c", "");
  }));
  for (const auto& notification : listener) {
    found.push_back(notification.payload);
    if (found.size() == 3) listener.wake();
  }
  CHECK(found == std::vector<std::string>{"[1]", "not JSON", ""});
}

TEST_CASE("listeners that are made while others notify") {
  const File file;
  std::atomic<bool> stop{false};
  std::atomic<int> sent{0};
  const Joined notifying(std::thread([&] {
    while (!stop) {
      file.db.notify("c", std::to_string(++sent));
      std::this_thread::sleep_for(1ms);
    }
  }));
  for (int i = 0; i < 20; ++i) {
    auto listener = file.db.listen("c");
    const int at_least = sent + 2;  // one may be on its way
    const auto notification = listener.recv(long_time);
    REQUIRE(notification.has_value());
    CHECK(std::stoi(notification->payload) <= at_least);
  }
  stop = true;
}

TEST_CASE("a subscription replays, follows, and resumes after what was finished") {
  const File file;
  const auto s = file.db.stream("s");
  for (int i = 1; i <= 12; ++i) s.publish(std::to_string(i), i == 1 ? std::optional<std::string_view>() : "");
  {
    honker::SubscribeOptions options;
    options.consumer = "c";
    options.save_every_n = 5;
    options.save_every_ms = 0;  // however long this takes
    auto events = s.subscribe(options);
    CHECK(events.offset() == 0);
    auto first = events.next(0ms);
    REQUIRE(first.has_value());
    CHECK_FALSE(first->has_key);
    for (int i = 2; i <= 12; ++i) {
      const auto event = events.next();
      REQUIRE(event.has_value());
      CHECK(event->payload == std::to_string(i));
      CHECK(event->has_key);
      CHECK(event->key.empty());
      CHECK(events.offset() == event->offset);
    }
    CHECK(s.get_offset("c") == 10);
    events.save_offset();
    CHECK(s.get_offset("c") == 11);
  }
  CHECK(s.get_offset("c") == 11);  // the twelfth was in hand
  {
    honker::SubscribeOptions options;
    options.consumer = "c";
    options.save_every_ms = 0;
    auto events = s.subscribe(options);
    CHECK(events.next(0ms)->payload == "12");
    events.ack();
    events.ack();
    CHECK(s.get_offset("c") == 11);
  }
  CHECK(s.get_offset("c") == 12);
  auto events = s.subscribe("c", 5, 50ms);
  CHECK_FALSE(events.next(0ms).has_value());
  const Joined publishing(soon([&] { s.publish("live"); }));
  CHECK(events.next()->payload == "live");
}

TEST_CASE("a subscription that is left by an exception sees its event again") {
  const File file;
  const auto s = file.db.stream("s");
  for (int i = 1; i <= 3; ++i) s.publish(std::to_string(i));
  try {
    for (const auto& event : s.subscribe("c")) {
      if (event.payload == "2") throw std::runtime_error("cannot handle this");
    }
  } catch (const std::runtime_error&) {
  }
  CHECK(s.get_offset("c") == 1);
  auto events = s.subscribe("c");
  std::vector<std::string> found;
  for (const auto& event : events) {
    found.push_back(event.payload);
    if (event.payload == "3") events.wake();
  }
  CHECK(found == std::vector<std::string>{"2", "3"});
}

TEST_CASE("subscriptions with other settings") {
  const File file;
  const auto s = file.db.stream("s");
  for (int i = 1; i <= 5; ++i) s.publish(std::to_string(i));
  honker::SubscribeOptions options;
  options.from_offset = 3;
  {
    auto events = s.subscribe(options);  // nobody's
    CHECK(events.offset() == 3);
    CHECK(events.next()->payload == "4");
    CHECK(events.next()->payload == "5");
    events.save_offset();
  }
  CHECK(file.count("_honker_stream_consumers") == 0);
  options.consumer = "c";
  options.from_offset = 0;
  options.save_every_n = 0;
  options.save_every_ms = 50;
  {
    auto events = s.subscribe(options);
    CHECK(events.next()->payload == "1");
    CHECK(events.next()->payload == "2");
    std::this_thread::sleep_for(60ms);
    CHECK(events.next()->payload == "3");
    CHECK(s.get_offset("c") == 2);
  }
  options.from_offset = std::nullopt;
  options.save_every_ms = 0;
  {
    auto events = s.subscribe(options);
    CHECK(events.next()->payload == "3");
    events.ack();
  }
  CHECK(s.get_offset("c") == 2);  // saving is left to the consumer
  {
    auto events = s.subscribe(options);
    CHECK(events.next()->payload == "3");
    events.ack();
    events.save_offset();
    CHECK(s.get_offset("c") == 3);
  }

  options.save_every_n = -1;
  CHECK_FAILS(HONKER_INVALID, s.subscribe(options));
  options.save_every_n = 0;
  options.from_offset = largest;
  CHECK_FAILS(HONKER_INVALID, s.subscribe(options));
  CHECK_FAILS(HONKER_UTF8, s.subscribe("\xff"));
  CHECK_FAILS(HONKER_UTF8, file.db.listen("\xff"));
}

TEST_CASE("a closed subscription has saved what was finished") {
  File file;
  const auto s = file.db.stream("s");
  s.publish("1");
  s.publish("2");
  auto events = s.subscribe("c");
  CHECK(events.next()->payload == "1");
  CHECK(events.next()->payload == "2");
  events.close();
  CHECK(s.get_offset("c") == 1);
  CHECK_FAILS(HONKER_CLOSED_HANDLE, events.offset());
}

TEST_CASE("results that are waited for") {
  File file;
  const auto q = file.db.queue("q");
  const auto id = q.enqueue("1");
  CHECK_FALSE(q.wait_result(id, 0ms).has_value());
  CHECK(time_of([&] { CHECK_FALSE(q.wait_result(id, 30ms).has_value()); }) >= 30ms);
  {
    const Joined saving(soon([&] {
      q.save_result(id + 1, "another");
      q.save_result(id, "six");
    }));
    CHECK(q.wait_result(id) == "six");
  }
  CHECK(q.wait_result(id, 0ms) == "six");
  CHECK(file.db.wait_result(id, 0ms) == "six");
  q.save_result(id, "");
  CHECK(q.wait_result(id) == "");
  const Joined closing(soon([&] { file.db.close(); }));
  CHECK_FAILS(HONKER_CLOSED_HANDLE, q.wait_result(id + 2));
}
