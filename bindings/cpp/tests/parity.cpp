// Every function of the package, in both of its forms: they have the same type, the same answers and the same errors,
// and the one with std::nothrow throws nothing. tests/run checks that no function is missing here.

#include <atomic>
#include <chrono>

#include "support.hpp"

namespace {

// What the calls below are made on.
struct Objects {
  honker::Database db;
  honker::Queue q;
  honker::Stream s;
  honker::Scheduler scheduler;
  honker::Lock lock;
  honker::Job job;
  honker::Updates updates;
  honker::Subscription subscription;
  honker::StreamSubscription events;
  honker::Jobs jobs;
  honker::Waiter waiter;
  honker::Worker worker;
  honker::Leader leader;
  honker::Outbox outbox;
  honker::Batch batch;
  honker::JobList found;
  honker::Transaction tx;

  explicit Objects(const std::string& path)
      : db(path),
        q(db.queue("q")),
        s(db.stream("s")),
        scheduler(db.scheduler()),
        lock(*db.try_lock("lock", "owner")),
        job((q.enqueue("1"), *q.claim_one("w"))),
        updates(db.updates()),
        subscription(db.listen("channel")),
        events(s.subscribe("consumer")),
        jobs(db.queue("empty").jobs("w")),
        waiter(db.waiter()),
        worker(db.worker({{"empty"}}, "w")),
        leader(scheduler.leader("leader")),
        outbox(db.outbox("outbox", [](std::string_view) {})),
        batch(db.create_batch()),
        found(db.jobs()),
        tx(db.begin()) {}
};

constexpr std::chrono::milliseconds no_time{0};

const std::vector<honker::JobSpec> specs{{"a", "1"}, {"b", "2"}};

void ignore(honker::Job&) {}

void add_nothing(honker::Batch&) {}

std::string step() { return "done"; }

void step_with(honker::Transaction& tx) { tx.execute("SELECT 1"); }

// Its next run ends at once.
honker::Worker& stopped(honker::Worker& worker) {
  worker.stop();
  return worker;
}

// For the loops: they have to begin in order to fail.
std::atomic<bool> stop{false};

struct Outcome {
  std::string name;
  std::string text;
};

template <class Call>
Outcome thrown_by(Call&& call) {
  try {
    call();
  } catch (const honker::Error& error) {
    return {error.name(), error.what()};
  }
  return {"HONKER_OK", ""};
}

template <class T>
Outcome returned(const honker::Result<T>& result) {
  if (result.ok()) return {"HONKER_OK", ""};
  return {result.error().name(), result.error().what()};
}

// Calls everything that takes part in the transaction, or needs none.
#define FUNCTIONS_WITH_TRANSACTION(CALL0, CALL)                    \
  CALL(o.tx, execute, "SELECT 1")                                  \
  CALL(o.tx, execute, "SELECT ?", {1})                             \
  CALL(o.tx, query, "SELECT 1")                                    \
  CALL(o.q, enqueue_tx, o.tx, "1", 60, 2)                          \
  CALL(o.q, enqueue_tx, o.tx, "1", honker::EnqueueOptions{})       \
  CALL(o.q, enqueue_many_tx, o.tx, {"1", "2"})                     \
  CALL(o.db, enqueue_many_tx, o.tx, specs)                         \
  CALL(o.job, step_tx, o.tx, "in tx", step)                        \
  CALL(o.job, step_tx, o.tx, "in tx too", step_with)               \
  CALL(o.job, retry_tx, o.tx, 60, "error")                         \
  CALL(o.job, fail_tx, o.tx, "error")                              \
  CALL(o.job, release_tx, o.tx, 5)                                 \
  CALL(o.job, ack_tx, o.tx)                                        \
  CALL(o.s, publish_tx, o.tx, "1", "key")                          \
  CALL(o.s, save_offset_tx, o.tx, "consumer", 1)                   \
  CALL(o.db, save_result_tx, o.tx, 1, "1", 60)                     \
  CALL(o.outbox, enqueue_tx, o.tx, "1", 60, 2)                     \
  CALL(o.outbox, enqueue_tx, o.tx, "1", honker::EnqueueOptions{})  \
  CALL(o.db, create_batch_tx, o.tx)                                \
  CALL(o.db, create_batch_tx, o.tx, honker::BatchOptions{})        \
  CALL(o.batch, seal_tx, o.tx)                                     \
  CALL(o.found, apply_page_tx, o.tx, honker::JobAction::run_now()) \
  CALL(o.db, notify_tx, o.tx, "channel", "1")

#define FUNCTIONS_WITHOUT_TRANSACTION(CALL0, CALL)                              \
  CALL(o.job, step, "alone", step)                                              \
  CALL(o.job, step, "with tx", step_with)                                       \
  CALL(o.q, enqueue, "1")                                                       \
  CALL(o.q, enqueue, "1", 60, 2)                                                \
  CALL(o.q, enqueue, "1", honker::EnqueueOptions{})                             \
  CALL(o.q, enqueue_many, {"1", "2"})                                           \
  CALL(o.db, enqueue_many, specs)                                               \
  CALL0(o.db, status_json)                                                      \
  CALL(o.q, claim_one, "w")                                                     \
  CALL(o.q, claim_batch, "w", 2)                                                \
  CALL(o.q, ack_batch, {1, 2}, "w")                                             \
  CALL0(o.q, sweep_expired)                                                     \
  CALL(o.q, cancel, 2)                                                          \
  CALL(o.q, save_result, 1, "1", 60)                                            \
  CALL(o.q, get_job_json, 1)                                                    \
  CALL0(o.q, stats_json)                                                        \
  CALL0(o.q, next_claim_at)                                                     \
  CALL(o.q, dead_json, 10)                                                      \
  CALL(o.q, dead_requeue, 1)                                                    \
  CALL(o.q, dead_purge, 60)                                                     \
  CALL0(o.q, dead_groups_json)                                                  \
  CALL(o.q, configure, honker::QueueChanges{})                                  \
  CALL0(o.q, pause)                                                             \
  CALL0(o.q, resume)                                                            \
  CALL0(o.q, settings)                                                          \
  CALL0(o.db, queues)                                                           \
  CALL0(o.db, metrics_json)                                                     \
  CALL0(o.db, dead_groups_json)                                                 \
  CALL(o.db, get_step, 1, "step")                                               \
  CALL0(o.db, create_batch)                                                     \
  CALL(o.db, create_batch, honker::BatchOptions{})                              \
  CALL(o.db, batch, add_nothing)                                                \
  CALL(o.db, batch, honker::BatchOptions{}, add_nothing)                        \
  CALL0(o.batch, seal)                                                          \
  CALL0(o.batch, get)                                                           \
  CALL0(o.found, page)                                                          \
  CALL(o.found, page, 1)                                                        \
  CALL(o.found, apply, honker::JobAction::run_now())                            \
  CALL(o.found, apply_page, honker::JobAction::run_now())                       \
  CALL(o.job, heartbeat, 60)                                                    \
  CALL(o.job, retry, 60, "error")                                               \
  CALL(o.job, fail, "error")                                                    \
  CALL0(o.job, release)                                                         \
  CALL(o.job, release, 5)                                                       \
  CALL0(o.job, ack)                                                             \
  CALL(o.s, publish, "1")                                                       \
  CALL(o.s, publish, "1", "key")                                                \
  CALL(o.s, configure, honker::StreamChanges{})                                 \
  CALL0(o.s, trim)                                                              \
  CALL(o.s, trim, honker::TrimOptions{})                                        \
  CALL(o.db, keep_notifications, 60)                                            \
  CALL(o.s, read_since, 0)                                                      \
  CALL(o.s, read_from_consumer, "consumer", 10)                                 \
  CALL(o.s, save_offset, "consumer", 1)                                         \
  CALL(o.s, get_offset, "consumer")                                             \
  CALL(o.scheduler, add, "n", "q", "@every 1h", "1", 0, 60, 3)                  \
  CALL(o.scheduler, add, "n", "q", "@every 1h", "1", honker::ScheduleOptions{}) \
  CALL(o.scheduler, update, "n", "@every 2h", "2", 1, 70, 4)                    \
  CALL(o.scheduler, pause, "n")                                                 \
  CALL(o.scheduler, resume, "n")                                                \
  CALL0(o.scheduler, tick)                                                      \
  CALL(o.scheduler, tick, 1000)                                                 \
  CALL0(o.scheduler, soonest)                                                   \
  CALL0(o.scheduler, list_json)                                                 \
  CALL(o.scheduler, remove, "n")                                                \
  CALL0(o.lock, heartbeat)                                                      \
  CALL(o.lock, heartbeat, 60)                                                   \
  CALL0(o.lock, release)                                                        \
  CALL(o.db, query, "SELECT 1")                                                 \
  CALL(o.db, query, "SELECT ?", {1})                                            \
  CALL(o.db, try_lock, "l", "owner", 60)                                        \
  CALL(o.db, try_rate_limit, "r", 10, 60)                                       \
  CALL(o.db, sweep_rate_limits, 60)                                             \
  CALL(o.db, save_result, 1, "1", 60)                                           \
  CALL(o.db, get_result, 1)                                                     \
  CALL0(o.db, sweep_results)                                                    \
  CALL(o.db, notify, "channel", "1")                                            \
  CALL(o.db, prune_notifications, 60, 10)                                       \
  CALL(o.db, dead_json, 10)                                                     \
  CALL(o.db, dead_purge, 60)                                                    \
  CALL0(o.db, stats_json)                                                       \
  CALL(o.q, wait_result, 1, no_time)                                            \
  CALL(o.db, wait_result, 1, no_time)                                           \
  CALL0(o.db, updates)                                                          \
  CALL(o.updates, wait, no_time)                                                \
  CALL0(o.updates, wake)                                                        \
  CALL(o.db, listen, "channel")                                                 \
  CALL(o.subscription, recv, no_time)                                           \
  CALL(o.s, subscribe, "consumer")                                              \
  CALL(o.s, subscribe, honker::SubscribeOptions{})                              \
  CALL(o.events, next, no_time)                                                 \
  CALL0(o.events, ack)                                                          \
  CALL0(o.events, save_offset)                                                  \
  CALL0(o.events, offset)                                                       \
  CALL(o.q, jobs, "w")                                                          \
  CALL(o.jobs, next, no_time)                                                   \
  CALL(o.jobs, next_batch, 2, no_time)                                          \
  CALL(o.jobs, settle_next, o.job, honker::Outcome::ack(), no_time)             \
  CALL0(o.db, waiter)                                                           \
  CALL0(o.waiter, ready)                                                        \
  CALL(o.waiter, wait, no_time)                                                 \
  CALL(stopped(o.worker), run, ignore)                                          \
  CALL0(o.scheduler, leader)                                                    \
  CALL(o.leader, next, no_time)                                                 \
  CALL0(o.leader, leads)                                                        \
  CALL0(o.leader, resign)                                                       \
  CALL(o.scheduler, run, stop, "owner")                                         \
  CALL(o.outbox, enqueue, "1")                                                  \
  CALL(o.outbox, enqueue, "1", honker::EnqueueOptions{})                        \
  CALL(o.outbox, run_once, "w")                                                 \
  CALL(o.outbox, run, "w", stop)                                                \
  CALL0(o.db, interrupt)

// Both forms answer `expected`, and say the same.
#define CHECK_BOTH(object, function, with_exceptions, without)                    \
  {                                                                               \
    using Thrown = decltype(with_exceptions);                                     \
    static_assert(std::is_same_v<decltype(without), honker::Result<Thrown>>);     \
    const Outcome first = thrown_by([&] { static_cast<void>(with_exceptions); }); \
    const Outcome second = returned(without);                                     \
    INFO(#object "." #function);                                                  \
    CHECK(first.name == expected);                                                \
    CHECK(second.name == expected);                                               \
    CHECK(first.text == second.text);                                             \
  }
#define CHECK_BOTH_0(object, function) \
  CHECK_BOTH(object, function, (object.function()), (object.function(std::nothrow)))
#define CHECK_BOTH_N(object, function, ...) \
  CHECK_BOTH(object, function, (object.function(__VA_ARGS__)), (object.function(std::nothrow, __VA_ARGS__)))

void check_in_transaction(Objects& o, const std::string& expected) {
  FUNCTIONS_WITH_TRANSACTION(CHECK_BOTH_0, CHECK_BOTH_N)
}

void check_without_transaction(Objects& o, const std::string& expected) {
  FUNCTIONS_WITHOUT_TRANSACTION(CHECK_BOTH_0, CHECK_BOTH_N)
}

}  // namespace

TEST_CASE("both forms succeed") {
  const Directory directory;
  Objects o(directory / "app.db");
  check_in_transaction(o, "HONKER_OK");
  const std::string expected = "HONKER_OK";
  CHECK_BOTH_0(o.tx, rollback)
  auto tx = o.db.begin();
  o.tx = std::move(tx);
  CHECK_BOTH_0(o.tx, commit)
  CHECK_BOTH_0(o.db, begin)
  stop = true;
  check_without_transaction(o, "HONKER_OK");
  stop = false;
  CHECK_BOTH_0(o.waiter, fd)
  CHECK_BOTH_0(o.waiter, wake)
  CHECK_BOTH_0(o.updates, close)
  const honker::Outbox::Delivery nothing = [](std::string_view) {};
  CHECK_BOTH_N(o.db, outbox, "outbox", nothing)
  CHECK_BOTH_N(o.scheduler, next_after, "@every 1h", 0)
  CHECK_BOTH_0(o.db, close)
}

TEST_CASE("both forms fail on a closed database") {
  const Directory directory;
  Objects o(directory / "app.db");
  o.db.close();
  const std::string expected = "HONKER_CLOSED_HANDLE";
  check_in_transaction(o, expected);
  check_without_transaction(o, expected);
  CHECK_BOTH_0(o.db, begin)
  CHECK_FAILS(HONKER_CLOSED_HANDLE, o.tx.commit());
  CHECK_REFUSED(HONKER_CLOSED_HANDLE, o.tx.commit(std::nothrow));
}

TEST_CASE("both forms fail on an object that was moved from") {
  const Directory directory;
  Objects o(directory / "app.db");
  const Objects taken(std::move(o));
  const std::string expected = "HONKER_MISUSE";
  check_in_transaction(o, expected);
  check_without_transaction(o, expected);
  CHECK_BOTH_0(o.db, begin)
  CHECK_BOTH_0(o.db, close)
  CHECK_BOTH_0(o.waiter, fd)
  CHECK_BOTH_0(o.waiter, wake)
  CHECK_BOTH_0(o.updates, close)
  CHECK_BOTH_0(o.tx, commit)
  CHECK_BOTH_0(o.tx, rollback)
  CHECK(o.db.path() == "");
}

TEST_CASE("both forms fail on a transaction that is over") {
  const Directory directory;
  Objects o(directory / "app.db");
  o.tx.commit();
  check_in_transaction(o, "HONKER_MISUSE");
}

TEST_CASE("both forms fail when somebody else has the write lock") {
  const File file;
  honker::Options options;
  options.busy_timeout_ms = 1;
  struct {
    honker::Database db;
  } o{honker::Database(file.path, options)};
  auto tx = file.db.begin();
  const std::string expected = "HONKER_BUSY";
  CHECK_BOTH_0(o.db, begin)
  CHECK_BOTH_N(o.db, notify, "channel", "1")
  CHECK_THROWS_AS(o.db.begin(), honker::BusyError);
  CHECK(o.db.begin(std::nothrow).error().sqlite_code() == 5);
}
