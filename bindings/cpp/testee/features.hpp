// What the testee does with limits, batches, steps, lists of jobs and handlers: requests as the package's types, and
// its answers as JSON.
//
// Threads: handlers run in the threads of their worker, and tell what happens to them under a lock.
#pragma once

#include <chrono>

#include "testee.hpp"

inline std::vector<std::string> words(const Json& one_or_more) {
  return one_or_more.is_array() ? one_or_more.get<std::vector<std::string>>() : std::vector<std::string>{one_or_more};
}
inline std::map<std::string, std::string> texts(const Json& object) {
  std::map<std::string, std::string> texts;
  for (const auto& [key, value] : object.items()) texts[key] = text(value);
  return texts;
}
template <class T>
Json nullable(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

// --- Options of jobs. ---

inline const std::map<std::string, honker::UniqueUntil> unique_untils{{"settled", honker::UniqueUntil::settled},
                                                                      {"claimed", honker::UniqueUntil::claimed}};
inline const std::map<std::string, honker::OnConflict> on_conflicts{{"keep", honker::OnConflict::keep},
                                                                    {"replace", honker::OnConflict::replace}};
inline const std::map<honker::EnqueueStatus, std::string> statuses{{honker::EnqueueStatus::enqueued, "enqueued"},
                                                                   {honker::EnqueueStatus::exists, "exists"},
                                                                   {honker::EnqueueStatus::replaced, "replaced"},
                                                                   {honker::EnqueueStatus::skipped, "skipped"}};

inline honker::EnqueueOptions enqueue_options(const Request& r) {
  honker::EnqueueOptions options;
  options.run_at = r.opt("run_at");
  options.delay_s = r.opt("delay_s");
  options.expires_s = r.opt("expires_s");
  options.max_run_s = r.opt("max_run_s");
  options.priority = r.opt("priority").value_or(options.priority);
  if (r.has("metadata")) options.metadata = r.json["metadata"].dump();
  options.unique_key = r.opt("unique_key", text);
  options.unique_for_s = r.opt("unique_for_s");
  if (r.has("unique_until")) options.unique_until = unique_untils.at(r.str("unique_until"));
  if (r.has("on_conflict")) options.on_conflict = on_conflicts.at(r.str("on_conflict"));
  options.concurrency_key = r.opt("concurrency_key", text);
  options.batch_id = r.opt("batch_id");
  if (r.has("member")) {
    options.member = honker::BatchMember{integer(r.json["member"]["job_id"]), text(r.json["member"]["worker_id"])};
  }
  return options;
}

inline Json enqueued(const honker::Enqueued& made) { return {{"id", made.id}, {"status", statuses.at(made.status)}}; }

inline Json fired(const honker::ScheduledFire& fire) {
  Json json{{"name", fire.name}, {"queue", fire.queue}, {"fire_at", fire.fire_at}, {"job_id", fire.job_id}};
  if (fire.status != honker::EnqueueStatus::enqueued) json["status"] = statuses.at(fire.status);
  if (fire.status == honker::EnqueueStatus::skipped) json["job_id"] = nullptr;
  return json;
}

// --- Settings. ---

template <class T, class Read>
void change(honker::Change<T>& change, const Json& settings, const char* key, Read read) {
  if (!settings.contains(key)) return;
  change = settings[key].is_null() ? honker::Change<T>(honker::use_default) : honker::Change<T>(read(settings[key]));
}

inline honker::QueueChanges queue_changes(const Json& settings) {
  honker::QueueChanges changes;
  change(changes.paused, settings, "paused", [](const Json& is) { return is.get<bool>(); });
  change(changes.concurrency, settings, "concurrency", integer);
  change(changes.concurrency_per_key, settings, "concurrency_per_key", integer);
  change(changes.rate, settings, "rate", [](const Json& rate) {
    return honker::Rate{integer(rate.at("limit")), integer(rate.at("per_s"))};
  });
  change(changes.max_attempts, settings, "max_attempts", integer);
  change(changes.retry, settings, "retry", [](const Json& given) {
    honker::Backoff retry;
    retry.base_s = given.value("base_s", retry.base_s);
    retry.factor = given.value("factor", retry.factor);
    retry.max_s = given.value("max_s", retry.max_s);
    retry.jitter = given.value("jitter", retry.jitter);
    return retry;
  });
  change(changes.keep_done_s, settings, "keep_done_s", integer);
  change(changes.keep_dead_s, settings, "keep_dead_s", integer);
  return changes;
}

inline Json settings_json(const honker::QueueSettings& is) {
  Json json{{"queue", is.queue},
            {"paused", is.paused},
            {"concurrency", nullable(is.concurrency)},
            {"concurrency_per_key", nullable(is.concurrency_per_key)},
            {"rate", nullptr},
            {"max_attempts", is.max_attempts},
            {"retry", nullptr},
            {"keep_done_s", is.keep_done_s},
            {"keep_dead_s", nullable(is.keep_dead_s)}};
  if (is.rate) json["rate"] = {{"limit", is.rate->limit}, {"per_s", is.rate->per_s}};
  if (is.retry) {
    json["retry"] = {{"base_s", is.retry->base_s},
                     {"factor", is.retry->factor},
                     {"max_s", is.retry->max_s},
                     {"jitter", is.retry->jitter}};
  }
  return json;
}

inline honker::StreamChanges stream_changes(const Json& settings) {
  honker::StreamChanges changes;
  change(changes.keep_s, settings, "keep_s", integer);
  change(changes.keep_n, settings, "keep_n", integer);
  return changes;
}
inline honker::TrimOptions trim_options(const Json& settings) {
  honker::TrimOptions options;
  if (settings.contains("keep_s")) options.keep_s = integer(settings["keep_s"]);
  if (settings.contains("keep_n")) options.keep_n = integer(settings["keep_n"]);
  options.past_consumers = settings.value("past_consumers", false);
  return options;
}
inline honker::Change<Number> notifications_kept(const Json& settings) {
  honker::Change<Number> keep_s;
  change(keep_s, settings, "keep_s", integer);
  return keep_s;
}

// --- Batches. ---

inline honker::BatchOptions batch_options(const Request& r) {
  honker::BatchOptions options;
  const Json& given = r.json["options"];
  const auto callback = [&](const char* key) -> std::optional<honker::JobSpec> {
    if (!given.contains(key)) return std::nullopt;
    honker::JobSpec job{text(given[key].at("queue")), text(given[key].at("payload"))};
    if (given[key].contains("options")) {
      job.options = enqueue_options({given[key]["options"], r.handles});
      if (given[key]["options"].contains("max_attempts")) {
        job.options.max_attempts = integer(given[key]["options"]["max_attempts"]);
      }
    }
    return job;
  };
  options.on_finished = callback("on_finished");
  options.on_success = callback("on_success");
  if (given.contains("keep_s")) options.keep_s = integer(given["keep_s"]);
  return options;
}

inline Json batch_json(const honker::BatchState& is) {
  return {{"total", is.total},
          {"pending", is.pending},
          {"done", is.done},
          {"dead", is.dead},
          {"cancelled", is.cancelled},
          {"sealed", is.sealed},
          {"finished_at", nullable(is.finished_at)}};
}

// --- Steps. ---

struct NotSaved {};

template <class Function>
Json step(const Request& r, Function function) try {
  const std::string value =
      r.tx ? r.job()->step_tx(*r.tx, r.str("name"), function) : r.job()->step(r.str("name"), function);
  return {{"value", stored(value)}};
} catch (const NotSaved&) {
  throw Otherwise{"outcome", "EMPTY"};
} catch (const honker::LostError&) {
  throw Otherwise{"outcome", "LOST"};
}
inline Json get_step(const Request& r) {
  return step(r, []() -> std::string { throw NotSaved(); });
}
inline Json save_step(const Request& r) {
  return step(r, [&]() -> std::string { return r.data("value"); });
}

// --- Lists of jobs. ---

inline const std::vector<std::string> state_names{"due", "delayed", "processing", "blocked", "dead", "done"};

inline honker::JobFilter job_filter(const Request& r) {
  honker::JobFilter filter;
  const Json& given = r.json["filter"];
  const auto take = [&](const char* key, auto& into, auto read) {
    if (given.contains(key)) into = read(given[key]);
  };
  take("queue", filter.queue, text);
  take("state", filter.states, [](const Json& names) {
    std::vector<honker::JobState> states;
    for (const auto& name : words(names)) {
      const auto found = std::find(state_names.begin(), state_names.end(), name);
      states.push_back(static_cast<honker::JobState>(found - state_names.begin()));
    }
    return states;
  });
  take("min_id", filter.min_id, integer);
  take("max_id", filter.max_id, integer);
  take("worker_id", filter.worker_id, text);
  take("unique_key", filter.unique_key, text);
  take("batch_id", filter.batch_id, integer);
  take("metadata", filter.metadata, texts);
  take("error", filter.error, text);
  take("created_from", filter.created_from, integer);
  take("created_to", filter.created_to, integer);
  take("ended_from", filter.ended_from, integer);
  take("ended_to", filter.ended_to, integer);
  take("order", filter.oldest_first, [](const Json& order) { return order == "oldest"; });
  take("limit", filter.page_size, integer);
  return filter;
}
inline std::optional<Number> cursor(const Request& r) {
  return r.json["filter"].contains("cursor") ? std::optional(integer(r.json["filter"]["cursor"])) : std::nullopt;
}

inline Json listed(const honker::ListedJob& job) {
  Json json{{"id", job.id},
            {"queue", job.queue},
            {"payload", stored(job.payload)},
            {"state", state_names.at(static_cast<std::size_t>(job.state))},
            {"priority", job.priority},
            {"run_at", job.run_at},
            {"worker_id", nullable(job.worker_id)},
            {"claim_expires_at", nullable(job.claim_expires_at)},
            {"attempts", job.attempts},
            {"max_attempts", job.max_attempts},
            {"created_at", job.created_at},
            {"expires_at", nullable(job.expires_at)},
            {"last_error", nullable(job.last_error)},
            {"died_at", nullable(job.died_at)},
            {"finished_at", nullable(job.finished_at)},
            {"result", nullable(job.result)},
            {"metadata", nullptr},
            {"unique_key", nullable(job.unique_key)},
            {"concurrency_key", nullable(job.concurrency_key)},
            {"batch_id", nullable(job.batch_id)}};
  if (!job.metadata.empty()) json["metadata"] = Json::parse(job.metadata);
  return json;
}
inline Json list_jobs(const Request& r) {
  const auto page = r.db()->jobs(job_filter(r)).page(cursor(r));
  return {{"page", {{"jobs", list(page.jobs, listed)}, {"cursor", nullable(page.cursor)}}}};
}

inline honker::JobAction action(const std::string& what) {
  using honker::JobAction;
  if (what == "retry") return JobAction::retry();
  if (what == "run_now") return JobAction::run_now();
  if (what == "cancel") return JobAction::cancel();
  if (what == "delete") return JobAction::remove();
  const Json object = Json::parse(what);
  return object.contains("move") ? JobAction::move(text(object["move"]))
                                 : JobAction::priority(integer(object.at("priority")));
}
inline Json apply(const Request& r) {
  const auto jobs = r.db()->jobs(job_filter(r));
  const auto what = action(r.str("action"));
  const auto done = r.tx ? jobs.apply_page_tx(*r.tx, what, cursor(r)) : jobs.apply_page(what, cursor(r));
  return {{"applied",
           {{"changed", done.changed},
            {"conflicts", done.conflicts},
            {"left", nullable(done.left)},
            {"cursor", nullable(done.cursor)}}}};
}

// --- Handlers. ---

inline void HandlerRun::Seen::say(const char* what, const honker::Job& job) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  Json json{{"what", what}, {"id", job.id()}, {"attempts", job.attempts()}, {"worker", job.worker_id()}};
  json["at_us"] = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  const std::map<honker::CancelReason, const char*> reasons{{honker::CancelReason::gone, "gone"},
                                                            {honker::CancelReason::lapsed, "lapsed"},
                                                            {honker::CancelReason::taken, "taken"},
                                                            {honker::CancelReason::timeout, "timeout"},
                                                            {honker::CancelReason::stop, "stop"}};
  if (job.cancelled() && reasons.count(job.cancel_reason())) json["reason"] = reasons.at(job.cancel_reason());
  const std::lock_guard<std::mutex> lock(mutex);
  events.push_back(std::move(json));
  changed.notify_all();
}

