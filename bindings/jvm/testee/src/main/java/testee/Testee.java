package testee;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import dev.honker.CronSchedule;
import dev.honker.Database;
import dev.honker.EnqueueOptions;
import dev.honker.EnqueueOptions.OnConflict;
import dev.honker.EnqueueOptions.UniqueUntil;
import dev.honker.EnqueueResult;
import dev.honker.Fire;
import dev.honker.Honker;
import dev.honker.HonkerClosedException;
import dev.honker.HonkerException;
import dev.honker.HonkerTimeoutException;
import dev.honker.Job;
import dev.honker.Listener;
import dev.honker.Lock;
import dev.honker.LockOptions;
import dev.honker.Notification;
import dev.honker.NotificationPruneOptions;
import dev.honker.OpenOptions;
import dev.honker.OutboxOptions;
import dev.honker.Queue;
import dev.honker.QueueOptions;
import dev.honker.ResultOptions;
import dev.honker.Row;
import dev.honker.ScheduleOptions;
import dev.honker.ScheduleOptions.Overlap;
import dev.honker.ScheduleUpdate;
import dev.honker.SchedulerOptions;
import dev.honker.Stream;
import dev.honker.StreamEvent;
import dev.honker.SubscribeOptions;
import dev.honker.Subscription;
import dev.honker.Transaction;
import dev.honker.UpdateEvents;
import dev.honker.WaitOptions;
import dev.honker.WatcherOptions;
import dev.honker.Worker;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.WeakHashMap;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * The testee of the Java package: does with it what the conformance suite asks for
 * (conformance/PROTOCOL.md).
 *
 * <p>Threads: main reads the requests and gives each to the thread of its lane; answers are written
 * under a lock. A reset is done by main itself, when the lanes have ended.
 */
public final class Testee {
  private static final JsonObject DONE = new JsonObject();

  /** Of the queues and outboxes that were opened with less than one attempt, how many. */
  private static final Map<Object, Long> NO_ATTEMPTS =
      Collections.synchronizedMap(new WeakHashMap<>());

  private static final List<String> FEATURES =
      List.of(
          "journal",
          "watcher",
          "interrupt",
          "foreign",
          "tx",
          "queue",
          "enqueue_many",
          "by_id",
          "settle_tx",
          "release",
          "metadata",
          "unique",
          "schedule_options",
          "next_at",
          "stats",
          "dead",
          "wait",
          "updates",
          "stream",
          "notify",
          "sched",
          "cron",
          "result",
          "result_tx",
          "lock",
          "rate",
          "rate_sweep",
          "outbox",
          "prune_keep",
          "tick_at",
          "nesting",
          "text",
          "settings",
          "batch",
          "step",
          "bulk",
          "metrics",
          "counters",
          "handlers",
          "fault.abi");

  /** Does an operation; its answer is an object. */
  interface Operation {
    JsonElement run(Request r) throws Exception;
  }

  private static final Map<String, Operation> OPERATIONS = new HashMap<>();

