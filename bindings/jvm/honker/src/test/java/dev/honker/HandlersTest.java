package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Handlers that do what no handler should: whoever runs them goes on. */
@Timeout(120)
class HandlersTest {
  private static final int JOBS = 6;

  @TempDir Path directory;

  /** Nothing can be said about it, not even by itself. */
  static final class Unspeakable extends RuntimeException {
    private static final long serialVersionUID = 1;

    @Override
    public String getMessage() {
      throw new IllegalStateException("no message");
    }
  }

  private static void fill(Queue queue) {
    for (int i = 0; i < JOBS; i++) queue.enqueue(String.valueOf(i));
  }

  private static boolean isEmpty(Queue queue) {
    String stats = queue.statsJson();
    return stats.contains("\"pending\":0") && stats.contains("\"claimed\":0");
  }

  @Test
  void theInterruptStatusIsLeftSet() throws Exception {
    try (Database db = Temporary.open(directory)) {
      AtomicInteger delivered = new AtomicInteger();
      Outbox outbox =
          db.outbox(
              "o",
              json -> {
                delivered.incrementAndGet();
                Thread.currentThread().interrupt();
              });
      fill(db.queue("q"));
      fill(outbox.queue());
      AtomicInteger handled = new AtomicInteger();
      try (Runner worker =
              db.queue("q")
                  .worker(
                      "w",
                      job -> {
                        handled.incrementAndGet();
                        Thread.currentThread().interrupt();
                      });
          Runner deliverer = outbox.runWorker("w")) {
        Temporary.eventually(() -> isEmpty(db.queue("q")) && isEmpty(outbox.queue()));
        worker.throwIfFailed();
        deliverer.throwIfFailed();
      }
      assertEquals(JOBS, handled.get());
      assertEquals(JOBS, delivered.get());
    }
  }

