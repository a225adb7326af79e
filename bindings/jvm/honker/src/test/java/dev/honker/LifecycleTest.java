package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** How a worker that owns its database begins and ends, and what it lives through. */
@Timeout(180)
class LifecycleTest {
  @TempDir Path directory;

  private static WorkerOptions.Builder options() {
    return WorkerOptions.builder().retryDelay(Duration.ZERO);
  }

  private static long processing(Database db) {
    return db.query("SELECT count(*) AS n FROM _honker_live WHERE state = 'processing'")
        .get(0)
        .getLong("n");
  }

  /** Enqueues two jobs, and waits until both are in the hands of a worker of another process. */
  private Process working(Database db, long stopMs, String what) throws Exception {
    Queue queue = db.queue("q", QueueOptions.builder().maxAttempts(1).build());
    queue.enqueue("1");
    queue.enqueue("2");
    Process process = WorkerProcess.start(directory.resolve("app.db"), stopMs, what);
    Temporary.eventually(() -> processing(db) == 2);
    return process;
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
      assertTrue(log.contains("2 jobs finished, 0 released, 0 still running"), log);
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
      assertTrue(log.contains("0 jobs finished, 2 released, 0 still running"), log);
      for (Job job : db.queue("q").claimBatch("again", -1)) assertEquals(1, job.attempts());
      assertEquals(2, processing(db));
    }
  }

  @Test
  void aSecondSignalGivesBackAtOnce() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Process process = working(db, 600_000, "ignores");
      while (process.isAlive() && !Files.readString(directory.resolve("log")).contains("stops")) {
        process.destroy();
        Thread.sleep(100);
      }
      process.destroy();
      String log = log(process);
      assertEquals(1, process.exitValue(), log);
      assertTrue(log.contains("0 jobs finished, 2 released, 2 still running"), log);
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
          for (String end : List.of("-wal", "-shm")) Files.deleteIfExists(Path.of(file + end));
          Files.move(other, file, StandardCopyOption.REPLACE_EXISTING);
          Temporary.eventually(() -> handled.contains("new"));
          assertEquals(List.of(CancelReason.REPLACED), reasons);
          worker.throwIfFailed();
          try (Database again = Honker.open(file)) {
            Temporary.eventually(() -> again.query("SELECT * FROM _honker_live").isEmpty());
          }
        }
      }
    }
  }

  @Test
  void theReasonOfACancellation() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      List<CancelReason> reasons = new CopyOnWriteArrayList<>();
      List<String> reported = new CopyOnWriteArrayList<>();
      CountDownLatch begun = new CountDownLatch(1);
      Runner worker =
          db.worker(
                  options()
                      .maxRun(Duration.ofSeconds(1))
                      .failureReporter((job, e) -> reported.add(e.getMessage()))
                      .shutdownTimeout(Duration.ZERO)
                      .retryBase(Duration.ofSeconds(100))
                      .build())
              .handle(
                  "q",
                  job -> {
                    begun.countDown();
                    try {
                      new CountDownLatch(1).await();
                    } catch (InterruptedException e) {
                      reasons.add(job.cancelled().orElseThrow());
                      throw e;
                    }
                  })
              .start();
      long id = queue.enqueue("1");
      begun.await();
      assertTrue(queue.cancel(id));
      Temporary.eventually(() -> reasons.size() == 1);
      queue.enqueue("2");
      Temporary.eventually(() -> reasons.size() == 2);
      queue.enqueue("3");
      Temporary.eventually(() -> processing(db) == 1);
      worker.close();
      Temporary.eventually(() -> reasons.size() == 3);
      assertEquals(List.of(CancelReason.GONE, CancelReason.TIMEOUT, CancelReason.STOPPED), reasons);
      assertEquals(1, reported.size(), reported.toString());
      assertTrue(reported.get(0).endsWith("ran longer than it may"), reported.toString());
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
              .failureReporter((job, e) -> failures.add(job.attempts() + e.getMessage()))
              .failureReporter(
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
      try (Runner worker =
          db.worker(options().build())
              .handle("q", codec, job -> emails.add(job.payload()))
              .start()) {
        db.queue("q").enqueue("{\"version\":2}");
        db.queue("q").typed(codec).enqueue(new Email("alice"));
        Temporary.eventually(() -> db.queue("q").statsJson().contains("\"dead\":1"));
        Temporary.eventually(() -> !emails.isEmpty());
        worker.throwIfFailed();
      }
      assertEquals(List.of(new Email("alice")), emails);
      String dead = db.queue("q").deadJson(-1);
      assertTrue(
          dead.contains("the payload cannot be decoded") && dead.contains("not a text"), dead);
      assertTrue(dead.contains("\"attempts\":1"), dead);
      assertThrows(
          HonkerInvalidOptionException.class,
          () ->
              db.worker(options().build())
                  .handle("q", j -> {})
                  .handle(WorkerQueue.of("q", 2), j -> {})
                  .start());
    }
  }
}