  static {
    Map<String, Operation> ops = OPERATIONS;
    Features.addTo(ops);
    ops.put(
        "hello",
        r -> {
          JsonObject hello = Json.object("testee", "jvm", "version", Honker.version());
          hello.addProperty("pid", ProcessHandle.current().pid());
          hello.add("features", Json.list(FEATURES, Json::of));
          return hello;
        });
    ops.put("open", r -> r.keep(() -> open(r)));
    ops.put("close", r -> r.handles().close(r.handle()));
    ops.put("interrupt", r -> done(r.db()::interrupt));
    ops.put("foreign.exec", Testee::foreignExec);
    ops.put("tx.begin", r -> r.keep(() -> r.db().begin()));
    ops.put("tx.commit", r -> done(r.use(Transaction.class)::commit));
    ops.put("tx.rollback", r -> done(r.use(Transaction.class)::rollback));
    ops.put(
        "sql.exec",
        r -> Json.object("changes", r.use(Transaction.class).execute(r.str("sql"), r.params())));
    ops.put("sql.query", r -> Json.object("rows", Json.list(query(r), Testee::row)));
    ops.put("queue.open", r -> r.keep(() -> queue(r)));
    ops.put(
        "queue.enqueue",
        r -> {
          EnqueueOptions options = enqueue(r, r.use(Queue.class));
          EnqueueResult result = r.use(Queue.class).enqueueWith(r.tx(), r.data(), options);
          return Json.object("id", result.id(), "status", Json.word(result.outcome()));
        });
    ops.put(
        "queue.enqueue_many",
        r -> {
          List<String> payloads = r.all("payloads", Json::payload);
          List<Long> ids =
              r.use(Queue.class).enqueueMany(r.tx(), payloads, enqueue(r, r.use(Queue.class)));
          return Json.object("ids", Json.list(ids, Json::of));
        });
    ops.put(
        "queue.claim", r -> jobs(r, r.use(Queue.class).claimBatch(r.str("worker"), r.num("n"))));
    ops.put("queue.ack", r -> held(r.use(Queue.class).ack(r.tx(), r.num("id"), r.str("worker"))));
    ops.put(
        "queue.retry",
        r ->
            held(
                r.use(Queue.class)
                    .retry(
                        r.tx(),
                        r.num("id"),
                        r.str("worker"),
                        r.seconds("delay_s"),
                        r.str("error"))));
    ops.put(
        "queue.fail",
        r -> held(r.use(Queue.class).fail(r.tx(), r.num("id"), r.str("worker"), r.str("error"))));
    ops.put(
        "queue.heartbeat",
        r ->
            held(
                r.use(Queue.class).heartbeat(r.num("id"), r.str("worker"), r.seconds("extend_s"))));
    ops.put(
        "queue.release",
        r ->
            held(
                r.use(Queue.class)
                    .release(r.tx(), r.num("id"), r.str("worker"), r.seconds("delay_s"))));
    ops.put(
        "queue.ack_many",
        r ->
            Json.object(
                "acked",
                r.use(Queue.class).ackBatch(r.all("ids", Json::integer), r.str("worker"))));
    ops.put("queue.cancel", r -> Json.object("cancelled", r.use(Queue.class).cancel(r.num("id"))));
    ops.put(
        "queue.get",
        r ->
            Json.object(
                "job", Json.parsed(or(r.use(Queue.class).getJobJson(r.num("id")), "EMPTY"))));
    ops.put(
        "queue.next_at",
        r -> Json.object("at", r.use(Queue.class).nextClaimAtEpochSecond().orElse(0L)));
    ops.put("queue.sweep", r -> Json.object("n", r.use(Queue.class).sweepExpired()));
    ops.put("queue.stats", r -> Json.object("stats", Json.parsed(r.use(Queue.class).statsJson())));
    ops.put(
        "dead.list",
        r -> Json.object("jobs", Json.parsed(r.use(Queue.class).deadJson(r.num("limit", -1)))));
    ops.put(
        "dead.requeue", r -> Json.object("requeued", r.use(Queue.class).requeueDead(r.num("id"))));
    ops.put(
        "dead.purge",
        r -> Json.object("n", r.use(Queue.class).purgeDead(r.seconds("older_than_s"))));
    ops.put("worker.open", r -> r.keep(() -> r.use(Queue.class).worker(r.str("worker"))));
    ops.put("next", Testee::next);
    ops.put("updates.open", r -> r.keep(() -> r.db().updateEvents()));
    ops.put("stream.open", r -> r.keep(() -> r.db().stream(r.str("topic"))));
    ops.put(
        "stream.publish",
        r ->
            Json.object(
                "offset", r.use(Stream.class).publish(r.tx(), r.data(), r.str("key", null))));
    ops.put(
        "stream.read",
        r -> events(r.use(Stream.class).readSince(r.num("offset"), r.num("limit", -1))));
    ops.put(
        "stream.read_consumer",
        r -> events(r.use(Stream.class).readFromConsumer(r.str("consumer"), r.num("limit", -1))));
    ops.put(
        "stream.save",
        r ->
            Json.object(
                "saved",
                r.use(Stream.class).saveOffset(r.tx(), r.str("consumer"), r.num("offset"))));
    ops.put(
        "stream.offset",
        r -> Json.object("offset", r.use(Stream.class).getOffset(r.str("consumer"))));
    ops.put("stream.subscribe", r -> r.keep(() -> subscribe(r)));
    ops.put("subscription.ack", r -> done(r.use(Subscription.class)::ack));
    ops.put("subscription.save", r -> done(r.use(Subscription.class)::save));
    ops.put("subscription.offset", r -> Json.object("offset", r.use(Subscription.class).offset()));
    ops.put(
        "notify.send", r -> Json.object("id", r.db().notify(r.tx(), r.str("channel"), r.data())));
    ops.put("notify.prune", r -> Json.object("n", r.db().pruneNotifications(prune(r))));
    ops.put("listen.open", r -> r.keep(() -> r.db().listen(r.str("channel"))));
    ops.put("sched.add", r -> done(() -> schedule(r)));
    ops.put("sched.update", r -> changed(r.db().scheduler().update(r.str("name"), update(r))));
    ops.put("sched.remove", r -> changed(r.db().scheduler().remove(r.str("name"))));
    ops.put("sched.pause", r -> changed(r.db().scheduler().pause(r.str("name"))));
    ops.put("sched.resume", r -> changed(r.db().scheduler().resume(r.str("name"))));
    ops.put(
        "sched.list", r -> Json.object("schedules", Json.parsed(r.db().scheduler().listJson())));
    ops.put("sched.tick", r -> Json.object("fires", Json.list(tick(r), Testee::fire)));
    ops.put(
        "sched.soonest",
        r -> Json.object("at", r.db().scheduler().soonestEpochSecond().orElse(0L)));
    ops.put(
        "sched.run",
        r -> {
          SchedulerOptions options = SchedulerOptions.builder().owner(r.str("owner")).build();
          return r.keep(() -> r.db().scheduler().run(options));
        });
    ops.put(
        "cron.next_after",
        r -> {
          long from = r.num("from");
          return Json.object(
              "at", CronSchedule.crontab(r.str("schedule")).nextAfterEpochSecond(from));
        });
    ops.put(
        "result.save",
        r ->
            done(
                () ->
                    any(r).saveResult(r.tx(), r.num("id"), Json.payload(r.get("value")), ttl(r))));
    ops.put(
        "result.get",
        r -> Json.object("value", Json.stored(or(any(r).getResult(r.num("id")), "EMPTY"))));
    ops.put(
        "result.wait",
        r -> {
          WaitOptions options = WaitOptions.timeout(r.timeout());
          return Json.object("value", Json.stored(any(r).waitResult(r.num("id"), options)));
        });
    ops.put("result.sweep", r -> Json.object("n", any(r).sweepResults()));
    ops.put("lock.acquire", r -> r.keep(() -> or(r.db().tryLock(r.str("name"), lock(r)), "HELD")));
    ops.put("lock.renew", r -> held(r.use(Lock.class).heartbeat(r.seconds("ttl_s"))));
    ops.put("lock.release", r -> held(r.use(Lock.class).release()));
    ops.put(
        "rate.try",
        r ->
            unless(
                r.db().tryRateLimit(r.str("name"), r.num("limit"), r.seconds("per_s")), "LIMITED"));
    ops.put("rate.sweep", r -> Json.object("n", r.db().sweepRateLimits(r.seconds("older_than_s"))));
    ops.put(
        "outbox.open",
        r ->
            r.keep(
                () -> {
                  ScriptedOutbox outbox =
                      new ScriptedOutbox(
                          r.db(), r.str("name"), outbox(r), r.all("deliver", Json::text));
                  if (hasNoAttempts(r)) NO_ATTEMPTS.put(outbox, r.num("max_attempts"));
                  return outbox;
                }));
    ops.put(
        "outbox.enqueue",
        r ->
            Json.object(
                "id",
                r.use(ScriptedOutbox.class)
                    .outbox
                    .enqueue(r.tx(), r.data(), enqueue(r, r.use(ScriptedOutbox.class)))));
    ops.put(
        "outbox.run_once",
        r ->
            Json.object("handled", r.use(ScriptedOutbox.class).outbox.deliverOne(r.str("worker"))));
    ops.put(
        "outbox.run",
        r -> r.keep(() -> r.use(ScriptedOutbox.class).outbox.runWorker(r.str("worker"))));
    ops.put(
        "outbox.calls",
        r -> Json.object("payloads", Json.list(r.use(ScriptedOutbox.class).calls(), Json::stored)));
  }

