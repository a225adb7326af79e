package testee;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import dev.honker.AppliedJobs;
import dev.honker.BatchOptions;
import dev.honker.BatchStatus;
import dev.honker.ClaimLostException;
import dev.honker.DeadGroup;
import dev.honker.EnqueueOptions;
import dev.honker.JobAction;
import dev.honker.JobFilter;
import dev.honker.JobInfo;
import dev.honker.JobPage;
import dev.honker.JobSpec;
import dev.honker.JobState;
import dev.honker.Queue;
import dev.honker.QueueMetrics;
import dev.honker.QueueSettings;
import dev.honker.QueueUpdate;
import dev.honker.Stream;
import dev.honker.StreamUpdate;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;

/** The operations of limits, batches, steps, lists of jobs and handlers. */
final class Features {
  private Features() {}

  static void addTo(Map<String, Testee.Operation> ops) {
    ops.put(
        "queue.configure",
        r -> Testee.done(() -> r.use(Queue.class).configure(update(r.part("settings")))));
    ops.put(
        "queue.settings",
        r ->
            Json.object(
                "settings", settings(r.use(Queue.class).name(), r.use(Queue.class).settings())));
    ops.put(
        "queues",
        r -> {
          JsonArray all = new JsonArray();
          r.db().queues().forEach((name, is) -> all.add(settings(name, is)));
          return Json.object("queues", all);
        });
    ops.put("metrics", r -> Json.object("queues", Json.list(r.db().metrics(), Features::metrics)));
    ops.put(
        "dead.groups",
        r -> Json.object("groups", Json.list(r.use(Queue.class).deadGroups(), Features::group)));
    ops.put(
        "jobs.list", r -> Json.object("page", page(r.db().jobs().page(filter(r.part("filter"))))));
    ops.put(
        "jobs.apply",
        r ->
            Json.object(
                "applied",
                applied(
                    r.db()
                        .jobs()
                        .apply(r.tx(), filter(r.part("filter")), action(r.str("action"))))));
    ops.put(
        "batch.create",
        r -> Json.object("id", r.db().createBatch(r.tx(), batch(r.part("options"))).id()));
    ops.put("batch.seal", r -> Json.object("sealed", r.db().batch(r.tx(), r.num("id")).seal()));
    ops.put(
        "batch.get",
        r -> Json.object("batch", status(Testee.or(r.db().batch(r.num("id")).get(), "EMPTY"))));
    ops.put(
        "step.get",
        r ->
            Json.object(
                "value", Json.stored(Testee.or(r.job().getStep(r.tx(), r.str("name")), "EMPTY"))));
    ops.put("step.save", r -> step(r, () -> Json.payload(r.get("value"))));
    ops.put(
        "stream.configure",
        r -> Testee.done(() -> r.use(Stream.class).configure(kept(r.part("settings")))));
    ops.put(
        "stream.trim",
        r -> {
          Request settings = r.part("settings");
          boolean pastConsumers =
              settings.has("past_consumers") && settings.get("past_consumers").getAsBoolean();
          return Json.object("n", r.use(Stream.class).trim(kept(settings), pastConsumers));
        });
    ops.put(
        "notify.configure",
        r ->
            Testee.done(
                () -> r.db().keepNotifications(r.part("settings").secondsOrNull("keep_s"))));
    ops.put(
        "worker.run",
        r ->
            r.keep(
                () ->
                    new HandlerRun(
                        r.use(Queue.class), r.str("worker"), r.all("handle", Json::text))));
    ops.put(
        "handler.next",
        r -> Testee.or(r.use(HandlerRun.class).next(r.num("timeout_ms")), "TIMEOUT"));
  }

  private static JsonElement step(Request r, Callable<String> work) throws Exception {
    try {
      return Json.object("value", Json.stored(r.job().step(r.tx(), r.str("name"), work)));
    } catch (ClaimLostException e) {
      throw new Testee.Otherwise("outcome", "LOST");
    }
  }

  private static QueueUpdate update(Request settings) {
    QueueUpdate update = new QueueUpdate();
    for (String key : settings.json().keySet()) {
      Integer number = settings.intOrNull(key);
      switch (key) {
        case "paused" -> update.paused(settings.has(key) && settings.get(key).getAsBoolean());
        case "concurrency" -> update.concurrency(number);
        case "concurrency_per_key" -> update.concurrencyPerKey(number);
        case "rate" -> update.rate(rate(settings));
        case "max_attempts" -> update.maxAttempts(number);
        case "retry" -> update.retry(retry(settings));
        case "keep_done_s" -> update.keepDone(settings.secondsOrNull(key));
        case "keep_dead_s" -> update.keepDead(settings.secondsOrNull(key));
        default -> throw new Testee.Otherwise("unsupported", "unknown_keys");
      }
    }
    return update;
  }