inline HandlerRun run_worker(const Request& r) {
  honker::WorkerOptions options;
  options.signals = false;
  options.stop_timeout = std::chrono::milliseconds(0);
  options.log = [](honker::LogLevel, const std::string&) {};
  HandlerRun run;
  run.worker = std::make_shared<honker::Worker>(r.queue()->worker(r.str("worker"), std::move(options)));
  run.ended = std::async(std::launch::async, [worker = run.worker, seen = run.seen, script = r.all("handle", text)] {
    std::size_t calls = 0;  // one at a time
    worker->run([&](honker::Job& job) {
      seen->say("called", job);
      const std::string what = script[std::min(calls++, script.size() - 1)];
      if (what == "ok") return;
      if (what != "wait") throw std::runtime_error(what);
      while (!job.wait_cancelled(std::chrono::hours(1))) continue;
      seen->say("told", job);
      throw std::runtime_error("it was told to end");
    });
  });
  return run;
}

inline Json next_of_handler(const Request& r) {
  const auto seen = r.use<HandlerRun>()->seen;
  std::unique_lock<std::mutex> lock(seen->mutex);
  const auto has_one = [&] { return !seen->events.empty(); };
  const auto limit = std::chrono::milliseconds(r.num("timeout_ms") < 0 ? 3600000 : r.num("timeout_ms"));
  unless(seen->changed.wait_for(lock, limit, has_one), "TIMEOUT");
  Json json = std::move(seen->events.front());
  seen->events.pop_front();
  return json;
}
