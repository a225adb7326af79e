package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Workers with handlers: several jobs at a time, what is lost, what takes too long, and the end.
 */
@Timeout(120)
class WorkersTest {
  @TempDir Path directory;

  private static WorkerOptions.Builder at(int concurrency) {
    return WorkerOptions.builder().concurrency(concurrency).retryDelay(Duration.ZERO);
  }

  private static boolean isEmpty(Queue queue) {
    String stats = queue.statsJson();
    return stats.contains("\"pending\":0")
        && stats.contains("\"claimed\":0")
        && stats.contains("\"delayed\":0");
  }

  private static Row live(Database db, long id) {
    return db.query("SELECT * FROM _honker_live WHERE id = ?", List.of(id)).get(0);
  }

  /** Each handler waits for all the others; they are all the jobs of one worker. */
  @Test
  void jobsRunSideBySide() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      CountDownLatch all = new CountDownLatch(8);
      List<String> claimants = new CopyOnWriteArrayList<>();
      for (int i = 0; i < 8; i++) queue.enqueue("1");
      try (Runner worker =
          queue.worker(
              "w",
              job -> {
                claimants.add(job.workerId());
                all.countDown();
                assertTrue(all.await(60, TimeUnit.SECONDS));
              },
              at(8).build())) {
        Temporary.eventually(() -> isEmpty(queue));
        worker.throwIfFailed();
      }
      assertEquals(8, claimants.size());
      assertEquals(1, claimants.stream().distinct().count());
      assertTrue(claimants.get(0).matches("w@[0-9a-f]{32}"), claimants.get(0));
      Temporary.eventually(() -> Temporary.threads("honker-worker") == 0);
    }
  }

  @Test
  void neverMoreThanTheConcurrency() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      AtomicInteger now = new AtomicInteger();
      AtomicInteger most = new AtomicInteger();
      AtomicInteger done = new AtomicInteger();
      for (int i = 0; i < 500; i++) queue.enqueue("1");
      try (Runner worker =
          queue.worker(
              "w",
              job -> {
                most.accumulateAndGet(now.incrementAndGet(), Math::max);
                assertEquals(1, job.attempts());
                done.incrementAndGet();
                now.decrementAndGet();
              },
              at(3).build())) {
        Temporary.eventually(() -> isEmpty(queue));
        worker.throwIfFailed();
      }
      assertEquals(500, done.get());
      assertTrue(most.get() <= 3, most.toString());
      assertEquals("[]", queue.deadJson(-1));
    }
  }

  /** It is interrupted, and nobody else is. */
  @Test
  void aCancelledJobInterruptsItsHandler() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      CountDownLatch begun = new CountDownLatch(2);
      CountDownLatch cancelled = new CountDownLatch(1);
      AtomicReference<Throwable> other = new AtomicReference<>();
      long id = queue.enqueue("cancelled");
      queue.enqueue("other");
      try (Runner worker =
          queue.worker(
              "w",
              job -> {
                begun.countDown();
                try {
                  if (job.id() == id) {
                    new CountDownLatch(1).await();
                  } else {
                    cancelled.await();
                  }
                } catch (InterruptedException e) {
                  if (job.id() != id) other.set(e);
                  cancelled.countDown();
                }
              },
              at(2).build())) {
        begun.await();
        assertTrue(queue.cancel(id));
        Temporary.eventually(() -> isEmpty(queue));
        queue.enqueue("after");
        Temporary.eventually(() -> isEmpty(queue));
        worker.throwIfFailed();
      }
      assertEquals(null, other.get());
      assertEquals("[]", queue.deadJson(-1));
    }
  }

  @Test
  void aJobThatRunsTooLongIsTriedAgain() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q", QueueOptions.builder().maxAttempts(2).build());
      UntilInterrupted handler = new UntilInterrupted();
      queue.enqueue("1");
      WorkerOptions options = at(1).maxRun(Duration.ofSeconds(2)).retryBase(Duration.ZERO).build();
      try (Runner worker = queue.worker("w", handler, options)) {
        Temporary.eventually(() -> queue.statsJson().contains("\"dead\":1"));
        worker.throwIfFailed();
      }
      assertEquals(List.of(CancelReason.TIMEOUT, CancelReason.TIMEOUT), handler.reasons);
      assertTrue(queue.deadJson(-1).contains("timeout after 2 s"), queue.deadJson(-1));
    }
  }

  /** The handler does nothing for it, and is the only one: the worker still extends its claim. */
  @Test
  void aClaimIsExtendedWhileItsHandlerRuns() throws Exception {
    try (Database db = Temporary.open(directory)) {
      QueueOptions short3 = QueueOptions.builder().visibilityTimeout(Duration.ofSeconds(3)).build();
      Queue queue = db.queue("q", short3);
      CountDownLatch end = new CountDownLatch(1);
      long id = queue.enqueue("1");
      try (Runner worker = queue.worker("w", job -> end.await(), at(1).build())) {
        Temporary.eventually(() -> "processing".equals(live(db, id).getString("state")));
        long first = live(db, id).getLong("claim_expires_at");
        Temporary.eventually(() -> live(db, id).getLong("claim_expires_at") > first + 1);
        end.countDown();
        Temporary.eventually(() -> isEmpty(queue));
        worker.throwIfFailed();
      }
    }
  }

  /** The attempt of a handler that was cancelled by closing does not count. */
  @Test
  void closingGivesBackWhatDoesNotEndInTime() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q", QueueOptions.builder().maxAttempts(1).build());
      CountDownLatch begun = new CountDownLatch(2);
      long ends = queue.enqueue("ends");
      long obeys = queue.enqueue("obeys");
      Runner worker =
          queue.worker(
              "w",
              job -> {
                begun.countDown();
                try {
                  new CountDownLatch(1).await();
                } catch (InterruptedException e) {
                  if (job.id() == obeys) throw e;
                }
              },
              at(2).stopTimeout(Duration.ofMillis(50)).grace(Duration.ofMinutes(1)).build());
      begun.await();
      worker.close();
      assertFalse(worker.failed());
      assertEquals(Set(obeys), pending(db));
      assertTrue(queue.getJobJson(ends).isEmpty());
      assertTrue(queue.claimOne("again").isPresent()); // for the only time that it may be
    }
  }

  @Test
  void closingGivesBackWhatDoesNotEndAtAll() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q", QueueOptions.builder().maxAttempts(1).build());
      CountDownLatch begun = new CountDownLatch(1);
      CountDownLatch stubborn = new CountDownLatch(1);
      long id = queue.enqueue("ignores");
      Runner worker =
          queue.worker(
              "w",
              job -> {
                begun.countDown();
                while (stubborn.getCount() > 0) Thread.onSpinWait();
              },
              at(1).stopTimeout(Duration.ofMillis(50)).grace(Duration.ofMillis(50)).build());
      begun.await();
      worker.close();
      assertFalse(worker.failed());
      assertEquals(Set(id), pending(db));
      stubborn.countDown();
      Temporary.eventually(() -> Temporary.threads("honker-worker") == 0);
      assertEquals(Set(id), pending(db)); // it is too late to be done
      assertTrue(queue.claimOne("again").isPresent());
    }
  }

  private static java.util.Set<Long> Set(long... ids) {
    java.util.Set<Long> set = new java.util.TreeSet<>();
    for (long id : ids) set.add(id);
    return set;
  }

  private static java.util.Set<Long> pending(Database db) {
    java.util.Set<Long> set = new java.util.TreeSet<>();
    for (Row row : db.query("SELECT id FROM _honker_live WHERE state = 'pending' AND attempts = 0"))
      set.add(row.getLong("id"));
    return set;
  }

  /** It is rolled back, the job has failed, and the worker goes on. */
  @Test
  void aHandlerThatLeavesItsTransactionOpen() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q", QueueOptions.builder().maxAttempts(1).build());
      db.transactionVoid(tx -> tx.execute("CREATE TABLE mine (a)"));
      CopyOnWriteArrayList<Transaction> forgotten = new CopyOnWriteArrayList<>();
      queue.enqueue("returns");
      queue.enqueue("throws");
      queue.enqueue("good");
      try (Runner worker =
          queue.worker(
              "w",
              job -> {
                if (job.payloadJson().equals("good")) return;
                Transaction tx = db.begin();
                forgotten.add(tx);
                tx.execute("INSERT INTO mine VALUES (1)");
                if (job.payloadJson().equals("throws")) throw new IllegalStateException("mine");
              })) {
        Temporary.eventually(() -> queue.statsJson().contains("\"dead\":2") && isEmpty(queue));
        worker.throwIfFailed();
      }
      assertEquals(0, db.query("SELECT count(*) AS n FROM mine").get(0).getLong("n"));
      String dead = queue.deadJson(-1);
      assertTrue(dead.contains("left its transaction open") && dead.contains("mine"), dead);
      for (Transaction tx : forgotten) assertThrows(HonkerException.class, tx::commit);
      db.transactionVoid(tx -> tx.execute("INSERT INTO mine VALUES (2)"));
    }
  }

  @Test
  void aListenersTransactionIsNotLeftOpenEither() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Runner runner = db.listen("c", notification -> db.begin());
      db.notify("c", "1");
      Temporary.eventually(runner::failed);
      assertTrue(runner.failure().orElseThrow().getMessage().contains("transaction open"));
      db.notify("c", "2"); // for which nobody has to wait
    }
  }

  /**
   * Neither a snooze nor a release takes an attempt; one that a handler settles is settled once.
   */
  @Test
  void whatAHandlerSettlesItself() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q", QueueOptions.builder().maxAttempts(1).build());
      ConcurrentHashMap<String, AtomicInteger> calls = new ConcurrentHashMap<>();
      for (String json : List.of("snooze", "release", "fail", "ack", "tx")) {
        calls.put(json, new AtomicInteger());
        queue.enqueue(json);
      }
      try (Runner worker =
          queue.worker(
              "w",
              job -> {
                int call = calls.get(job.payloadJson()).incrementAndGet();
                assertEquals(1, job.attempts());
                switch (job.payloadJson()) {
                  case "snooze" -> {
                    if (call < 3) assertTrue(job.snooze(Duration.ZERO));
                  }
                  case "release" -> {
                    if (call < 3) assertTrue(job.release());
                  }
                  case "fail" -> assertTrue(job.fail("never"));
                  case "tx" -> db.transactionVoid(tx -> assertTrue(job.ack(tx)));
                  default -> assertTrue(job.ack());
                }
              },
              at(2).build())) {
        Temporary.eventually(() -> isEmpty(queue));
        worker.throwIfFailed();
      }
      assertEquals(3, calls.get("snooze").get());
      assertEquals(3, calls.get("release").get());
      for (String once : List.of("fail", "ack", "tx")) assertEquals(1, calls.get(once).get(), once);
      assertTrue(queue.deadJson(-1).contains("never"), queue.deadJson(-1));
    }
  }

  /** Two workers of one id would take each other's jobs for their own. */
  @Test
  void eachStartIsAWorkerOfItsOwn() throws Exception {
    try (Database db = Temporary.open(directory)) {
      CountDownLatch both = new CountDownLatch(2);
      List<String> ids = new CopyOnWriteArrayList<>();
      Handler<Job> handler =
          job -> {
            String id = job.workerId().split("@")[0];
            ids.add(id);
            assertTrue(Thread.currentThread().getName().startsWith("honker-worker-" + id));
            both.countDown();
            both.await();
          };
      db.queue("q").enqueueMany(List.of("1", "2"));
      WorkerBuilder builder = db.worker(at(1).build()).handle("q", handler);
      try (Runner one = builder.start();
          Runner other = builder.start()) {
        Temporary.eventually(() -> isEmpty(db.queue("q")));
      }
      assertEquals(2, ids.stream().distinct().count());
      assertEquals("[]", db.queue("q").deadJson(-1));
    }
  }

  /** Weights of 0: the first queue first; and a queue's own limit. */
  @Test
  void severalQueues() throws Exception {
    try (Database db = Temporary.open(directory)) {
      List<String> seen = new CopyOnWriteArrayList<>();
      for (int i = 0; i < 3; i++) {
        db.queue("b").enqueue("b");
        db.queue("a").enqueue("a");
      }
      Handler<Job> sees =
          job -> {
            assertEquals(job.payloadJson(), job.queue());
            seen.add(job.queue());
          };
      try (Runner worker =
          db.worker(at(1).build())
              .handle(WorkerQueue.of("a", 0), sees)
              .handle(WorkerQueue.of("b", 0), sees)
              .start()) {
        Temporary.eventually(() -> seen.size() == 6);
        worker.throwIfFailed();
      }
      assertEquals(List.of("a", "a", "a", "b", "b", "b"), seen);

      CountDownLatch limited = new CountDownLatch(1);
      AtomicInteger others = new AtomicInteger();
      AtomicInteger most = new AtomicInteger();
      for (int i = 0; i < 3; i++) {
        db.queue("a").enqueue("a");
        db.queue("b").enqueue("b");
      }
      try (Runner worker =
          db.worker(at(4).build())
              .handle(
                  new WorkerQueue("a", 1, 1),
                  job -> {
                    most.incrementAndGet();
                    limited.await();
                    most.decrementAndGet();
                  })
              .handle("b", job -> others.incrementAndGet())
              .start()) {
        Temporary.eventually(() -> others.get() == 3 && most.get() == 1);
        limited.countDown();
        Temporary.eventually(() -> isEmpty(db.queue("a")) && isEmpty(db.queue("b")));
        worker.throwIfFailed();
      }
      assertThrows(HonkerInvalidOptionException.class, () -> db.worker(at(1).build()).start());
      assertThrows(HonkerInvalidOptionException.class, () -> WorkerQueue.of("a", -1));
    }
  }

  /** Without a delay of the options, the distance grows as the library says. */
  @Test
  void failuresAreTriedAgainLater() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      long id = queue.enqueue("1");
      WorkerOptions options = WorkerOptions.builder().retryBase(Duration.ofSeconds(1000)).build();
      try (Runner worker =
          queue.worker(
              "w",
              job -> {
                throw new IllegalStateException("no");
              },
              options)) {
        Temporary.eventually(() -> queue.statsJson().contains("\"delayed\":1"));
        worker.throwIfFailed();
      }
      Row row = live(db, id);
      long delay = row.getLong("run_at") - row.getLong("created_at");
      assertTrue(delay >= 900 && delay < 1300, String.valueOf(delay));
    }
  }

  /** Neither the task nor its options were the reason. */
  @Test
  void closingGivesBackTasksAsWell() throws Exception {
    try (Database db = Temporary.open(directory)) {
      CountDownLatch begun = new CountDownLatch(1);
      TaskRegistry registry = new TaskRegistry(db);
      TaskHandle task =
          registry.register(
              "t",
              "tasks",
              call -> {
                begun.countDown();
                new CountDownLatch(1).await();
                return null;
              },
              TaskOptions.builder().retries(1).build());
      TaskResult result = task.enqueue("[]", "{}");
      Runner tasks = db.runTasks(registry, at(1).stopTimeout(Duration.ofMillis(50)).build());
      begun.await();
      tasks.close();
      assertEquals(Set(result.id()), pending(db));
    }
  }

  /** The attempt does not count, and what could not be begun is begun later. */
  @Test
  void aHandlerThatCannotBeLaunched() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q", QueueOptions.builder().maxAttempts(1).build());
      AtomicInteger launches = new AtomicInteger();
      int fails = 12; // more than are claimed at a time
      List<Long> attempts = new CopyOnWriteArrayList<>();
      JobLauncher launcher =
          (job, completion) -> {
            if (launches.incrementAndGet() <= fails) throw new OutOfMemoryError("no thread");
            attempts.add(job.attempts());
            completion.done();
            return () -> {};
          };
      queue.enqueueMany(java.util.Collections.nCopies(8, "1"));
      try (Logged logged = new Logged();
          Runner worker = queue.launchWorker("w", launcher, at(8).build())) {
        Temporary.eventually(() -> isEmpty(queue));
        worker.throwIfFailed();
        assertEquals(1, logged.count("could not be begun"));
      }
      assertEquals(java.util.Collections.nCopies(8, 1L), attempts);
      assertEquals("[]", queue.deadJson(-1));
    }
  }

  /** The file is locked when the time of the handlers is over. */
  @Test
  void theLastSettlementsAreTriedAgain() throws Exception {
    OpenOptions hurried = OpenOptions.builder().busyTimeout(Duration.ofMillis(20)).build();
    Path file = directory.resolve("app.db");
    try (Database db = Honker.open(file, hurried);
        Database other = Honker.open(file)) {
      Queue queue = db.queue("q", QueueOptions.builder().maxAttempts(1).build());
      UntilInterrupted handler = new UntilInterrupted();
      long id = queue.enqueue("1");
      Runner worker = queue.worker("w", handler, at(1).stopTimeout(Duration.ofMillis(50)).build());
      handler.awaitCalls(1);
      Thread closing = new Thread(worker::close);
      try (Transaction tx = other.begin()) {
        closing.start();
        Temporary.eventually(() -> handler.reasons.size() == 1);
        Thread.sleep(500); // its release is refused meanwhile
      }
      closing.join();
      worker.throwIfFailed();
      assertEquals(Set(id), pending(db));
    }
  }

  /** The next to look is told nevertheless. */
  @Test
  void anExecutorThatThrows() throws Exception {
    OpenOptions options =
        OpenOptions.builder()
            .executor(
                run -> {
                  throw new AssertionError("no");
                })
            .build();
    try (Database db = Honker.open(directory.resolve("app.db"), options);
        Listener listener = db.listen("c")) {
      for (int i = 0; i < 3; i++) {
        var ready = listener.ready();
        assertTrue(listener.next(Duration.ZERO).isEmpty());
        db.notify("c", String.valueOf(i));
        ready.get(60, TimeUnit.SECONDS);
        assertEquals(String.valueOf(i), listener.next(Duration.ZERO).orElseThrow().payloadJson());
      }
    }
  }
}