  private static Database open(Request r) {
    WatcherOptions.Builder watcher = WatcherOptions.builder();
    if (r.has("watcher")) watcher.backend(r.str("watcher"));
    if (r.has("poll_ms")) watcher.pollInterval(Duration.ofMillis(r.num("poll_ms")));
    OpenOptions.Builder options = OpenOptions.builder().watcherOptions(watcher.build());
    if (r.has("busy_timeout_ms")) options.busyTimeout(Duration.ofMillis(r.num("busy_timeout_ms")));
    if (r.has("journal")) options.journalMode(r.str("journal"));
    return Honker.open(r.str("path"), options.build());
  }

  private static JsonElement foreignExec(Request r) throws Exception {
    long times = r.num("times", 1);
    try (var connection = java.sql.DriverManager.getConnection("jdbc:sqlite:" + r.str("path"));
        var statement = connection.createStatement()) {
      statement.execute("PRAGMA busy_timeout = 5000");
      for (long i = 0; i < times; i++) statement.execute(r.str("sql"));
    }
    return Json.object("done", times);
  }

  private static List<Row> query(Request r) {
    return r.handle() instanceof Transaction tx
        ? tx.query(r.str("sql"), r.params())
        : r.db().query(r.str("sql"), r.params());
  }

  private static JsonElement row(Row row) {
    JsonArray values = new JsonArray();
    for (int i = 0; i < row.columns().size(); i++) values.add(Json.of(row.get(i)));
    return values;
  }

