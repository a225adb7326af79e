package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Handlers, payloads and signals that mean no good: the worker goes on, and no job is lost. */
@Timeout(300)
class HostileTest {
  @TempDir Path directory;

  private static WorkerOptions.Builder atOnce(int concurrency) {
    return WorkerOptions.builder().concurrency(concurrency).retryDelay(Duration.ZERO);
  }

  private static long count(Database db, String table) {
    return db.query("SELECT count(*) AS n FROM " + table).get(0).getLong("n");
  }

  @Test
  void whateverIsThrown() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q", QueueOptions.builder().maxAttempts(1).build());
      List<Throwable> all =
          List.of(
              new StackOverflowError(),
              new OutOfMemoryError("its own"),
              new ThreadDeath(),
              new AssertionError("no"),
              new Exception((String) null),
              new InterruptedException("its own"),
              new HonkerClosedException("its own"));
      for (int i = 0; i < all.size(); i++) queue.enqueue(String.valueOf(i));
      queue.enqueue("-1");
      CountDownLatch good = new CountDownLatch(1);
      try (Runner worker =
          queue.worker(
              "w",
              job -> {
                int which = Integer.parseInt(job.payloadJson());
                if (which < 0) {
                  good.countDown();
                  return;
                }
                Throwable it = all.get(which);
                if (it instanceof Error error) throw error;
                throw (Exception) it;
              },
              atOnce(2).build())) {
        good.await();
        Temporary.eventually(() -> count(db, "_honker_dead") == all.size());
        worker.throwIfFailed();
      }
    }
  }

  /** The second settlement changes nothing, whichever it is, and the worker's own neither. */
  @Test
  void settledTwice() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      List<Boolean> second = new CopyOnWriteArrayList<>();
      queue.enqueue("1");
      try (Runner worker =
          queue.worker(
              "w",
              job -> {
                assertTrue(job.ack());
                second.add(job.ack());
                second.add(job.retry(Duration.ZERO, "no"));
                second.add(job.fail("no"));
                second.add(job.release());
                second.add(job.heartbeat());
                throw new IllegalStateException("and fails");
              },
              atOnce(1).build())) {
        Temporary.eventually(() -> second.size() == 5);
        queue.enqueue("2");
        Temporary.eventually(() -> second.size() == 10);
        Temporary.eventually(() -> count(db, "_honker_live") == 0);
        worker.throwIfFailed();
      }
      assertFalse(second.contains(true));
      assertEquals(0, count(db, "_honker_dead"));
    }
  }

  /** One place less, and the others go on; its job goes back at the end. */
  @Test
  void aHandlerThatNeverReturns() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      CountDownLatch stuck = new CountDownLatch(1);
      CountDownLatch others = new CountDownLatch(20);
      CountDownLatch end = new CountDownLatch(1);
      queue.enqueue("0");
      Runner worker =
          queue.worker(
              "w",
              job -> {
                others.countDown();
                if (!job.payloadJson().equals("0")) return;
                stuck.countDown();
                while (end.getCount() > 0) Thread.onSpinWait();
              },
              atOnce(2).stopTimeout(Duration.ZERO).build());
      stuck.await();
      for (int i = 1; i < 20; i++) queue.enqueue("1");
      others.await();
      worker.close();
      assertThrows(IllegalStateException.class, worker::await);
      assertEquals(1, queue.claimOne("again").orElseThrow().attempts());
      end.countDown();
    }
  }

  @Test
  void concurrency() throws Exception {
    assertThrows(HonkerInvalidOptionException.class, () -> atOnce(0));
    assertThrows(HonkerInvalidOptionException.class, () -> atOnce(-1));
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      AtomicInteger handled = new AtomicInteger();
      queue.enqueueMany(java.util.Collections.nCopies(500, "1"));
      try (Runner worker =
          queue.worker("w", job -> handled.incrementAndGet(), atOnce(10_000).build())) {
        Temporary.eventually(() -> count(db, "_honker_live") == 0);
        worker.throwIfFailed();
      }
      assertEquals(500, handled.get());
    }
  }

  /** Not JSON, large, empty, and of a queue whose name cannot be. */
  @Test
  void payloads() throws Exception {
    try (Database db = Temporary.open(directory)) {
      assertThrows(HonkerException.class, () -> db.queue("a\0b").enqueue("1"));
      assertThrows(
          HonkerException.class,
          () -> db.worker(atOnce(1).build()).handle("a\0b", job -> {}).start());
      assertThrows(HonkerException.class, () -> db.queue("q").worker("w\0", job -> {}));
      Queue queue = db.queue("q");
      List<String> all = List.of("not JSON", "", "{\"half\":", "\u0001\t", "x".repeat(10_000_000));
      List<String> seen = new CopyOnWriteArrayList<>();
      all.forEach(queue::enqueue);
      try (Runner worker =
          queue.worker("w", job -> seen.add(job.payloadJson()), atOnce(1).build())) {
        Temporary.eventually(() -> seen.size() == all.size());
        worker.throwIfFailed();
      }
      assertEquals(all, seen);
      db.close();
      assertThrows(HonkerClosedException.class, () -> queue.worker("w", job -> {}));
    }
  }

  private static boolean runs(String... command) throws Exception {
    return new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .start()
            .waitFor()
        == 0;
  }

  /** The disk is full when jobs are to be settled: that is said once, and waited out. */
  @Test
  void aFullDisk() throws Exception {
    String disk = directory.toString();
    boolean isMounted;
    try {
      isMounted = runs("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk);
    } catch (java.io.IOException e) {
      isMounted = false; // there is no such command
    }
    if (!isMounted) System.out.println("SKIPPED a full disk on the JVM: nothing can be mounted");
    assumeTrue(isMounted);
    try (Database db = Temporary.open(directory);
        Logged logged = new Logged()) {
      Queue queue = db.queue("q");
      queue.enqueueMany(List.of("1", "2", "3"));
      CountDownLatch begun = new CountDownLatch(3);
      CountDownLatch isFull = new CountDownLatch(1);
      AtomicInteger calls = new AtomicInteger();
      String story = "a long story ".repeat(10_000); // more than what is left of a page
      WorkerOptions options =
          WorkerOptions.builder().concurrency(3).retryDelay(Duration.ofHours(1)).build();
      try (Runner worker =
          queue.worker(
              "w",
              job -> {
                calls.incrementAndGet();
                begun.countDown();
                isFull.await();
                throw new IllegalStateException(story);
              },
              options)) {
        begun.await();
        Path ballast = directory.resolve("ballast");
        fill(ballast);
        isFull.countDown();
        Temporary.eventually(() -> logged.count(" waits and tries again: ") == 1);
        Thread.sleep(1000); // it tries again, and does not say so again
        assertEquals(1, logged.count(" waits and tries again: "));
        assertEquals(3, count(db, "_honker_live WHERE state = 'processing'"));
        Files.delete(ballast);
        Temporary.eventually(() -> count(db, "_honker_live WHERE state = 'pending'") == 3);
        Temporary.eventually(() -> logged.count(" goes on") == 1);
        worker.throwIfFailed();
      }
      assertEquals(3, calls.get());
    } finally {
      assertTrue(runs("umount", "-l", disk)); // honker keeps descriptors, for its locks
    }
  }

  private static void fill(Path file) throws Exception {
    try (var out = Files.newOutputStream(file)) {
      while (true) out.write(new byte[512]);
    } catch (java.io.IOException e) {
      // no space is left
    }
  }
}
