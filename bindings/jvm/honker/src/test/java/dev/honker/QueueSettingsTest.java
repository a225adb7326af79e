package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** What is set for a queue, and comes back as it was set. */
@Timeout(120)
class QueueSettingsTest {
  @TempDir Path directory;

  @Test
  void whatIsSetComesBack() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      QueueSettings defaults = queue.settings();
      assertEquals(
          new QueueSettings(false, null, null, null, 3, null, Duration.ZERO, null), defaults);
      QueueSettings.Retry retry =
          new QueueSettings.Retry(Duration.ofSeconds(5), 1.5, Duration.ofMinutes(10), 0);
      queue.configure(
          new QueueUpdate()
              .concurrency(4)
              .concurrencyPerKey(1)
              .rate(100, Duration.ofMinutes(1))
              .maxAttempts(9)
              .retry(retry)
              .keepDone(Duration.ofHours(1))
              .keepDead(Duration.ofDays(30)));
      queue.configure(new QueueUpdate().paused(true));
      QueueSettings.Rate rate = new QueueSettings.Rate(100, Duration.ofMinutes(1));
      QueueSettings all =
          new QueueSettings(true, 4L, 1L, rate, 9, retry, Duration.ofHours(1), Duration.ofDays(30));
      assertEquals(all, queue.settings());

      db.queue("\"other\" \\ queue").enqueue("1");
      assertEquals(List.of("\"other\" \\ queue", "q"), List.copyOf(db.queues().keySet()));
      assertEquals(all, db.queues().get("q"));
      assertEquals(defaults, db.queues().get("\"other\" \\ queue"));

      queue.configure(
          new QueueUpdate()
              .paused(false)
              .concurrency(null)
              .concurrencyPerKey(null)
              .rate(null)
              .maxAttempts(null)
              .retry(null)
              .keepDone(null)
              .keepDead(null));
      assertEquals(defaults, queue.settings());
    }
  }

  @Test
  void inATransaction() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      Transaction tx = db.begin();
      queue.configure(tx, new QueueUpdate().concurrency(1));
      tx.rollback();
      assertNull(queue.settings().concurrency());
      db.transactionVoid(it -> queue.configure(it, new QueueUpdate().concurrency(1)));
      assertEquals(1, queue.settings().concurrency());
    }
  }

  @Test
  void whatCannotBeIsRefusedAndNothingIsSet() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      refused(
          "concurrency", () -> queue.configure(new QueueUpdate().maxAttempts(9).concurrency(0)));
      refused("rate.limit", () -> queue.configure(new QueueUpdate().rate(0, Duration.ofHours(1))));
      refused("keep_done_s", () -> queue.configure(keepDone(Duration.ofSeconds(-1))));
      refused("keepDone", () -> keepDone(Duration.ofMillis(1)));
      refused("per", () -> new QueueUpdate().rate(1, Duration.ZERO));
      refused("factor", () -> retry(Double.NaN, 0));
      refused("factor", () -> retry(Double.POSITIVE_INFINITY, 0));
      refused("jitter", () -> retry(2, 1.1));
      assertEquals(3, queue.settings().maxAttempts());
    }
  }

  private static QueueUpdate keepDone(Duration time) {
    return new QueueUpdate().keepDone(time);
  }

  private static QueueSettings.Retry retry(double factor, double jitter) {
    return new QueueSettings.Retry(Duration.ofSeconds(1), factor, Duration.ofHours(1), jitter);
  }

  private static void refused(String word, Executable call) {
    String message = assertThrows(HonkerInvalidOptionException.class, call).getMessage();
    assertTrue(message.contains(word), message);
  }

  /** Whoever opens the queue; the options of its handle win, and those of a job before them. */
  @Test
  void theBudgetOfTheQueue() {
    try (Database db = Temporary.open(directory)) {
      db.queue("q").configure(new QueueUpdate().maxAttempts(9));
      db.queue("q").enqueue("1");
      db.queue("q", QueueOptions.builder().maxAttempts(5).build()).enqueue("2");
      db.queue("q").enqueue("3", EnqueueOptions.builder().maxAttempts(2).build());
      db.queue("q").enqueueMany(List.of("4"));
      assertEquals(
          List.of(9L, 5L, 2L, 9L),
          db.queue("q").claimBatch("w", -1).stream().map(Job::maxAttempts).toList());
    }
  }

  /** The worker waits without looking: it is woken. */
  @Test
  void aPausedQueueStandsStillUntilItIsResumed() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      queue.pause();
      queue.pause();
      assertTrue(queue.settings().paused());
      queue.enqueue("1");
      assertTrue(queue.claimOne("w").isEmpty());
      CountDownLatch handled = new CountDownLatch(1);
      try (Runner worker =
          queue.worker("w", job -> handled.countDown(), Temporary.WITHOUT_FALLBACK)) {
        db.queue("other").enqueue("1"); // wakes it
        Thread.sleep(50);
        assertEquals(1, handled.getCount());
        queue.resume();
        handled.await();
        worker.throwIfFailed();
      }
      assertFalse(queue.settings().paused());
    }
  }

  @Test
  void neverMoreThanTheConcurrencyOfTheQueue() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      queue.configure(new QueueUpdate().concurrencyPerKey(1));
      for (int i = 0; i < 20; i++) {
        queue.enqueue("1", EnqueueOptions.builder().concurrencyKey("k" + i % 2).build());
      }
      AtomicInteger running = new AtomicInteger();
      AtomicInteger most = new AtomicInteger();
      CountDownLatch all = new CountDownLatch(20);
      WorkerOptions options = WorkerOptions.builder().concurrency(8).build();
      try (Runner worker =
          queue.worker(
              "w",
              job -> {
                most.accumulateAndGet(running.incrementAndGet(), Math::max);
                Thread.sleep(5);
                running.decrementAndGet();
                all.countDown();
              },
              options)) {
        all.await();
        worker.throwIfFailed();
      }
      assertTrue(most.get() <= 2, most.toString());
    }
  }

  @Test
  void whatIsKeptOfATopic() {
    try (Database db = Temporary.open(directory)) {
      Stream stream = db.stream("t");
      for (int i = 0; i < 5; i++) stream.publish("1");
      assertEquals(0, stream.trim());
      stream.configure(new StreamUpdate().keepN(3).keep(Duration.ofDays(1)));
      stream.saveOffset("c", 1);
      assertEquals(1, stream.trim());
      assertEquals(1, stream.trim(new StreamUpdate(), true));
      assertEquals(2, stream.trim(new StreamUpdate().keepN(1), true));
      stream.configure(new StreamUpdate().keepN(null));
      assertEquals(0, stream.trim(new StreamUpdate(), true));
      refused("keep", () -> new StreamUpdate().keep(Duration.ZERO));
      refused("keep_n", () -> stream.configure(new StreamUpdate().keepN(-1)));
      db.keepNotifications(Duration.ofHours(1));
      db.keepNotifications(null);
      refused("keep_s", () -> db.keepNotifications(Duration.ofSeconds(-1)));
    }
  }
}
