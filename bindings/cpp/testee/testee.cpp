// The testee of the C++ package: does with it what the conformance suite asks for (conformance/PROTOCOL.md), through
// the functions that throw.
//
// Threads: main reads the requests and gives each to the thread of its lane; answers are written under a lock. A reset
// is done by main itself, when the lanes have ended.
#include "features.hpp"

#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iostream>

using namespace honker;

const Json done = Json::object();
const Json features{"journal",    "watcher",
                    "interrupt",  "fork",
                    "foreign",    "tx",
                    "queue",      "enqueue_many",
                    "settle_tx",  "next_at",
                    "stats",      "dead",
                    "wait",       "updates",
                    "stream",     "notify",
                    "sched",      "cron",
                    "result",     "result_tx",
                    "lock",       "rate",
                    "rate_sweep", "outbox",
                    "prune_keep", "tick_at",
                    "text",       "bytes",
                    "fault.abi",  "nesting",
                    "release",    "metadata",
                    "unique",     "schedule_options",
                    "settings",   "batch",
                    "step",       "bulk",
                    "metrics",    "counters",
                    "handlers"};
const std::map<std::string, JournalMode> journals{{"WAL", JournalMode::wal},
                                                  {"DELETE", JournalMode::remove},
                                                  {"TRUNCATE", JournalMode::truncate},
                                                  {"PERSIST", JournalMode::persist}};

Json answer(const Json& json, Handles& handles);

