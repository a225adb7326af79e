package examples;

import dev.honker.BatchOptions;
import dev.honker.Database;
import dev.honker.EnqueueOptions;
import dev.honker.Honker;
import dev.honker.Job;
import dev.honker.JobSpec;
import dev.honker.QueueUpdate;
import dev.honker.WorkerOptions;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;

/** An issue of a newsletter: a unique job, a batch, steps, and a queue that is paused meanwhile. */
final class Newsletter {
  private static final AtomicInteger rendered = new AtomicInteger();
  private static final CountDownLatch reported = new CountDownLatch(1);

  private static String render(String to) {
    rendered.incrementAndGet();
    return to;
  }

  /** What a mail server would do that is away at first. */
  private static void deliver(Job job, String text) {
    if (job.attempts() == 1) throw new IllegalStateException("the mail server is away");
  }

  private static void split(Job job) {
    Database db = job.database();
    var report = new JobSpec("reports", job.payloadJson(), null);
    db.transactionVoid(
        tx -> {
          db.batch(
              tx,
              BatchOptions.builder().onFinished(report).build(),
              batch -> {
                for (String to : List.of("\"alice\"", "\"bob\"")) batch.enqueue("emails", to);
              });
          if (!job.ack(tx)) tx.rollback();
        });
  }

  private static void send(Job job) throws Exception {
    String text = job.step("render", () -> render(job.payloadJson())); // once, whatever is retried
    deliver(job, text);
  }

  private static void report(Job job) {
    long batch = Long.parseLong(job.metadata().get("batch_id"));
    var status = job.database().batch(batch).get().orElseThrow();
    System.out.println(status.done() + " emails are done, rendered " + rendered + " times");
    reported.countDown();
  }

  public static void main(String[] args) throws Exception {
    try (var db = Honker.open("app.db")) {
      var issues = db.queue("issues");
      var emails = db.queue("emails");
      emails.configure(new QueueUpdate().concurrency(4).rate(100, Duration.ofMinutes(1)));
      emails.pause();

      var once = EnqueueOptions.builder().uniqueKey("issue-7").build();
      issues.enqueue("7", once);
      System.out.println("a second time: " + issues.enqueueWith("7", once).outcome());

      var options = WorkerOptions.builder().concurrency(4).retryDelay(Duration.ZERO).build();
      try (var worker =
          db.worker(options)
              .handle("issues", Newsletter::split)
              .handle("emails", Newsletter::send)
              .handle("reports", Newsletter::report)
              .start()) {
        emails.resume();
        reported.await();
      }
    }
  }
}