  private static Queue queue(Request r) {
    QueueOptions.Builder options = QueueOptions.builder();
    if (r.has("visibility_timeout_s")) options.visibilityTimeout(r.seconds("visibility_timeout_s"));
    if (r.has("max_attempts") && !hasNoAttempts(r)) options.maxAttempts(r.num("max_attempts"));
    Queue queue = r.db().queue(r.str("name"), options.build());
    if (hasNoAttempts(r)) NO_ATTEMPTS.put(queue, r.num("max_attempts"));
    return queue;
  }

  /** The package refuses such a queue: the option of each job says it instead. */
  private static boolean hasNoAttempts(Request r) {
    return r.has("max_attempts") && r.num("max_attempts") < 1;
  }

  /** Any queue: results are those of the whole file. */
  private static Queue any(Request r) {
    return r.db().queue("");
  }

  private static EnqueueOptions enqueue(Request r, Object home) {
    EnqueueOptions.Builder options = EnqueueOptions.builder();
    if (NO_ATTEMPTS.containsKey(home)) options.maxAttempts(NO_ATTEMPTS.get(home));
    if (r.has("run_at")) options.runAtEpochSecond(r.num("run_at"));
    if (r.has("expires_s")) options.expires(r.seconds("expires_s"));
    more(r, options);
    return options.priority(r.num("priority", 0)).build();
  }

  /** What jobs of schedules, and those at the end of a batch, have as well. */
  static void more(Request r, EnqueueOptions.Builder options) {
    if (r.has("delay_s")) options.delay(r.seconds("delay_s"));
    if (r.has("metadata")) options.metadata(Json.texts(r.get("metadata")));
    options.uniqueKey(r.str("unique_key", null));
    if (r.has("unique_until")) options.uniqueUntil(r.word("unique_until", UniqueUntil.class));
    if (r.has("unique_for_s")) options.uniqueFor(r.seconds("unique_for_s"));
    if (r.has("on_conflict")) options.onConflict(r.word("on_conflict", OnConflict.class));
    options.concurrencyKey(r.str("concurrency_key", null));
    if (r.has("max_run_s")) options.maxRun(r.seconds("max_run_s"));
    if (r.has("member")) {
      options.batch(r.num("batch_id"), r.member());
    } else if (r.has("batch_id")) {
      options.batch(r.num("batch_id"));
    }
  }

  private static JsonElement jobs(Request r, List<Job> jobs) {
    return Json.object(
        "jobs",
        Json.list(
            jobs,
            job -> {
              JsonObject json = Json.object("id", job.id(), "queue", job.queue());
              r.handles().give(job);
              json.addProperty("worker", job.workerId());
              json.addProperty("attempts", job.attempts());
              json.add("payload", Json.stored(job.payloadJson()));
              if (!job.metadata().isEmpty()) json.add("metadata", Json.of(job.metadata()));
              return json;
            }));
  }

  private static JsonElement next(Request r) throws Exception {
    Object handle = r.handle();
    boolean wasClosed = r.handles().wasClosed(handle);
    try {
      if (handle instanceof Worker worker) {
        List<Job> jobs = worker.nextBatch(r.num("n", 1), r.timeout());
        return jobs.isEmpty() && r.num("n", 1) > 0 ? unless(false, "TIMEOUT") : jobs(r, jobs);
      }
      if (handle instanceof UpdateEvents updates) {
        return unless(updates.awaitUpdate(r.timeout()), "TIMEOUT");
      }
      if (handle instanceof Subscription subscription) {
        return Json.object("event", event(or(subscription.next(r.timeout()), "TIMEOUT")));
      }
      Notification it = or(((Listener) handle).next(r.timeout()), "TIMEOUT");
      JsonObject json = Json.object("id", it.id(), "channel", it.channel());
      json.add("payload", Json.stored(it.payloadJson()));
      return Json.object("notification", json);
    } catch (HonkerClosedException e) {
      if (wasClosed) throw e;
      throw new Otherwise("outcome", "CLOSED");
    }
  }

