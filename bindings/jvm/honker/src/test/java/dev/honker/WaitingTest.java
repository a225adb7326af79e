package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.lang.ref.WeakReference;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Waiting: woken by commits, ended by interrupts and closing, and nothing is left behind. */
@Timeout(120)
class WaitingTest {
  @TempDir Path directory;

  private static Thread start(AtomicReference<Throwable> outcome, Temporary.Condition work) {
    Thread thread =
        new Thread(
            () -> {
              try {
                work.holds();
              } catch (Throwable e) {
                outcome.set(e);
              }
            });
    thread.start();
    return thread;
  }

  @Test
  void aWaitingWorkerIsInterruptedWithNothingInHand() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      try (Worker worker = queue.worker("w")) {
        AtomicReference<Throwable> outcome = new AtomicReference<>();
        Thread thread = start(outcome, () -> worker.next().isPresent());
        Temporary.eventually(() -> Temporary.isParked(thread));
        thread.interrupt();
        thread.join();
        assertTrue(outcome.get() instanceof InterruptedException, String.valueOf(outcome.get()));
        queue.enqueue("1");
        assertEquals(1, worker.next(Duration.ofSeconds(5)).orElseThrow().attempts());
        Thread.currentThread().interrupt();
        assertThrows(InterruptedException.class, () -> worker.next(Duration.ZERO));
        assertFalse(Thread.interrupted());
      }
    }
  }

  /**
   * Interrupts fall into claims at any moment. Whatever was claimed has come out, in one piece,
   * once.
   */
  @Test
  void noInterruptLosesAClaim() throws Exception {
    int jobs = 2000;
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      Set<Long> seen = ConcurrentHashMap.newKeySet();
      AtomicInteger interrupts = new AtomicInteger();
      List<Thread> workers = new ArrayList<>();
      for (int i = 0; i < 3; i++) {
        String name = "w" + i;
        Thread thread =
            new Thread(
                () -> {
                  try (Worker worker = queue.worker(name)) {
                    while (seen.size() < jobs) {
                      try {
                        worker
                            .next(Duration.ofMillis(200))
                            .ifPresent(
                                job -> {
                                  assertEquals(1, job.attempts());
                                  assertTrue(job.ack());
                                  assertTrue(seen.add(job.id()));
                                });
                      } catch (InterruptedException e) {
                        interrupts.incrementAndGet();
                      }
                    }
                  }
                });
        thread.start();
        workers.add(thread);
      }
      for (int i = 0; i < jobs; i++) {
        queue.enqueue("1");
        workers.get(i % 3).interrupt();
      }
      Temporary.eventually(() -> seen.size() == jobs);
      for (Thread worker : workers) worker.join();
      assertTrue(interrupts.get() > 0);
      assertTrue(queue.statsJson().contains("\"claimed\":0"), queue.statsJson());
    }
  }

  @Test
  void closingEndsAWait() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Listener listener =
          db.listen("c", ListenOptions.builder().fallback(Duration.ofHours(1)).build());
      AtomicReference<Throwable> outcome = new AtomicReference<>();
      Thread thread = start(outcome, () -> listener.next().isPresent());
      Temporary.eventually(() -> Temporary.isParked(thread));
      listener.close();
      thread.join();
      assertTrue(outcome.get() instanceof HonkerClosedException, String.valueOf(outcome.get()));
    }
  }

  @Test
  void closingTheDatabaseEndsAllWaits() throws Exception {
    Database db = Temporary.open(directory);
    Listener listener = db.listen("c");
    UpdateEvents updates = db.updateEvents();
    AtomicReference<Throwable> one = new AtomicReference<>();
    AtomicReference<Throwable> two = new AtomicReference<>();
    AtomicReference<Throwable> three = new AtomicReference<>();
    List<Thread> threads =
        List.of(
            start(one, () -> listener.next().isPresent()),
            start(two, () -> updates.awaitUpdate(null)),
            start(three, () -> db.queue("q").waitResult(1, WaitOptions.builder().build()) != null));
    for (Thread thread : threads) Temporary.eventually(() -> Temporary.isParked(thread));
    db.close();
    for (Thread thread : threads) thread.join();
    for (AtomicReference<Throwable> it : List.of(one, two, three)) {
      assertTrue(it.get() instanceof HonkerClosedException, String.valueOf(it.get()));
    }
  }

  @Test
  void interruptingTheDatabaseEndsWaitsOnce() throws Exception {
    try (Database db = Temporary.open(directory);
        Worker worker = db.queue("q").worker("w")) {
      AtomicReference<Throwable> outcome = new AtomicReference<>();
      Thread thread = start(outcome, () -> worker.next().isPresent());
      Temporary.eventually(() -> Temporary.isParked(thread));
      db.interrupt();
      thread.join();
      assertEquals("HONKER_INTERRUPTED", ((HonkerException) outcome.get()).name());
      db.queue("q").enqueue("1");
      assertTrue(worker.next(Duration.ofSeconds(5)).isPresent());
    }
  }

  @Test
  void aTransactionOfThisProcessIsWaitedForAndInterruptible() throws Exception {
    try (Database db = Temporary.open(directory)) {
      AtomicReference<Throwable> outcome = new AtomicReference<>();
      Thread thread;
      try (Transaction tx = db.begin()) {
        thread = start(outcome, () -> db.queue("q").enqueue("1") > 0);
        Temporary.eventually(() -> Temporary.isParked(thread));
        db.interrupt();
        thread.join();
        assertEquals("HONKER_INTERRUPTED", ((HonkerException) outcome.get()).name());
      }
      AtomicReference<Throwable> fine = new AtomicReference<>();
      Thread second;
      try (Transaction tx = db.begin()) {
        second = start(fine, () -> db.queue("q").enqueue("2") > 0);
        Temporary.eventually(() -> Temporary.isParked(second));
        tx.commit();
        second.join(); // which does not have to wait for the end of the block
      }
      assertEquals(null, fine.get());
      assertEquals("2", db.queue("q").claimOne("w").orElseThrow().payloadJson());
    }
  }

  @Test
  void aTransactionThatTakesTooLong() throws Exception {
    OpenOptions hurried = OpenOptions.builder().busyTimeout(Duration.ofMillis(100)).build();
    try (Database db = Honker.open(directory.resolve("app.db"), hurried);
        Transaction tx = db.begin()) {
      AtomicReference<Throwable> outcome = new AtomicReference<>();
      start(outcome, () -> db.queue("q").enqueue("1") > 0).join();
      assertTrue(outcome.get() instanceof HonkerBusyException, String.valueOf(outcome.get()));
    }
  }

  @Test
  void aDelayedJobComesWhenItIsDue() throws Exception {
    try (Database db = Temporary.open(directory);
        Worker worker = db.queue("q").worker("w", Temporary.WITHOUT_FALLBACK)) {
      db.queue("q").enqueue("1", EnqueueOptions.builder().delay(Duration.ofSeconds(2)).build());
      assertTrue(worker.next(Duration.ofMinutes(1)).isPresent());
    }
  }

  @Test
  void aReadyFutureComesWithACommit() throws Exception {
    try (Database db = Temporary.open(directory);
        Worker worker = db.queue("q").worker("w")) {
      worker.ready().get(60, TimeUnit.SECONDS); // it has not looked yet
      CompletableFuture<Void> ready;
      do { // a look that a commit of before has come upon is followed by another
        ready = worker.ready();
        assertTrue(worker.next(Duration.ZERO).isEmpty());
      } while (ready.isDone());
      db.queue("q").enqueue("1");
      ready.get(60, TimeUnit.SECONDS);
      assertTrue(worker.next(Duration.ZERO).isPresent());
    }
  }

  @Test
  void results() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      CompletableFuture<String> result =
          queue.waitResultAsync(1, WaitOptions.timeout(Duration.ofMinutes(1)));
      CompletableFuture<String> late =
          queue.waitResultAsync(2, WaitOptions.timeout(Duration.ofMillis(50)));
      queue.saveResult(1, "\"yes\"");
      assertEquals("\"yes\"", result.get());
      ExecutionException e = assertThrows(ExecutionException.class, late::get);
      assertTrue(e.getCause() instanceof HonkerTimeoutException);
      assertEquals("wait_result(2) timed out", e.getCause().getMessage());
      assertThrows(
          HonkerTimeoutException.class,
          () -> queue.waitResult(2, WaitOptions.timeout(Duration.ofMillis(10))));
      CompletableFuture<String> orphan = queue.waitResultAsync(3, WaitOptions.builder().build());
      db.close();
      ExecutionException closed =
          assertThrows(ExecutionException.class, () -> orphan.get(60, TimeUnit.SECONDS));
      assertTrue(
          closed.getCause() instanceof HonkerClosedException, String.valueOf(closed.getCause()));
    }
  }

  /** An executor that takes nothing any more costs nobody a wake. */
  @Test
  void anExecutorThatIsShutDown() throws Exception {
    ExecutorService executor = Executors.newSingleThreadExecutor();
    OpenOptions options = OpenOptions.builder().executor(executor).build();
    try (Database db = Honker.open(directory.resolve("app.db"), options);
        Listener listener =
            db.listen("c", ListenOptions.builder().fallback(Duration.ofHours(1)).build())) {
      Queue queue = db.queue("q");
      CompletableFuture<String> result =
          queue.waitResultAsync(1, WaitOptions.timeout(Duration.ofHours(1)));
      CompletableFuture<String> late =
          queue.waitResultAsync(2, WaitOptions.timeout(Duration.ofMillis(50)));
      executor.shutdown();
      queue.saveResult(1, "1");
      assertEquals("1", result.get(60, TimeUnit.SECONDS));
      assertThrows(ExecutionException.class, () -> late.get(60, TimeUnit.SECONDS));
      db.notify("c", "1");
      assertTrue(listener.next(Duration.ofMinutes(1)).isPresent());
      CompletableFuture<Void> ready = listener.ready();
      assertTrue(listener.next(Duration.ZERO).isEmpty());
      db.notify("c", "2");
      ready.get(60, TimeUnit.SECONDS);
    }
  }

  /** A result that has come is the caller's alone, although its time is not over for long. */
  @Test
  void aResultThatHasComeIsKeptByNobody() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      List<WeakReference<Object>> results = new ArrayList<>();
      for (int id = 1; id <= 50; id++) results.addAll(oneResult(queue, id));
      Temporary.eventually(
          () -> {
            System.gc();
            return results.stream().allMatch(it -> it.get() == null);
          });
      assertTrue(db.query("SELECT 1").size() == 1);
    }
  }

  private static List<WeakReference<Object>> oneResult(Queue queue, long id) throws Exception {
    WaitOptions anHour = WaitOptions.timeout(Duration.ofHours(1));
    CompletableFuture<String> early = queue.waitResultAsync(id, anHour);
    queue.saveResult(id, "\"" + "x".repeat(1000) + id + "\"");
    CompletableFuture<String> late = queue.waitResultAsync(id, anHour);
    CompletableFuture<String> cancelled = queue.waitResultAsync(-id, anHour);
    cancelled.cancel(false);
    List<WeakReference<Object>> references = new ArrayList<>();
    for (Object it : List.of(early.get(), late.get(), early, late, cancelled)) {
      references.add(new WeakReference<>(it));
    }
    return references;
  }

  /** Each commit wakes it; waiting long must not cost more for that. */
  @Test
  void aResultThatIsWaitedForDoesNotGrow() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      CompletableFuture<String> result =
          queue.waitResultAsync(1, WaitOptions.timeout(Duration.ofHours(1)));
      int before = result.getNumberOfDependents();
      try (UpdateEvents updates = db.updateEvents()) {
        for (int i = 0; i < 50; i++) {
          queue.enqueue("1");
          assertTrue(updates.awaitUpdate(Duration.ofSeconds(20)));
          Thread.sleep(2); // it looks again
        }
      }
      assertTrue(result.getNumberOfDependents() <= before + 1, result.toString());
      assertFalse(result.isDone());
    }
  }

  /**
   * A hundred listeners are parked, and one thread is in the library. Afterwards all of it is gone.
   */
  @Test
  void nothingIsLeftBehind() throws Exception {
    Path file = directory.resolve("app.db");
    for (int round = 0; round < 2; round++) {
      Temporary.eventually(() -> Temporary.threads("honker") == 0); // of the test before
      long before = descriptors();
      Database db = Honker.open(file);
      List<Thread> threads = new ArrayList<>();
      CountDownLatch heard = new CountDownLatch(100);
      for (int i = 0; i < 100; i++) {
        Listener listener = db.listen("c");
        threads.add(
            start(
                new AtomicReference<>(),
                () -> {
                  assertEquals("1", listener.next().orElseThrow().payloadJson());
                  heard.countDown();
                  return listener.next().isPresent();
                }));
      }
      for (Thread thread : threads) Temporary.eventually(() -> Temporary.isParked(thread));
      assertEquals(1, Temporary.threads("honker"));
      db.notify("c", "1");
      assertTrue(heard.await(60, TimeUnit.SECONDS));
      Runner worker = db.queue("q").worker("w", job -> {});
      Runner scheduler = db.scheduler().run();
      assertFalse(worker.failed() || scheduler.failed());
      db.close();
      for (Thread thread : threads) thread.join();
      Temporary.eventually(() -> Temporary.threads("honker") == 0);
      // The library keeps some of the file's, as many as it had at once: connections, not
      // listeners.
      Temporary.eventually(() -> descriptors() < before + 20);
    }
  }

  /** How many descriptors there are of the database, or of what the library is woken with. */
  private long descriptors() throws Exception {
    String[] names = new File("/proc/self/fd").list();
    if (names == null) return 0;
    long count = 0;
    for (String name : names) {
      try {
        String target = Files.readSymbolicLink(Path.of("/proc/self/fd", name)).toString();
        boolean isOurs = target.startsWith(directory.toString());
        if (isOurs
            || target.contains("inotify")
            || target.contains("eventfd")
            || target.startsWith("pipe:")) count++;
      } catch (java.io.IOException e) {
        // it was the one that lists them
      }
    }
    return count;
  }

  /** What was forgotten is freed, and said. */
  @Test
  void aForgottenTransactionIsRolledBack() throws Exception {
    try (Database db = Temporary.open(directory)) {
      forget(db);
      Temporary.eventually(
          () -> {
            System.gc();
            try (Transaction tx = db.begin()) {
              return true;
            } catch (HonkerException e) {
              return false;
            }
          });
      assertNotNull(db.queue("q").enqueue("1"));
    }
  }

  private static void forget(Database db) {
    Transaction tx = db.begin();
    assertEquals(1, tx.query("SELECT 1").size());
  }
}
