package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What a job does once, however often it is tried. */
@Timeout(120)
class StepsTest {
  private static final JsonCodec<Long> NUMBER = JsonCodec.of(String::valueOf, Long::valueOf);

  @TempDir Path directory;

  /** Its handler fails after each; the worker claims under another name than the given one. */
  @Test
  void eachIsDoneOnceByAHandlerThatIsRetried() throws Exception {
    try (Database db = Temporary.open(directory)) {
      db.transactionVoid(tx -> tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, n)"));
      AtomicInteger attempts = new AtomicInteger();
      AtomicInteger first = new AtomicInteger();
      AtomicInteger last = new AtomicInteger();
      Handler<Job> handler =
          job -> {
            attempts.incrementAndGet();
            String charge = job.step("charge", () -> "\"c-" + first.incrementAndGet() + "\"");
            assertEquals("\"c-1\"", charge);
            if (job.attempts() == 1) throw new IllegalStateException("after the first");
            Long order =
                db.transaction(
                    tx ->
                        job.step(
                            tx,
                            "order",
                            NUMBER,
                            () ->
                                tx.query("INSERT INTO orders (n) VALUES (1) RETURNING id")
                                    .get(0)
                                    .getLong("id")));
            assertEquals(1, order);
            if (job.attempts() == 2) throw new IllegalStateException("after the second");
            assertEquals("null", job.step("mail", () -> last.incrementAndGet() > 0 ? null : ""));
          };
      db.queue("q").enqueue("1");
      WorkerOptions options = WorkerOptions.builder().retryDelay(Duration.ZERO).build();
      try (Runner worker = db.queue("q").worker("w", handler, options)) {
        Temporary.eventually(() -> last.get() == 1);
        worker.throwIfFailed();
      }
      assertEquals(List.of(3, 1), List.of(attempts.get(), first.get()));
      assertEquals(1, db.query("SELECT count(*) AS n FROM orders").get(0).getLong("n"));
      assertEquals("[]", db.queue("q").deadJson(-1));
    }
  }

  @Test
  void aStepIsUndoneWithItsTransaction() throws Exception {
    try (Database db = Temporary.open(directory)) {
      db.queue("q").enqueue("1");
      Job job = db.queue("q").claimOne("w").orElseThrow();
      Transaction tx = db.begin();
      assertEquals("1", job.step(tx, "s", () -> "1"));
      assertEquals("1", job.step(tx, "s", () -> "2"));
      assertEquals(Optional.of("1"), job.getStep(tx, "s"));
      assertTrue(job.getStep("s").isEmpty());
      tx.rollback();
      assertEquals(3, job.step("s", NUMBER, () -> 3L));
      assertEquals(Optional.of("3"), job.getStep("s"));
      assertEquals("3", job.saveStep(null, "s", "4"));
    }
  }

  /** It has run: another attempt would run it again, so that there is none. */
  @Test
  void aStepWhoseValueHasNoTextIsNotRunAgain() throws Exception {
    JsonCodec<Object> refuses = JsonCodec.of(value -> refused("no JSON"), json -> json);
    JsonCodec<Object> recurses = JsonCodec.of(StepsTest::endless, json -> json);
    JsonCodec<Object> half = JsonCodec.of(value -> "\"\ud83d\"", json -> json);
    JsonCodec<Object> huge = JsonCodec.of(value -> "\"huge\"", json -> json);
    AtomicInteger steps = new AtomicInteger();
    try (Database db = Temporary.open(directory)) {
      db.transactionVoid(tx -> tx.execute("CREATE TABLE paid (n)"));
      // What SQLite says of a gigabyte, without one.
      String tooBig =
          "CREATE TRIGGER too_big BEFORE INSERT ON _honker_steps WHEN NEW.value = '\"huge\"'"
              + " BEGIN SELECT zeroblob(1000000001 + 0 * NEW.job_id); END";
      db.transactionVoid(tx -> tx.execute(tooBig));
      Handler<Job> handler =
          job -> {
            var codec =
                List.of(refuses, recurses, half, huge).get(Integer.parseInt(job.payloadJson()));
            Callable<Object> count = steps::incrementAndGet;
            if (job.metadata().isEmpty()) {
              job.step("pay", codec, count);
            } else {
              db.transactionVoid(
                  tx -> {
                    tx.execute("INSERT INTO paid VALUES (1)");
                    job.step(tx, "pay", codec, count);
                  });
            }
          };
      var inTransaction = EnqueueOptions.builder().metadata(Map.of("tx", "1")).build();
      for (int i = 0; i < 4; i++) {
        db.queue("q").enqueue("" + i);
        db.queue("q").enqueue("" + i, inTransaction);
      }
      WorkerOptions options = WorkerOptions.builder().retryDelay(Duration.ZERO).build();
      List<JobInfo> dead;
      try (Runner worker = db.queue("q").worker("w", handler, options)) {
        var filter = JobFilter.builder().state(JobState.DEAD).build();
        Temporary.eventually(() -> db.jobs().list(filter).count() == 8);
        worker.throwIfFailed();
        dead = db.jobs().list(filter).toList();
      }
      assertEquals(8, steps.get());
      for (JobInfo job : dead) {
        String error = job.lastError();
        assertTrue(error.startsWith("the step pay has run, and is not saved: "), error);
      }
      assertEquals(
          List.of(), db.query("SELECT n FROM paid UNION SELECT job_id FROM _honker_steps"));
    }
  }

  private static String refused(String why) throws java.io.IOException {
    throw new java.io.IOException(why);
  }

  private static String endless(Object value) {
    return endless(List.of(value)) + value;
  }

  /** It is not the job's any more to say what it has done. */
  @Test
  void aStepOfALostJobIsNotSaved() {
    try (Database db = Temporary.open(directory)) {
      db.transactionVoid(tx -> tx.execute("CREATE TABLE t (a)"));
      db.queue("q").enqueue("1");
      Job job = db.queue("q").claimOne("w").orElseThrow();
      assertTrue(job.release());
      ClaimLostException e =
          assertThrows(
              ClaimLostException.class,
              () ->
                  db.transaction(
                      tx -> job.step(tx, "s", () -> "" + tx.execute("INSERT INTO t VALUES (1)"))));
      assertEquals("HONKER_LOST", e.name());
      assertTrue(e.getMessage().contains("job " + job.id()), e.getMessage());
      assertEquals(List.of(), db.query("SELECT * FROM t"));
      assertTrue(job.getStep("s").isEmpty());
    }
  }

  @Test
  void workThatThrowsIsDoneAgain() throws Exception {
    try (Database db = Temporary.open(directory)) {
      db.queue("q").enqueue("1");
      Job job = db.queue("q").claimOne("w").orElseThrow();
      assertThrows(
          java.io.IOException.class,
          () ->
              job.step(
                  "s",
                  () -> {
                    throw new java.io.IOException("no");
                  }));
      assertEquals("1", job.step("s", () -> "1"));
      assertThrows(NumberFormatException.class, () -> numberOf(job));
      assertThrows(HonkerInvalidOptionException.class, () -> job.step(null, () -> "1"));
      assertThrows(HonkerInvalidOptionException.class, () -> job.step("half \ud83d", () -> "1"));
    }
  }

  private static Long numberOf(Job job) throws Exception {
    job.step("text", () -> "\"no number\"");
    return job.step("text", NUMBER, () -> 1L);
  }
}
