package examples;

import dev.honker.BatchOptions;
import dev.honker.CronSchedule;
import dev.honker.Database;
import dev.honker.EnqueueOptions;
import dev.honker.EnqueueOptions.OnConflict;
import dev.honker.EnqueueOptions.UniqueUntil;
import dev.honker.Honker;
import dev.honker.Job;
import dev.honker.JobAction;
import dev.honker.JobFilter;
import dev.honker.JobSpec;
import dev.honker.JobState;
import dev.honker.Queue;
import dev.honker.QueueSettings.Retry;
import dev.honker.QueueUpdate;
import dev.honker.ScheduleOptions;
import dev.honker.ScheduleOptions.Overlap;
import dev.honker.StreamUpdate;
import dev.honker.Transaction;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/** What a queue can do beside keeping jobs, each in one line; Newsletter is a program with some. */
final class Features {
  private static void enqueue(Queue q, String json) {
    var options = EnqueueOptions.builder();
    options.uniqueKey("user-7");
    options.uniqueUntil(UniqueUntil.CLAIMED);
    options.uniqueFor(Duration.ofHours(1));
    options.delay(Duration.ofSeconds(5)).onConflict(OnConflict.REPLACE);
    options.concurrencyKey("customer-7");
    options.maxRun(Duration.ofMinutes(2));
    options.metadata(Map.of("tenant", "acme"));
    q.enqueue(json, options.build());
    System.out.println(q.enqueueWith(json, options.build()).outcome());
  }

  private static void configure(Queue q) {
    q.configure(new QueueUpdate().concurrency(4));
    q.configure(new QueueUpdate().concurrencyPerKey(1));
    q.configure(new QueueUpdate().rate(100, Duration.ofMinutes(1)));
    var retry = new Retry(Duration.ofSeconds(5), 2, Duration.ofMinutes(10), 0.1);
    q.configure(new QueueUpdate().maxAttempts(10).retry(retry));
    q.configure(new QueueUpdate().keepDone(Duration.ofDays(1)).keepDead(Duration.ofDays(30)));
    q.pause();
    System.out.println("paused: " + q.settings().paused());
    q.resume();
  }

  private static void batches(Database db, String json) {
    var options = BatchOptions.builder().onFinished(new JobSpec("reports", "7", null)).build();
    db.batch(options, batch -> batch.enqueue("q", json));
    var open = db.createBatch(options);
    db.queue("q").enqueue(json, EnqueueOptions.builder().batch(open.id()).build());
    db.batch(open.id()).seal();
    System.out.println(open.get().orElseThrow().pending() + " of a batch to go");
  }

  private static void inAHandler(Database db, Job job) throws Exception {
    job.batch().orElseThrow().enqueue("more", "8");
    var receipt = job.step("charge", () -> "\"receipt\"");
    db.transaction(tx -> job.step(tx, "book", () -> book(tx, receipt)));
    if (job.cancelled().isPresent()) return;
    System.out.println("of " + job.metadata().getOrDefault("tenant", "nobody"));
    if (job.attempts() > 1) job.release();
    else job.snooze(Duration.ofMinutes(10));
  }

  private static String book(Transaction tx, String receipt) {
    tx.execute("INSERT INTO books (entry) VALUES (?)", List.of(receipt));
    return null;
  }

  private static void schedule(Database db) {
    var options = ScheduleOptions.builder().overlap(Overlap.SKIP).build();
    db.scheduler().add("sync", "syncs", CronSchedule.every(Duration.ofMinutes(1)), "1", options);
    db.stream("orders").configure(new StreamUpdate().keepN(1000));
    db.keepNotifications(Duration.ofDays(1));
  }

  private static void operate(Database db, Queue q, long id) {
    q.cancel(id);
    var filter = JobFilter.builder().state(JobState.DEAD).error("timeout").build();
    try (var dead = db.jobs().list(filter)) {
      dead.forEach(job -> System.out.println(job.queue() + ": " + job.lastError()));
    }
    System.out.println(q.deadGroups().equals(db.deadGroups()));
    db.deadGroups().forEach(group -> System.out.println(group.count() + ": " + group.error()));
    System.out.println(db.jobs().apply(filter, JobAction.RETRY).changed() + " retried");
    db.jobs().apply(filter, JobAction.move("other"));
    db.metrics().forEach(queue -> System.out.println(queue.queue() + " " + queue.depth().due()));
  }

  public static void main(String[] args) throws Exception {
    try (var db = Honker.open("app.db")) {
      db.transactionVoid(tx -> tx.execute("CREATE TABLE books (entry TEXT)"));
      var q = db.queue("q");
      configure(q);
      enqueue(db.queue("others"), "1");
      batches(db, "2");
      inAHandler(db, q.claimOne("w").orElseThrow());
      schedule(db);
      long cancelled = q.enqueue("3");
      q.claimOne("w").orElseThrow().fail("timeout after 30 s");
      operate(db, q, cancelled);
    }
  }
}