Json fork_child(const Request& r) {
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("no pipe can be made");
  std::unique_lock<std::mutex> lock(r.handles.mutex);  // so that the child finds the handles whole
  const pid_t child = fork();
  lock.unlock();
  if (child == 0) {
    const Json answers = r.all("steps", [&](const Json& step) { return answer(step, r.handles); });
    dprintf(ends[1], "%s", answers.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
    _exit(0);
  }
  ::close(ends[1]);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(fdopen(ends[0], "r"), std::fclose);
  const Json answers = Json::parse(in.get(), nullptr, false);
  int status = 0;
  waitpid(child, &status, 0);
  if (answers.is_discarded()) throw std::runtime_error("the child ended with status " + std::to_string(status));
  return {{"answers", answers}};
}

Json foreign_exec(const Request& r) {
  sqlite3* raw = nullptr;
  int code = sqlite3_open(r.str("path").c_str(), &raw);
  const std::unique_ptr<sqlite3, int (*)(sqlite3*)> db(raw, sqlite3_close);
  sqlite3_busy_timeout(raw, 5000);
  const std::string sql = r.str("sql");
  const Number times = r.opt("times").value_or(1);
  for (Number i = 0; code == SQLITE_OK && i < times; ++i)
    code = sqlite3_exec(raw, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? Json{{"done", times}} : throw std::runtime_error(sqlite3_errmsg(raw));
}

Database open(const Request& r) {
  Options options;
  options.watcher_backend = r.opt("watcher", text).value_or("");
  options.watcher_poll_interval_ms = r.opt("poll_ms").value_or(options.watcher_poll_interval_ms);
  options.busy_timeout_ms = r.opt("busy_timeout_ms").value_or(options.busy_timeout_ms);
  if (r.has("journal")) options.journal_mode = journals.at(r.str("journal"));
  return Database(r.str("path"), options);
}

Json query(const Request& r) {
  const auto params = r.all("params", sql_value);
  const auto handle = r.handle();
  auto* tx = std::get_if<Transaction>(&*handle);
  return list(tx ? tx->query(r.str("sql"), params) : r.db()->query(r.str("sql"), params), [](const Row& row) {
    Json values = Json::array();
    for (std::size_t i = 0; i < row.size(); ++i) values.push_back(std::visit(ToJson(), row[i].variant()));
    return values;
  });
}

template <class Q>
auto enqueue(const Q& queue, const Request& r) {
  return r.tx ? queue.enqueue_tx(*r.tx, r.data(), enqueue_options(r)) : queue.enqueue(r.data(), enqueue_options(r));
}

// Answers with the jobs, and keeps them to be settled.
Json give(const Request& r, std::vector<Job> jobs) {
  Json given = Json::array();
  const std::lock_guard<std::mutex> lock(r.handles.mutex);
  for (Job& job : jobs) {
    given.push_back({{"id", job.id()}, {"queue", job.queue()}, {"worker", job.worker_id()}});
    given.back().update({{"attempts", job.attempts()}, {"payload", stored(job.payload())}});
    if (!job.metadata().empty()) given.back()["metadata"] = Json::parse(job.metadata());
    auto& kept = r.handles.jobs[{job.id(), job.worker_id()}];
    kept = std::make_shared<Job>(std::move(job));
  }
  return {{"jobs", given}};
}

Json event(const StreamEvent& e) {
  Json json{{"offset", e.offset}, {"topic", e.topic}, {"payload", stored(e.payload)}, {"created_at", e.created_at}};
  json["key"] = e.has_key ? Json(e.key) : Json();
  return json;
}

Json next(Handle& handle, const Request& r) {
  if (auto* jobs = std::get_if<Jobs>(&handle)) {
    std::vector<Job> claimed;
    if (r.has("n")) claimed = jobs->next_batch(r.num("n"), r.timeout());
    if (!r.has("n")) claimed.push_back(*unless(jobs->next(r.timeout()), "TIMEOUT"));
    const bool asked = !r.has("n") || r.num("n") > 0;
    return unless(!asked || !claimed.empty(), "TIMEOUT"), give(r, std::move(claimed));
  }
  if (auto* updates = std::get_if<Updates>(&handle)) return unless(updates->wait(r.timeout()), "TIMEOUT"), done;
  if (auto* subscription = std::get_if<StreamSubscription>(&handle)) {
    return {{"event", event(*unless(subscription->next(r.timeout()), "TIMEOUT"))}};
  }
  const auto it = *unless(std::get<Subscription>(handle).recv(r.timeout()), "TIMEOUT");
  return {{"notification", {{"id", it.id}, {"channel", it.channel}, {"payload", stored(it.payload)}}}};
}
Json next(const Request& r) {
  const auto handle = r.handle();
  const bool was_closed = r.handles.was_closed(handle);
  try {
    return next(*handle, r);
  } catch (const ClosedError&) {
    if (was_closed) throw;
    throw Otherwise{"outcome", "CLOSED"};
  }
}

StreamSubscription subscribe(const Request& r) {
  SubscribeOptions options;
  options.consumer = r.opt("consumer", text);
  options.from_offset = r.opt("from_offset");
  options.save_every_n = r.opt("save_every_n").value_or(options.save_every_n);
  options.save_every_ms = r.opt("save_every_ms").value_or(options.save_every_ms);
  return r.stream()->subscribe(options);
}

void schedule(const Request& r) {
  const auto name = r.str("name"), queue = r.str("queue"), when = r.str("schedule"), json = r.data();
  const auto add = [&](auto... rest) { r.scheduler().add(name, queue, when, json, rest...); };
  const auto of_jobs = {"overlap", "delay_s", "metadata", "unique_key", "unique_until", "unique_for_s", "on_conflict"};
  if (std::any_of(of_jobs.begin(), of_jobs.end(), [&](auto key) { return r.has(key); })) {
    ScheduleOptions options;
    options.job = enqueue_options(r);
    options.job.max_attempts = r.opt("max_attempts");
    if (r.opt("overlap", text) == "skip") options.overlap = Overlap::skip;
    return add(options);
  }
  if (r.has("max_attempts")) return add(r.opt("priority").value_or(0), r.opt("expires_s"), r.num("max_attempts"));
  if (r.has("expires_s")) return add(r.opt("priority").value_or(0), r.opt("expires_s"));
  r.with({{"priority", 0}}, add);
}

Runner run(const Request& r) {
  const auto owner = r.str("owner");
  r.scheduler().leader(owner).close();  // says here what run() would say in its own thread: that it cannot
  return Runner([it = r.scheduler(), owner](auto& stop) { it.run(stop, owner); });
}

bool update(const Request& r) {
  const auto when = r.opt("schedule", text);
  std::optional<std::string> json;  // null is a payload
  if (r.has("payload")) json = r.data();
  std::optional<std::optional<Number>> expires_s;
  if (r.has("expires_s")) expires_s = r.opt("expires_s");
  std::optional<Number> max_attempts;
  if (r.has("max_attempts")) max_attempts = r.opt("max_attempts").value_or(3);  // the default has no other name
  return r.scheduler().update(r.str("name"), when, json, r.opt("priority"), expires_s, max_attempts);
}

ScriptedOutbox outbox(const Request& r) {
  const auto deliveries = std::make_shared<Deliveries>();
  deliveries->script = r.all("deliver", text);
  const auto deliver = [deliveries](std::string_view json) {
    const std::lock_guard<std::mutex> lock(deliveries->mutex);
    deliveries->payloads.emplace_back(json);
    const auto what = deliveries->script.at(std::min(deliveries->payloads.size(), deliveries->script.size()) - 1);
    if (what != "ok") throw std::runtime_error(what);
  };
  const auto make = [&](auto... rest) { return r.db()->outbox(r.str("name"), deliver, rest...); };
  return {r.with({{"visibility_timeout_s", 60}, {"max_attempts", 5}, {"base_backoff_s", 5}}, make), deliveries};
}

#define DO(...) []([[maybe_unused]] const Request& r) -> Json { return __VA_ARGS__; }

const std::map<std::string, Json (*)(const Request&)> operations{
    {"hello", DO({{"testee", "cpp"}, {"version", version()}, {"pid", getpid()}, {"features", features}})},
    {"open", DO(r.keep([&] { return open(r); }))},
    {"close", DO(r.handles.close(r.handle()), done)},
    {"reset", DO(r.handles.drop_all(), done)},
    {"bye", DO(r.handles.drop_all(), done)},
    {"interrupt", DO(r.db()->interrupt(), done)},
    {"fork", fork_child},
    {"foreign.exec", foreign_exec},
    {"tx.begin", DO(r.keep([&] { return r.db()->begin(); }))},
    {"tx.commit", DO(r.use<Transaction>()->commit(), done)},
    {"tx.rollback", DO(r.use<Transaction>()->rollback(), done)},
    {"sql.exec", DO({{"changes", r.use<Transaction>()->execute(r.str("sql"), r.all("params", sql_value))}})},
    {"sql.query", DO({{"rows", query(r)}})},
    {"queue.open", DO(r.keep([&] {
       return r.with({{"visibility_timeout_s", 300}, {"max_attempts", 3}},
                     [&](auto... rest) { return r.db()->queue(r.str("name"), rest...); });
     }))},
    {"queue.enqueue", DO(enqueued(enqueue(*r.queue(), r)))},
    {"queue.enqueue_many",
     DO({{"ids", list(r.tx ? r.queue()->enqueue_many_tx(*r.tx, r.all("payloads", payload), enqueue_options(r))
                           : r.queue()->enqueue_many(r.all("payloads", payload), enqueue_options(r)),
                      [](const Enqueued& made) { return made.id; })}})},
    {"queue.claim", DO(give(r, r.queue()->claim_batch(r.str("worker"), r.num("n"))))},
    {"queue.ack", DO(unless(r.tx ? r.job()->ack_tx(*r.tx) : r.job()->ack(), "LOST"), done)},
    {"queue.retry", DO(unless(r.tx ? r.job()->retry_tx(*r.tx, r.num("delay_s"), r.str("error"))
                                   : r.job()->retry(r.num("delay_s"), r.str("error")),
                              "LOST"),
                       done)},
    {"queue.fail",
     DO(unless(r.tx ? r.job()->fail_tx(*r.tx, r.str("error")) : r.job()->fail(r.str("error")), "LOST"), done)},
    {"queue.release",
     DO(unless(r.tx ? r.job()->release_tx(*r.tx, r.num("delay_s")) : r.job()->release(r.num("delay_s")), "LOST"),
        done)},
    {"queue.heartbeat", DO(unless(r.job()->heartbeat(r.num("extend_s")), "LOST"), done)},
    {"queue.ack_many", DO({{"acked", r.queue()->ack_batch(r.all("ids", integer), r.str("worker"))}})},
    {"queue.cancel", DO({{"cancelled", r.queue()->cancel(r.num("id"))}})},
    {"queue.get", DO({{"job", parsed(r.queue()->get_job_json(r.num("id")))}})},
    {"queue.next_at", DO({{"at", r.queue()->next_claim_at().value_or(0)}})},
    {"queue.sweep", DO({{"n", r.queue()->sweep_expired()}})},
    {"queue.stats", DO({{"stats", parsed(r.queue()->stats_json())}})},
    {"queue.configure", DO(r.queue()->configure(queue_changes(r.json["settings"])), done)},
    {"queue.settings", DO({{"settings", settings_json(r.queue()->settings())}})},
    {"queues", DO({{"queues", list(r.db()->queues(), settings_json)}})},
    {"metrics", DO({{"queues", Json::parse(r.db()->metrics_json())["queues"]}})},
    {"dead.groups", DO({{"groups", parsed(r.queue()->dead_groups_json())}})},
    {"jobs.list", list_jobs},
    {"jobs.apply", apply},
    {"batch.create",
     DO({{"id",
          (r.tx ? r.db()->create_batch_tx(*r.tx, batch_options(r)) : r.db()->create_batch(batch_options(r))).id()}})},
    {"batch.seal",
     DO({{"sealed", r.tx ? r.db()->batch(r.num("id")).seal_tx(*r.tx) : r.db()->batch(r.num("id")).seal()}})},
    {"batch.get", DO({{"batch", batch_json(*unless(r.db()->batch(r.num("id")).get(), "EMPTY"))}})},
    {"step.get", get_step},
    {"step.save", save_step},
    {"worker.run", DO(r.keep([&] { return run_worker(r); }))},
    {"handler.next", next_of_handler},
    {"dead.list",
     DO({{"jobs", parsed(r.with({{"limit", 0}}, [&](auto... limit) { return r.queue()->dead_json(limit...); }))}})},
    {"dead.requeue", DO({{"requeued", r.queue()->dead_requeue(r.num("id"))}})},
    {"dead.purge", DO({{"n", r.queue()->dead_purge(r.num("older_than_s"))}})},
    {"worker.open", DO(r.keep([&] { return r.queue()->jobs(r.str("worker")); }))},
    {"next", DO(next(r))},
    {"wake", DO(throw Otherwise{"unsupported", "wake"}, done)},
    {"updates.open", DO(r.keep([&] { return r.db()->updates(); }))},
    {"stream.open", DO(r.keep([&] { return r.db()->stream(r.str("topic")); }))},
    {"stream.configure", DO(r.stream()->configure(stream_changes(r.json["settings"])), done)},
    {"stream.trim", DO({{"n", r.stream()->trim(trim_options(r.json["settings"]))}})},
    {"stream.publish", DO({{"offset", r.tx ? r.stream()->publish_tx(*r.tx, r.data(), r.opt("key", text))
                                           : r.stream()->publish(r.data(), r.opt("key", text))}})},
    {"stream.read",
     DO({{"events",
          list(r.with({{"limit", 0}}, [&](auto... limit) { return r.stream()->read_since(r.num("offset"), limit...); }),
               event)}})},
    {"stream.read_consumer",
     DO({{"events",
          list(r.with({{"limit", 0}},
                      [&](auto... limit) { return r.stream()->read_from_consumer(r.str("consumer"), limit...); }),
               event)}})},
    {"stream.save", DO({{"saved", r.tx ? r.stream()->save_offset_tx(*r.tx, r.str("consumer"), r.num("offset"))
                                       : r.stream()->save_offset(r.str("consumer"), r.num("offset"))}})},
    {"stream.offset", DO({{"offset", r.stream()->get_offset(r.str("consumer"))}})},
    {"stream.subscribe", DO(r.keep([&] { return subscribe(r); }))},
    {"subscription.ack", DO(r.use<StreamSubscription>()->ack(), done)},
    {"subscription.save", DO(r.use<StreamSubscription>()->save_offset(), done)},
    {"subscription.offset", DO({{"offset", r.use<StreamSubscription>()->offset()}})},
    {"notify.send", DO({{"id", r.tx ? r.db()->notify_tx(*r.tx, r.str("channel"), r.data())
                                    : r.db()->notify(r.str("channel"), r.data())}})},
    {"notify.configure", DO(r.db()->keep_notifications(notifications_kept(r.json["settings"])), done)},
    {"notify.prune", DO({{"n", r.db()->prune_notifications(r.opt("older_than_s"), r.opt("max_keep"))}})},
    {"listen.open", DO(r.keep([&] { return r.db()->listen(r.str("channel")); }))},
    {"sched.add", DO(schedule(r), done)},
    {"sched.update", DO({{"changed", update(r)}})},
    {"sched.remove", DO({{"changed", r.scheduler().remove(r.str("name"))}})},
    {"sched.pause", DO({{"changed", r.scheduler().pause(r.str("name"))}})},
    {"sched.resume", DO({{"changed", r.scheduler().resume(r.str("name"))}})},
    {"sched.list", DO({{"schedules", parsed(r.scheduler().list_json())}})},
    {"sched.tick", DO({{"fires", list(r.scheduler().tick(r.opt("now")), fired)}})},
    {"sched.soonest", DO({{"at", r.scheduler().soonest().value_or(0)}})},
    {"sched.run", DO(r.keep([&] { return run(r); }))},
    {"cron.next_after", DO({{"at", r.scheduler().next_after(r.str("schedule"), r.num("from"))}})},
    {"result.save", DO(r.with({{"ttl_s", 0}},
                              [&](auto... ttl_s) {
                                r.tx ? r.db()->save_result_tx(*r.tx, r.num("id"), r.data("value"), ttl_s...)
                                     : r.db()->save_result(r.num("id"), r.data("value"), ttl_s...);
                              }),
                       done)},
    {"result.get", DO({{"value", stored(*unless(r.db()->get_result(r.num("id")), "EMPTY"))}})},
    {"result.wait", DO({{"value", stored(*unless(r.db()->wait_result(r.num("id"), r.timeout()), "TIMEOUT"))}})},
    {"result.sweep", DO({{"n", r.db()->sweep_results()}})},
    {"lock.acquire", DO(r.keep([&] {
       return *unless(r.db()->try_lock(r.str("name"), r.opt("owner", text), r.num("ttl_s")), "HELD");
     }))},
    {"lock.renew", DO(unless(r.use<Lock>()->heartbeat(r.num("ttl_s")), "LOST"), done)},
    {"lock.release", DO(unless(r.use<Lock>()->release(), "LOST"), done)},
    {"rate.try", DO(unless(r.db()->try_rate_limit(r.str("name"), r.num("limit"), r.num("per_s")), "LIMITED"), done)},
    {"rate.sweep", DO({{"n", r.db()->sweep_rate_limits(r.num("older_than_s"))}})},
    {"outbox.open", DO(r.keep([&] { return outbox(r); }))},
    {"outbox.enqueue", DO({{"id", Number(enqueue(r.use<ScriptedOutbox>()->outbox, r))}})},
    {"outbox.run_once", DO({{"handled", r.use<ScriptedOutbox>()->outbox.run_once(r.str("worker"))}})},
    {"outbox.run", DO(r.keep([&] {
       return Runner(
           [it = r.use<ScriptedOutbox>()->outbox, worker = r.str("worker")](auto& stop) { it.run(worker, stop); });
     }))},
    {"outbox.calls", DO({{"payloads", r.use<ScriptedOutbox>()->deliveries->list()}})},
};

Json answer(const Json& json, Handles& handles) {
  Json answer;
  if (json.contains("seq")) answer["seq"] = json["seq"];  // which the steps of a fork need not have
  try {
    answer["ok"] = operations.at(json.at("op"))({json, handles});
  } catch (const Otherwise& otherwise) {
    answer[otherwise.key] = otherwise.name;
  } catch (const Error& e) {
    answer["error"] = {{"name", std::string(e.name()).substr(7)}, {"type", "honker::Error"}, {"message", e.what()}};
  } catch (const std::exception& e) {
    answer["crashed"] = {{"message", e.what()}, {"trace", json.dump()}};
  }
  return answer;
}

// A thread that does requests in the order in which it is given them, until there is one that is null.
struct Lane {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Json> requests;
  std::future<void> ended;

  template <class Do>
  void give(const Json& request, Do action) {
    if (!ended.valid())
      ended = std::async(std::launch::async, [this, action] {
        for (Json next = take(); !next.is_null(); next = take()) action(next);
      });
    const std::lock_guard<std::mutex> lock(mutex);
    requests.push_back(request);
    changed.notify_one();
  }
  Json take() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return !requests.empty(); });
    const Json request = requests.front();
    requests.pop_front();
    return request;
  }
};

int main() {
  Handles handles;
  std::mutex output;
  const auto handle = [&](const Json& request) {
    const auto line = answer(request, handles).dump(-1, ' ', false, Json::error_handler_t::replace);
    const std::lock_guard<std::mutex> lock(output);
    std::cout << line << std::endl;
  };
  std::map<std::string, Lane> lanes;
  std::string line, op;
  while (op != "bye" && std::getline(std::cin, line)) {
    const Json request = Json::parse(line);
    op = request.at("op");
    if (op != "reset" && op != "bye") {
      lanes[request.value("lane", "")].give(request, handle);
      continue;
    }
    for (auto& [name, lane] : lanes) {
      lane.give(nullptr, handle);
      while (lane.ended.wait_for(std::chrono::milliseconds(10)) != std::future_status::ready) handles.interrupt();
    }
    lanes.clear();
    handle(request);
  }
  if (op != "bye") _exit(1);  // whoever asked is gone, and lanes may wait for ever
}
