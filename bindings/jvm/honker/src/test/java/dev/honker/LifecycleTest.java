package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** How a worker that owns its database begins and ends, and what it lives through. */
@Timeout(180)
class LifecycleTest {
  @TempDir Path directory;

  private Process process;

  @AfterEach
  void leaveNoProcess() {
    if (process != null) process.destroyForcibly();
  }

  private static WorkerOptions.Builder options() {
    return WorkerOptions.builder().retryDelay(Duration.ZERO);
  }

  private static long processing(Database db) {
    return db.query("SELECT count(*) AS n FROM _honker_live WHERE state = 'processing'")
        .get(0)
        .getLong("n");
  }

  /**
   * Enqueues two jobs, and waits until the handlers of a worker of another process have both, and
   * it hears signals.
   */
  private Process working(Database db, long stopMs, String what) throws Exception {
    Queue queue = db.queue("q", QueueOptions.builder().maxAttempts(1).build());
    queue.enqueue("1");
    queue.enqueue("2");
    process = WorkerProcess.start(directory.resolve("app.db"), stopMs, what);
    int runs = what.equals("two") ? 2 : 1;
    Temporary.eventually(
        () -> logged("a handler has begun") == 2 && logged("runs until SIGTERM") == runs);
    return process;
  }

  private int logged(String text) throws Exception {
    return Files.readString(directory.resolve("log")).split(text, -1).length - 1;
  }

  private String log(Process process) throws Exception {
    assertTrue(process.waitFor(60, TimeUnit.SECONDS));
    return Files.readString(directory.resolve("log"));
  }