  private static JsonElement event(StreamEvent e) {
    JsonObject json = Json.object("offset", e.offset(), "topic", e.topic());
    json.add("key", Json.of(e.key()));
    json.add("payload", Json.stored(e.payloadJson()));
    json.addProperty("created_at", e.createdAt().getEpochSecond());
    return json;
  }

  private static JsonElement events(List<StreamEvent> events) {
    return Json.object("events", Json.list(events, Testee::event));
  }

  private static Subscription subscribe(Request r) {
    SubscribeOptions.Builder options = SubscribeOptions.builder().consumer(r.str("consumer", null));
    if (r.has("from_offset")) options.fromOffset(r.num("from_offset"));
    if (r.has("save_every_n")) options.saveEveryEvents(r.num("save_every_n"));
    if (r.has("save_every_ms")) options.saveEvery(Duration.ofMillis(r.num("save_every_ms")));
    return r.use(Stream.class).subscribe(options.build());
  }

  private static NotificationPruneOptions prune(Request r) {
    NotificationPruneOptions.Builder options = NotificationPruneOptions.builder();
    if (r.has("older_than_s")) options.olderThan(r.seconds("older_than_s"));
    if (r.has("max_keep")) options.maxKeep(r.num("max_keep"));
    return options.build();
  }

  private static void schedule(Request r) {
    ScheduleOptions.Builder options = ScheduleOptions.builder().priority(r.num("priority", 0));
    if (r.has("expires_s")) options.expires(r.seconds("expires_s"));
    if (r.has("max_attempts")) options.maxAttempts(r.num("max_attempts"));
    if (r.has("overlap")) options.overlap(r.word("overlap", Overlap.class));
    EnqueueOptions.Builder job = EnqueueOptions.builder();
    more(r, job);
    options.job(job.build());
    CronSchedule when = CronSchedule.crontab(r.str("schedule"));
    r.db().scheduler().add(r.str("name"), r.str("queue"), when, r.data(), options.build());
  }

  private static ScheduleUpdate update(Request r) {
    ScheduleUpdate update = new ScheduleUpdate();
    if (r.has("schedule")) update.expression(r.str("schedule"));
    if (r.json().has("payload")) update.payload(r.data());
    if (r.has("priority")) update.priority(r.num("priority"));
    if (r.json().has("expires_s"))
      update.expires(r.has("expires_s") ? r.seconds("expires_s") : null);
    if (r.json().has("max_attempts")) {
      update.maxAttempts(r.has("max_attempts") ? (Long) r.num("max_attempts") : null);
    }
    return update;
  }

  private static List<Fire> tick(Request r) {
    return r.has("now")
        ? r.db().scheduler().tickedEpochSecond(r.num("now"))
        : r.db().scheduler().tick();
  }

  private static JsonElement fire(Fire fire) {
    JsonObject json = Json.object("name", fire.name(), "queue", fire.queue());
    json.addProperty("fire_at", fire.fireAtEpochSecond());
    if (fire.outcome() == Fire.Outcome.SKIPPED) json.add("job_id", Json.of(null));
    else json.addProperty("job_id", fire.jobId());
    boolean isPlain = fire.outcome() == Fire.Outcome.ENQUEUED;
    if (!isPlain) json.addProperty("status", Json.word(fire.outcome()));
    return json;
  }

  private static ResultOptions ttl(Request r) {
    return r.has("ttl_s") ? ResultOptions.ttl(r.seconds("ttl_s")) : ResultOptions.neverExpires();
  }

  private static LockOptions lock(Request r) {
    return LockOptions.builder().owner(r.str("owner", null)).ttl(r.seconds("ttl_s")).build();
  }