  private static QueueSettings.Rate rate(Request settings) {
    if (!settings.has("rate")) return null;
    Request rate = settings.part("rate");
    return new QueueSettings.Rate(rate.num("limit"), rate.seconds("per_s"));
  }

  private static QueueSettings.Retry retry(Request settings) {
    if (!settings.has("retry")) return null;
    Request retry = settings.part("retry");
    return new QueueSettings.Retry(
        Duration.ofSeconds(retry.num("base_s", 15)),
        retry.has("factor") ? retry.get("factor").getAsDouble() : 2,
        Duration.ofSeconds(retry.num("max_s", 3600)),
        retry.has("jitter") ? retry.get("jitter").getAsDouble() : 0.1);
  }

  private static JsonElement settings(String queue, QueueSettings is) {
    JsonObject json = Json.object("queue", queue, "paused", is.paused());
    json.add("concurrency", Json.of(is.concurrency()));
    json.add("concurrency_per_key", Json.of(is.concurrencyPerKey()));
    QueueSettings.Rate rate = is.rate();
    json.add(
        "rate",
        rate == null ? null : Json.object("limit", rate.limit(), "per_s", rate.per().getSeconds()));
    json.addProperty("max_attempts", is.maxAttempts());
    QueueSettings.Retry retry = is.retry();
    JsonObject times =
        retry == null
            ? null
            : Json.object("base_s", retry.base().getSeconds(), "max_s", retry.max().getSeconds());
    if (times != null) {
      times.addProperty("factor", retry.factor());
      times.addProperty("jitter", retry.jitter());
    }
    json.add("retry", times);
    json.add("keep_done_s", seconds(is.keepDone()));
    json.add("keep_dead_s", seconds(is.keepDead()));
    return json;
  }

  private static JsonElement seconds(Duration duration) {
    return Json.of(duration == null ? null : (Long) duration.getSeconds());
  }

  private static JsonElement at(Instant instant) {
    return Json.of(instant == null ? null : (Long) instant.getEpochSecond());
  }

  private static JsonElement metrics(QueueMetrics of) {
    JsonObject json = Json.object("queue", of.queue());
    JsonObject counts =
        Json.object("enqueued", of.counts().enqueued(), "claimed", of.counts().claimed());
    counts.addProperty("done", of.counts().done());
    counts.addProperty("retried", of.counts().retried());
    counts.addProperty("released", of.counts().released());
    counts.addProperty("dead", of.counts().dead());
    counts.addProperty("cancelled", of.counts().cancelled());
    json.add("counts", counts);
    json.add("wait", histogram(of.queueWait()));
    json.add("run", histogram(of.runTime()));
    JsonObject depth = Json.object("due", of.depth().due(), "delayed", of.depth().delayed());
    depth.addProperty("processing", of.depth().processing());
    depth.addProperty("blocked", of.depth().blocked());
    depth.addProperty("expired", of.depth().expired());
    depth.addProperty("dead", of.depth().dead());
    depth.add("oldest_due_age_s", seconds(of.depth().oldestDue()));
    json.add("depth", depth);
    return json;
  }

  private static JsonElement histogram(QueueMetrics.Histogram of) {
    return Json.object(
        "sum_s",
        of.sum(),
        "buckets",
        Json.list(
            of.buckets(),
            it ->
                Json.object(
                    "up_to_s",
                    Double.isInfinite(it.upTo()) ? null : (Double) it.upTo(),
                    "count",
                    it.count())));
  }

  private static JsonElement group(DeadGroup group) {
    JsonObject json = Json.object("error", group.error(), "count", group.count());
    json.add("newest", job(group.newest()));
    return json;
  }

  private static JobFilter filter(Request filter) {
    JobFilter.Builder builder = JobFilter.builder();
    for (String key : filter.json().keySet()) {
      switch (key) {
        case "queue" -> builder.queue(filter.str(key));
        case "state" -> builder.state(states(filter.get(key)));
        case "min_id" -> builder.minId(filter.num(key));
        case "max_id" -> builder.maxId(filter.num(key));
        case "worker_id" -> builder.workerId(filter.str(key));
        case "unique_key" -> builder.uniqueKey(filter.str(key));
        case "batch_id" -> builder.batch(filter.num(key));
        case "metadata" -> builder.metadata(Json.texts(filter.get(key)));
        case "error" -> builder.error(filter.str(key));
        case "created_from" -> builder.createdFrom(Instant.ofEpochSecond(filter.num(key)));
        case "created_to" -> builder.createdTo(Instant.ofEpochSecond(filter.num(key)));
        case "ended_from" -> builder.endedFrom(Instant.ofEpochSecond(filter.num(key)));
        case "ended_to" -> builder.endedTo(Instant.ofEpochSecond(filter.num(key)));
        case "order" -> {
          if (filter.str(key).equals("oldest")) builder.oldestFirst();
        }
        case "limit" -> builder.pageSize(filter.intOrNull(key));
        case "cursor" -> builder.cursor(filter.num(key));
        default -> throw new Testee.Otherwise("unsupported", "unknown_keys");
      }
    }
    return builder.build();
  }