  /** A watchdog that is late: it interrupts the thread when the handler has returned. */
  @Test
  void anInterruptThatComesTooLate() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      Set<Thread> threads = ConcurrentHashMap.newKeySet();
      try (Runner worker = queue.worker("w", job -> threads.add(Thread.currentThread()))) {
        queue.enqueue("1");
        Temporary.eventually(() -> !threads.isEmpty() && isEmpty(queue));
        Thread thread = threads.iterator().next();
        Temporary.eventually(() -> Temporary.isParked(thread));
        thread.interrupt();
        queue.enqueue("2");
        Temporary.eventually(() -> isEmpty(queue));
        worker.throwIfFailed();
      }
    }
  }

  @Test
  void deliverOneKeepsTheInterruptStatusOfItsCaller() {
    try (Database db = Temporary.open(directory)) {
      Outbox outbox = db.outbox("o", json -> Thread.currentThread().interrupt());
      outbox.enqueue("1");
      assertTrue(outbox.deliverOne("w"));
      assertTrue(Thread.interrupted());
      assertTrue(isEmpty(outbox.queue()));
    }
  }

  @Test
  void anExceptionWhoseMessageThrows() throws Exception {
    try (Database db = Temporary.open(directory)) {
      QueueOptions once = QueueOptions.builder().maxAttempts(1).build();
      Queue queue = db.queue("q", once);
      Outbox outbox =
          db.outbox(
              "o",
              json -> {
                throw new Unspeakable();
              },
              OutboxOptions.builder().maxAttempts(1).build());
      TaskRegistry registry = new TaskRegistry(db);
      TaskHandle task =
          registry.register(
              "t",
              "tasks",
              call -> {
                throw new Unspeakable();
              },
              TaskOptions.builder().retries(1).build());
      fill(queue);
      fill(outbox.queue());
      for (int i = 0; i < JOBS; i++) task.enqueue("[]", "{}");
      try (Runner worker =
              queue.worker(
                  "w",
                  job -> {
                    throw new Unspeakable();
                  });
          Runner deliverer = outbox.runWorker("w");
          Runner tasks = db.runTasks(registry)) {
        for (Queue each : List.of(queue, outbox.queue(), db.queue("tasks"))) {
          Temporary.eventually(() -> each.statsJson().contains("\"dead\":" + JOBS));
          assertTrue(each.deadJson(-1).contains("Unspeakable"), each.deadJson(-1));
        }
        worker.throwIfFailed();
        deliverer.throwIfFailed();
        tasks.throwIfFailed();
      }
    }
  }

  /** Both are in their handlers when they close; neither may wait for the other. */
  @Test
  void twoHandlersCloseTheirRunner() throws Exception {
    try (Database db = Temporary.open(directory)) {
      CountDownLatch both = new CountDownLatch(2);
      List<Runner> runners = new ArrayList<>();
      CountDownLatch isMade = new CountDownLatch(1);
      CountDownLatch closed = new CountDownLatch(2);
      Runner runner =
          db.queue("q")
              .worker(
                  "w",
                  job -> {
                    both.countDown();
                    both.await();
                    isMade.await();
                    runners.get(0).close();
                    closed.countDown();
                  },
                  WorkerOptions.builder().concurrency(2).build());
      runners.add(runner);
      isMade.countDown();
      db.queue("q").enqueue("1");
      db.queue("q").enqueue("2");
      assertTrue(closed.await(60, java.util.concurrent.TimeUnit.SECONDS));
      Temporary.eventually(() -> Temporary.threads("honker-worker") == 0);
      assertFalse(runner.failed());
      assertTrue(isEmpty(db.queue("q")), db.queue("q").statsJson());
    }
  }

  @Test
  void handlersOfTwoRunnersCloseTheDatabase() throws Exception {
    Database db = Temporary.open(directory);
    CountDownLatch all = new CountDownLatch(4);
    CountDownLatch closed = new CountDownLatch(4);
    Handler<Job> closes =
        job -> {
          all.countDown();
          all.await();
          db.close();
          closed.countDown();
        };
    WorkerOptions two = WorkerOptions.builder().concurrency(2).build();
    List<Runner> runners = new ArrayList<>();
    for (String name : List.of("a", "b")) {
      runners.add(db.queue(name).worker(name, closes, two));
      db.queue(name).enqueue("1");
      db.queue(name).enqueue("2");
    }
    assertTrue(closed.await(60, java.util.concurrent.TimeUnit.SECONDS));
    Temporary.eventually(() -> Temporary.threads("honker-worker") == 0);
    for (Runner runner : runners) assertFalse(runner.failed());
    db.close(); // which waits for the end
    try (Database again = Temporary.open(directory)) {
      assertEquals(0, again.query("SELECT count(*) AS n FROM _honker_live").get(0).getLong("n"));
    }
  }

  @Test
  void manyThreadsCloseTheDatabase() throws Exception {
    for (int round = 0; round < 20; round++) {
      Database db = Temporary.open(directory);
      ConcurrentHashMap<Throwable, Boolean> failures = new ConcurrentHashMap<>();
      CountDownLatch go = new CountDownLatch(1);
      List<Thread> threads = new ArrayList<>();
      for (int i = 0; i < 8; i++) {
        Thread thread =
            new Thread(
                () -> {
                  try {
                    go.await();
                    db.close();
                    assertTrue(db.isClosed());
                  } catch (Throwable e) {
                    failures.put(e, true);
                  }
                });
        thread.start();
        threads.add(thread);
      }
      go.countDown();
      for (Thread thread : threads) thread.join();
      assertEquals(Set.of(), failures.keySet());
    }
  }

  /**
   * Somebody else has the file locked for longer than the busy timeout, at the claim and the ack.
   */
  @Test
  void aLockedFileEndsNobody() throws Exception {
    OpenOptions hurried = OpenOptions.builder().busyTimeout(Duration.ofMillis(20)).build();
    Path file = directory.resolve("app.db");
    try (Database db = Honker.open(file, hurried);
        Database other = Honker.open(file)) {
      Queue queue = db.queue("q");
      CountDownLatch isLocked = new CountDownLatch(1);
      CountDownLatch handling = new CountDownLatch(1);
      List<String> handled = new java.util.concurrent.CopyOnWriteArrayList<>();
      try (Runner worker =
          queue.worker(
              "w",
              job -> {
                handled.add(job.payloadJson());
                handling.countDown();
                isLocked.await();
              })) {
        other.queue("q").enqueue("1");
        handling.await();
        try (Transaction tx = other.begin()) {
          isLocked.countDown();
          Thread.sleep(300); // the ack is refused meanwhile
          other.queue("q").enqueue(tx, "2");
          tx.commit();
        }
        Temporary.eventually(() -> isEmpty(queue));
        try (Transaction tx = other.begin()) {
          tx.execute("CREATE TABLE IF NOT EXISTS mine (a)");
          queue.getJobJson(1);
          db.interrupt(); // it looks again, and its claim is refused
          Thread.sleep(300);
        }
        other.queue("q").enqueue("3");
        Temporary.eventually(() -> isEmpty(queue));
        worker.throwIfFailed();
      }
      assertEquals(List.of("1", "2", "3"), handled);
    }
  }

  /**
   * A handler's own call is refused: that is the handler's failure, and the event is not finished.
   */
  @Test
  void anEventWhoseHandlerFoundTheFileLockedIsNotFinished() throws Exception {
    OpenOptions hurried = OpenOptions.builder().busyTimeout(Duration.ofMillis(20)).build();
    Path file = directory.resolve("app.db");
    try (Database db = Honker.open(file, hurried);
        Database other = Honker.open(file)) {
      Stream stream = db.stream("s");
      other.stream("s").publish("1");
      other.stream("s").publish("2");
      CountDownLatch isLocked = new CountDownLatch(1);
      CountDownLatch begun = new CountDownLatch(1);
      AtomicInteger calls = new AtomicInteger();
      SubscribeOptions me = SubscribeOptions.builder().consumer("me").build();
      try (Runner runner =
          stream.subscribe(
              event -> {
                calls.incrementAndGet();
                begun.countDown();
                isLocked.await();
                db.queue("q").enqueue("1");
              },
              me)) {
        begun.await();
        try (Transaction tx = other.begin()) {
          isLocked.countDown();
          Temporary.eventually(runner::failed);
          assertTrue(runner.failure().orElseThrow() instanceof HonkerBusyException);
        }
      }
      assertEquals(1, calls.get());
      assertEquals(0, stream.getOffset("me"));
    }
  }

  /** It has finished: what it did is not done again. */
  @Test
  void aHandlerClosesTheDatabaseAndItsJobIsDone() throws Exception {
    Database db = Temporary.open(directory);
    Queue queue = db.queue("q");
    CountDownLatch returned = new CountDownLatch(1);
    queue.worker(
        "w",
        job -> {
          db.close();
          queue.saveResult(job.id(), "1"); // it is open until the handler has returned
          returned.countDown();
        });
    long id = queue.enqueue("1");
    returned.await();
    db.close();
    try (Database again = Temporary.open(directory)) {
      assertEquals("1", again.queue("q").getResult(id).orElseThrow());
      assertTrue(again.queue("q").getJobJson(id).isEmpty());
    }
  }

  /** The file is locked for longer than a delivery's claim is valid: whoever called is told. */
  @Test
  void aDeliveryThatCannotBeSettledEnds() throws Exception {
    OpenOptions hurried = OpenOptions.builder().busyTimeout(Duration.ofMillis(20)).build();
    Path file = directory.resolve("app.db");
    try (Database db = Honker.open(file, hurried);
        Database other = Honker.open(file)) {
      CopyOnWriteArrayList<Transaction> locks = new CopyOnWriteArrayList<>();
      OutboxOptions short1 =
          OutboxOptions.builder().visibilityTimeout(Duration.ofSeconds(1)).build();
      Outbox outbox = db.outbox("o", json -> locks.add(other.begin()), short1);
      outbox.enqueue("1");
      assertThrows(HonkerBusyException.class, () -> outbox.deliverOne("w"));
      locks.get(0).close();
    }
  }

  /** Somebody drops the table: the worker ends, says so, and its handlers do not go on alone. */
  @Test
  void anErrorThatStaysEndsTheHandlersAsWell() throws Exception {
    try (Database db = Temporary.open(directory)) {
      UntilInterrupted handler = new UntilInterrupted();
      WorkerOptions options =
          WorkerOptions.builder().concurrency(2).grace(Duration.ofMinutes(1)).build();
      try (Runner worker = db.queue("q").worker("w", handler, options)) {
        db.queue("q").enqueue("1");
        handler.awaitCalls(1);
        String url = "jdbc:sqlite:" + directory.resolve("app.db");
        try (var connection = java.sql.DriverManager.getConnection(url);
            var statement = connection.createStatement()) {
          statement.execute("DROP TABLE _honker_live");
        }
        Temporary.eventually(worker::failed);
        assertEquals(List.of(CancelReason.STOPPED), handler.reasons);
      }
    }
  }

  /** A trigger of the application's refuses what becomes of one job: the others do not feel it. */
  @Test
  void aSettlementThatTheFileRefuses() throws Exception {
    try (Database db = Temporary.open(directory);
        Logged logged = new Logged()) {
      db.transactionVoid(
          tx ->
              tx.execute(
                  "CREATE TRIGGER mine BEFORE DELETE ON _honker_live WHEN OLD.payload = 'poison'"
                      + " BEGIN SELECT RAISE(ABORT, 'mine refuses'); END"));
      Queue queue = db.queue("q", QueueOptions.builder().maxAttempts(2).build());
      List<Long> attempts = new CopyOnWriteArrayList<>();
      WorkerOptions options =
          WorkerOptions.builder().concurrency(4).retryBase(Duration.ZERO).build();
      try (Runner worker =
          queue.worker(
              "w",
              job -> {
                if (job.payloadJson().equals("poison")) attempts.add(job.attempts());
              },
              options)) {
        queue.enqueue("poison");
        for (int i = 0; i < 20; i++) {
          queue.enqueue("good");
          Thread.sleep(5);
        }
        // Its second attempt is its last: to be dead, it would have to be deleted as well.
        Temporary.eventually(() -> logged.count("could not be settled") == 3);
        Temporary.eventually(
            () -> db.query("SELECT * FROM _honker_live WHERE payload = 'good'").isEmpty());
        worker.throwIfFailed();
      }
      assertEquals(List.of(1L, 2L), attempts);
      assertTrue(logged.count("mine refuses") >= 3);
    }
  }
}