  private static OutboxOptions outbox(Request r) {
    OutboxOptions.Builder options = OutboxOptions.builder();
    if (r.has("visibility_timeout_s")) options.visibilityTimeout(r.seconds("visibility_timeout_s"));
    if (r.has("max_attempts") && !hasNoAttempts(r)) options.maxAttempts(r.num("max_attempts"));
    if (r.has("base_backoff_s")) options.baseBackoff(r.seconds("base_backoff_s"));
    return options.build();
  }

  static <T> T or(Optional<T> item, String outcome) {
    return item.orElseThrow(() -> new Otherwise("outcome", outcome));
  }

  private static JsonElement unless(boolean is, String outcome) {
    if (!is) throw new Otherwise("outcome", outcome);
    return DONE;
  }

  private static JsonElement held(boolean isHeld) {
    return unless(isHeld, "LOST");
  }

  private static JsonElement changed(boolean is) {
    return Json.object("changed", is);
  }

  static JsonElement done(Runnable action) {
    action.run();
    return DONE;
  }

  /** Thrown where the answer is an outcome, or something else that is said by a name. */
  static final class Otherwise extends RuntimeException {
    private static final long serialVersionUID = 1;
    final String key;
    final String name;

    Otherwise(String key, String name) {
      super(name, null, false, false);
      this.key = key;
      this.name = name;
    }
  }

  private static JsonObject answer(JsonObject request, Handles handles) {
    JsonObject answer = new JsonObject();
    answer.add("seq", request.get("seq"));
    try {
      Operation operation = OPERATIONS.get(request.get("op").getAsString());
      if (operation == null) throw new Otherwise("unsupported", request.get("op").getAsString());
      answer.add("ok", operation.run(new Request(request, handles)));
    } catch (Otherwise e) {
      answer.addProperty(e.key, e.name);
    } catch (HonkerTimeoutException e) {
      answer.addProperty("outcome", "TIMEOUT");
    } catch (HonkerException e) {
      answer.add("error", error(e.name().substring("HONKER_".length()), e));
    } catch (Throwable e) {
      StringWriter trace = new StringWriter();
      e.printStackTrace(new PrintWriter(trace));
      answer.add("crashed", Json.object("message", e.toString(), "trace", trace.toString()));
    }
    return answer;
  }

  private static JsonElement error(String name, Exception e) {
    JsonObject json = Json.object("name", name, "type", e.getClass().getName());
    json.addProperty("message", asAsked(String.valueOf(e.getMessage())));
    return json;
  }

  /** With the names of options that the requests have. */
  private static String asAsked(String message) {
    return message
        .replace("uniqueKey", "unique_key")
        .replace("uniqueFor", "unique_for_s")
        .replaceAll("\\bkeep ", "keep_s ");
  }

  /**
   * Does requests in the order in which it is given them, until there is one without an operation.
   */
  private static final class Lane extends Thread {
    final LinkedBlockingQueue<JsonObject> requests = new LinkedBlockingQueue<>();
    final Handles handles;
    final PrintStream out;

    Lane(Handles handles, PrintStream out) {
      this.handles = handles;
      this.out = out;
      setDaemon(true);
      start();
    }

    @Override
    public void run() {
      try {
        for (JsonObject it = requests.take(); it.has("op"); it = requests.take()) {
          write(out, answer(it, handles));
        }
      } catch (InterruptedException e) {
        // nobody interrupts it
      }
    }
  }

  private static synchronized void write(PrintStream out, JsonObject line) {
    out.println(line);
    out.flush();
  }

  /**
   * Serves until it is told "bye", or whoever asks is gone.
   *
   * @param args none
   * @throws Exception if the requests cannot be read
   */
  public static void main(String[] args) throws Exception {
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    Handles handles = new Handles();
    Map<String, Lane> lanes = new HashMap<>();
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonObject request = Json.parse(line).getAsJsonObject();
      String op = request.get("op").getAsString();
      if (!op.equals("reset") && !op.equals("bye")) {
        String name = request.has("lane") ? request.get("lane").getAsString() : "";
        lanes.computeIfAbsent(name, it -> new Lane(handles, out)).requests.put(request);
        continue;
      }
      for (Lane lane : lanes.values()) {
        lane.requests.put(new JsonObject());
        for (lane.join(10); lane.isAlive(); lane.join(10)) handles.interrupt();
      }
      lanes.clear();
      handles.dropAll();
      JsonObject answer = new JsonObject();
      answer.add("seq", request.get("seq"));
      answer.add("ok", DONE);
      write(out, answer);
      if (op.equals("bye")) System.exit(0);
    }
    System.exit(1);
  }
}