  private static JobState[] states(JsonElement given) {
    List<JsonElement> names =
        given.isJsonArray() ? given.getAsJsonArray().asList() : List.of(given);
    return names.stream()
        .map(name -> JobState.valueOf(Json.text(name).toUpperCase(Locale.ROOT)))
        .toArray(JobState[]::new);
  }

  private static JobAction action(String what) {
    switch (what) {
      case "retry":
        return JobAction.RETRY;
      case "run_now":
        return JobAction.RUN_NOW;
      case "cancel":
        return JobAction.CANCEL;
      case "delete":
        return JobAction.DELETE;
      default:
        if (!what.startsWith("{")) throw new Testee.Otherwise("unsupported", "unknown_keys");
        JsonObject action = Json.parse(what).getAsJsonObject();
        return action.has("move")
            ? JobAction.move(Json.text(action.get("move")))
            : JobAction.priority(Json.integer(action.get("priority")));
    }
  }

  private static JsonElement applied(AppliedJobs is) {
    JsonObject json = Json.object("changed", is.changed(), "conflicts", is.conflicts());
    json.add("left", Json.of(is.left()));
    json.add("cursor", Json.of(is.cursor()));
    return json;
  }

  private static JsonElement page(JobPage page) {
    return Json.object("jobs", Json.list(page.jobs(), Features::job), "cursor", page.cursor());
  }

  private static JsonElement job(JobInfo job) {
    JsonObject json = Json.object("id", job.id(), "queue", job.queue());
    json.add("payload", Json.stored(job.payloadJson()));
    json.addProperty("state", Json.word(job.state()));
    json.addProperty("priority", job.priority());
    json.add("run_at", at(job.runAt()));
    json.add("worker_id", Json.of(job.workerId()));
    json.add("claim_expires_at", at(job.claimExpiresAt()));
    json.addProperty("attempts", job.attempts());
    json.addProperty("max_attempts", job.maxAttempts());
    json.add("created_at", at(job.createdAt()));
    json.add("expires_at", at(job.expiresAt()));
    json.add("last_error", Json.of(job.lastError()));
    json.add("died_at", at(job.diedAt()));
    json.add("finished_at", at(job.finishedAt()));
    json.add("result", Json.of(job.resultJson()));
    json.add("metadata", job.metadata().isEmpty() ? null : Json.of(job.metadata()));
    json.add("unique_key", Json.of(job.uniqueKey()));
    json.add("concurrency_key", Json.of(job.concurrencyKey()));
    json.add("batch_id", Json.of(job.batchId()));
    return json;
  }

  private static BatchOptions batch(Request options) {
    BatchOptions.Builder builder = BatchOptions.builder();
    if (options.has("on_finished")) builder.onFinished(callback(options.part("on_finished")));
    if (options.has("on_success")) builder.onSuccess(callback(options.part("on_success")));
    if (options.has("keep_s")) builder.keep(options.seconds("keep_s"));
    return builder.build();
  }

  private static JobSpec callback(Request job) {
    EnqueueOptions.Builder options = EnqueueOptions.builder();
    if (job.has("options")) {
      Request given = job.part("options");
      Testee.more(given, options);
      options.priority(given.num("priority", 0));
      if (given.has("max_attempts")) options.maxAttempts(given.num("max_attempts"));
      if (given.has("expires_s")) options.expires(given.seconds("expires_s"));
    }
    return new JobSpec(job.str("queue"), job.str("payload"), options.build());
  }

  private static JsonElement status(BatchStatus is) {
    JsonObject json = Json.object("total", is.total(), "pending", is.pending());
    json.addProperty("done", is.done());
    json.addProperty("dead", is.dead());
    json.addProperty("cancelled", is.cancelled());
    json.addProperty("sealed", is.sealed());
    json.add("finished_at", at(is.finishedAt()));
    return json;
  }

  private static StreamUpdate kept(Request settings) {
    StreamUpdate kept = new StreamUpdate();
    if (settings.json().has("keep_s")) kept.keep(settings.secondsOrNull("keep_s"));
    if (settings.json().has("keep_n")) kept.keepN(settings.intOrNull("keep_n"));
    return kept;
  }
}