  @Test
  void aSignalLetsRunningJobsFinish() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Process process = working(db, 60_000, "finishes");
      process.destroy(); // SIGTERM
      String log = log(process);
      assertEquals(0, process.exitValue(), log);
      assertTrue(log.contains("2 done, 0 snoozed, 0 retried, 0 dead, 0 released, 0 running"), log);
      assertEquals(0, db.query("SELECT * FROM _honker_live").size());
    }
  }

  @Test
  void whatDoesNotFinishInTimeGoesBack() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Process process = working(db, 100, "obeys");
      process.destroy();
      String log = log(process);
      assertEquals(0, process.exitValue(), log);
      assertTrue(log.contains("0 done, 0 snoozed, 0 retried, 0 dead, 2 released, 0 running"), log);
      for (Job job : db.queue("q").claimBatch("again", -1)) assertEquals(1, job.attempts());
      assertEquals(2, processing(db));
    }
  }

  @Test
  void aSignalStopsAllWorkersOfTheProcess() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Process process = working(db, 100, "two");
      process.destroy();
      String log = log(process);
      assertEquals(0, process.exitValue(), log);
      assertEquals(2, logged("has ended: 0 done"), log);
      assertEquals(2, db.queue("q").claimBatch("again", -1).size());
    }
  }

  @Test
  void aSecondSignalGivesBackAtOnce() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Process process = working(db, 600_000, "ignores");
      process.destroy();
      Temporary.eventually(() -> logged("stops") == 1);
      process.destroy();
      String log = log(process);
      assertEquals(1, process.exitValue(), log);
      assertTrue(log.contains("0 done, 0 snoozed, 0 retried, 0 dead, 2 released, 2 running"), log);
      assertTrue(log.contains("2 handlers of"), log);
      assertEquals(2, db.queue("q").claimBatch("again", -1).size());
    }
  }

  /** Neither the file nor its folder is there. */
  @Test
  void theFileMayComeLater() throws Exception {
    Path folder = directory.resolve("later");
    Path file = folder.resolve("app.db");
    CountDownLatch handled = new CountDownLatch(1);
    try (Runner worker =
        Honker.worker(file.toString(), options().build())
            .handle("q", job -> handled.countDown())
            .start()) {
      Thread.sleep(300);
      Files.createDirectory(folder);
      try (Database db = Honker.open(file)) {
        db.queue("q").enqueue("1");
        assertTrue(handled.await(60, TimeUnit.SECONDS));
      }
      worker.throwIfFailed();
    }
  }

  /** One that waits for its file can be closed. */
  @Test
  void theFileMayNeverCome() {
    String path = directory.resolve("never/app.db").toString();
    Runner worker = Honker.worker(path, options().build()).handle("q", job -> {}).start();
    worker.close();
    worker.throwIfFailed();
  }

  /** With a database that was given, and with one of its own. */
  @Test
  void aReplacedFile() throws Exception {
    for (boolean isOwn : List.of(true, false)) {
      Logged logged = new Logged();
      Path file = directory.resolve(isOwn + ".db");
      List<String> handled = new CopyOnWriteArrayList<>();
      List<CancelReason> reasons = new CopyOnWriteArrayList<>();
      CountDownLatch begun = new CountDownLatch(1);
      try (Database db = Honker.open(file)) {
        WorkerBuilder builder =
            isOwn
                ? Honker.worker(file.toString(), options().build())
                : db.worker(options().build());
        try (Runner worker =
            builder
                .handle(
                    "q",
                    job -> {
                      if (job.payloadJson().equals("old")) {
                        begun.countDown();
                        try {
                          new CountDownLatch(1).await();
                        } catch (InterruptedException e) {
                          reasons.add(job.cancelled().orElseThrow());
                        }
                      }
                      handled.add(job.payloadJson());
                    })
                .start()) {
          db.queue("q").enqueue("old");
          begun.await();
          Path other = directory.resolve("other.db");
          try (Database made = Honker.open(other)) {
            made.queue("q").enqueue("new");
          }
          replace(file, other);
          Temporary.eventually(() -> handled.contains("new"));
          assertEquals(List.of(CancelReason.REPLACED), reasons);
          assertEquals(1, logged.count("close the database and open it again"), logged::toString);
          logged.close();
          worker.throwIfFailed();
          try (Database again = Honker.open(file)) {
            Temporary.eventually(() -> again.query("SELECT * FROM _honker_live").isEmpty());
          }
        }
      }
    }
  }

  /** The database that the registry was made with still has the file that is gone. */
  @Test
  void tasksOfAReplacedFile() throws Exception {
    Path file = directory.resolve("app.db");
    JsonCodec<Integer> number = JsonCodec.of(String::valueOf, Integer::valueOf);
    try (Database db = Honker.open(file)) {
      TaskRegistry registry = new TaskRegistry(db);
      TaskOptions once = TaskOptions.builder().retries(1).build();
      registry.registerTyped("twice", "tasks", number, number, it -> 2 * it, once);
      Path other = directory.resolve("other.db");
      long id;
      try (Database made = Honker.open(other)) {
        id =
            made.queue("tasks")
                .enqueue("{\"__honker_task__\":{\"task\":\"twice\",\"args\":[21],\"kwargs\":{}}}");
      }
      try (Runner tasks = db.runTasks(registry)) {
        replace(file, other);
        try (Database again = Honker.open(file)) {
          Temporary.eventually(() -> again.query("SELECT * FROM _honker_live").isEmpty());
          assertEquals("42", again.queue("tasks").getResult(id).orElse(null));
        }
        tasks.throwIfFailed();
      }
    }
  }

  /** It is the worker's: what ends it is an error, and the job is done all the same. */
  @Test
  void aHandlerClosesTheDatabaseOfItsWorker() throws Exception {
    Path file = directory.resolve("app.db");
    try (Database db = Honker.open(file)) {
      db.queue("q").enqueue("1");
      Runner worker =
          Honker.worker(file.toString(), options().build())
              .handle("q", job -> job.database().close())
              .start();
      IllegalStateException e = assertThrows(IllegalStateException.class, worker::await);
      assertTrue(e.getMessage().contains("a handler has closed the database"), e.getMessage());
      assertTrue(worker.failed());
      assertEquals(List.of(), db.query("SELECT * FROM _honker_live"));
    }
  }

  @Test
  void theReasonOfACancellation() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      List<String> reported = new CopyOnWriteArrayList<>();
      UntilInterrupted handler = new UntilInterrupted();
      WorkerOptions quick =
          options()
              .maxRun(Duration.ofSeconds(2))
              .onError((job, e) -> reported.add(e.getMessage()))
              .build();
      queue.enqueue("1", EnqueueOptions.builder().maxAttempts(1).build());
      try (Runner worker = queue.worker("w", handler, quick)) {
        Temporary.eventually(() -> handler.reasons.size() == 1);
      }
      try (Runner worker =
          queue.worker("w", handler, options().stopTimeout(Duration.ZERO).build())) {
        long id = queue.enqueue("2");
        handler.awaitCalls(2);
        assertTrue(queue.cancel(id));
        Temporary.eventually(() -> handler.reasons.size() == 2);
        queue.enqueue("3");
        handler.awaitCalls(3);
      }
      Temporary.eventually(() -> handler.reasons.size() == 3 && reported.size() == 1);
      assertEquals(
          List.of(CancelReason.TIMEOUT, CancelReason.GONE, CancelReason.STOPPED), handler.reasons);
      assertEquals(1, reported.size(), reported.toString());
      assertTrue(reported.get(0).endsWith("ran longer than it may"), reported.toString());
    }
  }

  /** A job runs longer than it may, and a service that is told of it does not answer. */
  @Test
  void aReporterThatDoesNotReturn() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      CountDownLatch reporting = new CountDownLatch(1);
      CountDownLatch answer = new CountDownLatch(1);
      UntilInterrupted slow = new UntilInterrupted();
      WorkerOptions options =
          options()
              .maxRun(Duration.ofSeconds(1))
              .onError(
                  (job, e) -> {
                    reporting.countDown();
                    try {
                      answer.await();
                    } catch (InterruptedException interrupted) {
                      // then there is none
                    }
                  })
              .build();
      queue.enqueue("slow", EnqueueOptions.builder().maxAttempts(1).build());
      try (Runner worker =
          queue.worker(
              "w",
              job -> {
                if (job.payloadJson().equals("slow")) slow.handle(job);
              },
              options)) {
        reporting.await();
        queue.enqueue("next");
        try {
          Temporary.eventually(() -> db.query("SELECT * FROM _honker_live").isEmpty());
        } finally {
          answer.countDown();
        }
        worker.throwIfFailed();
      }
    }
  }

  @Test
  void interceptorsAndReporters() throws Exception {
    try (Database db = Temporary.open(directory)) {
      List<String> calls = new CopyOnWriteArrayList<>();
      List<String> failures = new CopyOnWriteArrayList<>();
      JobInterceptor outer =
          (job, next) -> {
            calls.add("outer " + job.payloadJson());
            next.run();
          };
      JobInterceptor inner =
          (job, next) -> {
            try {
              next.run();
            } finally {
              calls.add("inner");
            }
          };
      WorkerOptions options =
          options()
              .interceptor(outer)
              .interceptor(inner)
              .onError((job, e) -> failures.add(job.attempts() + e.getMessage()))
              .onError(
                  (job, e) -> {
                    throw new IllegalStateException("the reporter's own");
                  })
              .build();
      QueueOptions twice = QueueOptions.builder().maxAttempts(2).build();
      try (Logged logged = new Logged();
          Runner worker =
              db.worker(options)
                  .handle(
                      "q",
                      job -> {
                        throw new IllegalStateException("no");
                      })
                  .start()) {
        long id = db.queue("q", twice).enqueue("1");
        Temporary.eventually(() -> db.queue("q").statsJson().contains("\"dead\":1"));
        worker.throwIfFailed();
        assertEquals(List.of("outer 1", "inner", "outer 1", "inner"), calls);
        assertEquals(List.of("1no", "2no"), failures);
        String job = "job " + id + " of queue q, attempt ";
        logged.has(job + "1 of 2 has failed; next try in 0 s", "IllegalStateException: no");
        logged.has(job + "2 of 2 has failed; dead", "IllegalStateException: no");
        logged.has("the failure reporter has failed", "the reporter's own");
      }
    }
  }

  record Email(String to) {}

  @Test
  void aWorkerWithoutAHandler() {
    try (Database db = Temporary.open(directory)) {
      WorkerBuilder worker = db.worker(options().build());
      Exception e = assertThrows(HonkerInvalidOptionException.class, worker::start);
      assertEquals("the worker has no handler: call handle(…)", e.getMessage());
      assertThrows(HonkerInvalidOptionException.class, worker::runDue);
    }
  }

  /** A job that it has in hand, which cannot be settled either, is not promised another attempt. */
  @Test
  void anErrorThatEndsAWorker() throws Exception {
    try (Database db = Temporary.open(directory);
        Logged logged = new Logged()) {
      db.queue("once", QueueOptions.builder().maxAttempts(1).build()).enqueue("1");
      db.queue("twice", QueueOptions.builder().maxAttempts(2).build()).enqueue("2");
      CountDownLatch begun = new CountDownLatch(2);
      CountDownLatch gone = new CountDownLatch(1);
      Handler<Job> handler =
          job -> {
            begun.countDown();
            gone.await();
          };
      WorkerOptions two = options().concurrency(2).build();
      Runner worker = db.worker(two).handle("once", handler).handle("twice", handler).start();
      begun.await();
      db.transactionVoid(tx -> tx.execute("ALTER TABLE _honker_live RENAME TO gone"));
      gone.countDown();
      IllegalStateException e = assertThrows(IllegalStateException.class, worker::run);
      HonkerException cause = assertInstanceOf(HonkerSqlException.class, e.getCause());
      assertTrue(e.getMessage().endsWith(" has ended: " + cause.getMessage()), e.getMessage());
      assertTrue(cause.getMessage().contains("_honker_live"), cause.getMessage());
      String text = "could not be settled, and ";
      assertEquals(1, logged.count("attempt 1 of 1 " + text + "is dead when its claim is over"));
      assertEquals(1, logged.count("attempt 1 of 2 " + text + "runs again when its claim is over"));
    }
  }

  private static void undone(Job job, Transaction tx) {
    assertTrue(job.ack(tx));
    throw new RetryableException("rolled back", Duration.ofHours(1));
  }

  /** Whoever settles them: the handler itself, or the worker. */
  @Test
  void theLastLineCountsWhatBecameOfTheJobs() throws Exception {
    try (Database db = Temporary.open(directory);
        Logged logged = new Logged()) {
      Queue queue = db.queue("q", QueueOptions.builder().maxAttempts(2).build());
      Duration later = Duration.ofHours(1);
      for (String json :
          List.of("returns", "acks", "snoozes", "fails", "discards", "retries", "undone")) {
        queue.enqueue(json);
      }
      queue.enqueue("throws");
      Handler<Job> handler =
          job -> {
            switch (job.payloadJson()) {
              case "acks" -> job.ack();
              case "snoozes" -> job.snooze(later);
              case "fails" -> job.fail("by itself");
              case "discards" -> throw new DiscardException("never");
              case "retries" -> job.retry(later, "later");
              case "undone" -> db.transactionVoid(tx -> undone(job, tx));
              case "throws" -> throw new IllegalStateException("at each attempt");
              default -> {}
            }
          };
      try (Runner worker = db.worker(options().build()).handle("q", handler).start()) {
        // "throws" is tried at once, and dead after its second attempt.
        Temporary.eventually(
            () ->
                queue.statsJson().contains("\"dead\":3")
                    && queue.statsJson().contains("\"pending\":0")
                    && queue.statsJson().contains("\"claimed\":0"));
        worker.throwIfFailed();
      }
      String counts = "2 done, 1 snoozed, 3 retried, 3 dead, 0 released, 0 running";
      assertEquals(1, logged.count(counts), logged::toString);
    }
  }

  /** A formatter prints it with each line. */
  @Test
  void theSourceOfALogLineIsWhoLogs() throws Exception {
    try (Database db = Temporary.open(directory);
        Logged logged = new Logged()) {
      db.queue("q").enqueue("1");
      Handler<Job> handler =
          job -> {
            throw new DiscardException("no");
          };
      assertEquals(1, db.worker(options().build()).handle("q", handler).runDue());
      assertEquals("dev.honker.Pool failed", logged.source("has failed; dead"));
    }
  }

  /** What no codec understands is among the dead, and not tried again for ever. */
  @Test
  void anUndecodablePayload() throws Exception {
    JsonCodec<Email> codec =
        JsonCodec.of(
            email -> "\"" + email.to() + "\"",
            json -> {
              if (!json.startsWith("\"")) throw new java.io.IOException("not a text");
              return new Email(json.substring(1, json.length() - 1));
            });
    try (Database db = Temporary.open(directory)) {
      List<Email> emails = new CopyOnWriteArrayList<>();
      Handler<TypedJob<Email>> handler =
          job -> {
            emails.add(job.payload());
            if (emails.size() == 1) assertTrue(job.snooze(Duration.ZERO));
            if (emails.size() == 2) assertTrue(job.release());
            if (emails.size() == 3) db.transactionVoid(tx -> assertTrue(job.ack(tx)));
          };
      try (Runner worker = db.worker(options().build()).handle("q", codec, handler).start()) {
        db.queue("q").enqueue("{\"version\":2}");
        db.queue("q").typed(codec).enqueue(new Email("alice"));
        Temporary.eventually(() -> db.queue("q").statsJson().contains("\"dead\":1"));
        Temporary.eventually(() -> db.query("SELECT * FROM _honker_live").isEmpty());
        worker.throwIfFailed();
      }
      Email alice = new Email("alice");
      assertEquals(List.of(alice, alice, alice), emails);
      String dead = db.queue("q").deadJson(-1);
      assertTrue(
          dead.contains("the payload cannot be decoded") && dead.contains("not a text"), dead);
      assertTrue(dead.contains("\"attempts\":1"), dead);
      assertEquals(1, dead.split("cannot be decoded", -1).length - 1, dead);
      assertThrows(
          HonkerInvalidOptionException.class,
          () ->
              db.worker(options().build())
                  .handle("q", j -> {})
                  .handle(WorkerQueue.of("q", 2), j -> {})
                  .start());
      assertThrows(
          HonkerInvalidOptionException.class,
          () -> db.worker(options().build()).handle("q", j -> {}).handle("q", j -> {}).start());
    }
  }

  /** The old file goes first: who opened it without its log would find it as it was before. */
  private static void replace(Path file, Path by) throws IOException {
    Files.move(file, Path.of(file + ".old"), StandardCopyOption.REPLACE_EXISTING);
    for (String end : List.of("-wal", "-shm")) Files.deleteIfExists(Path.of(file + end));
    Files.move(by, file);
  }
}
