package dev.honker.testing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.honker.CronSchedule;
import dev.honker.EnqueueOptions;
import dev.honker.JsonCodec;
import dev.honker.LockOptions;
import dev.honker.QueueOptions;
import dev.honker.RetryableException;
import dev.honker.WorkerBuilder;
import dev.honker.WorkerOptions;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class TestDatabaseTest {
  private final List<String> handled = new ArrayList<>();

  private WorkerBuilder worker(TestDatabase test) {
    return test.database()
        .worker(WorkerOptions.builder().build())
        .handle(
            "q",
            job -> {
              handled.add(job.payloadJson() + " " + Thread.currentThread().getId());
              if (job.payloadJson().equals("\"throws\"")) throw new IllegalStateException("no");
              if (job.payloadJson().equals("\"later\"") && job.attempts() == 1) {
                throw new RetryableException("not yet", Duration.ofSeconds(60));
              }
              if (job.payloadJson().equals("\"more\"")) {
                job.database().queue("q").enqueue("\"another\"");
              }
            });
  }

  private List<String> seen(String... payloads) {
    long here = Thread.currentThread().getId();
    return List.of(payloads).stream().map(it -> "\"" + it + "\" " + here).toList();
  }

  @Test
  void dueJobsAreHandledHereAndNow() {
    try (TestDatabase test = new TestDatabase()) {
      QueueOptions once = QueueOptions.builder().maxAttempts(1).build();
      test.database().queue("q", once).enqueue("\"throws\"");
      for (String json : List.of("\"more\"", "\"later\"")) test.database().queue("q").enqueue(json);
      EnqueueOptions inAnHour = EnqueueOptions.builder().delay(Duration.ofHours(1)).build();
      test.database().queue("q").enqueue("\"in an hour\"", inAnHour);

      assertEquals(4, worker(test).runDue());
      assertEquals(seen("throws", "more", "later", "another"), handled);
      assertEquals(1, test.dead("q").size());
      assertEquals(1, test.assertEnqueued("q", "\"later\"").attempts());

      handled.clear();
      assertEquals(0, worker(test).runDue());
      test.advance(Duration.ofMinutes(1));
      assertEquals(1, worker(test).runDue());
      test.advance(Duration.ofHours(1));
      assertEquals(1, worker(test).runDue());
      assertEquals(seen("later", "in an hour"), handled);
      test.assertNothingEnqueued("q");
    }
  }

  @Test
  void assertionsSayWhatThereIs() {
    JsonCodec<Integer> codec = JsonCodec.of(String::valueOf, Integer::valueOf);
    try (TestDatabase test = new TestDatabase()) {
      test.database().queue("q").enqueue("7");
      test.database().queue("q").enqueue("\"text\"");
      assertEquals("7", test.assertEnqueued("q", codec, 7).payloadJson());
      assertEquals(3, test.assertEnqueued("q", job -> job.priority() == 0).maxAttempts());
      AssertionError error =
          assertThrows(AssertionError.class, () -> test.assertEnqueued("q", codec, 8));
      assertTrue(error.getMessage().contains("payloadJson=7"), error.getMessage());
      assertThrows(AssertionError.class, () -> test.assertNothingEnqueued("q"));
      assertThrows(AssertionError.class, () -> test.assertEnqueued("other", "7"));
    }
  }

  @Test
  void timePassesForAll() {
    try (TestDatabase test = new TestDatabase()) {
      LockOptions hour = LockOptions.builder().ttl(Duration.ofHours(1)).build();
      test.database().lock("l", hour);
      test.database().scheduler().add("s", "q", CronSchedule.every(Duration.ofHours(1)), "1");
      assertTrue(test.database().scheduler().tick().isEmpty());
      assertTrue(test.database().tryLock("l", hour).isEmpty());
      test.advance(Duration.ofHours(2));
      assertFalse(test.database().tryLock("l", hour).isEmpty());
      assertFalse(test.database().scheduler().tick().isEmpty());
      test.assertEnqueued("q", "1");
    }
  }

  @Test
  void aUniqueKeyIsFreeWhenItsTimeIsOver() {
    try (TestDatabase test = new TestDatabase()) {
      EnqueueOptions hourly =
          EnqueueOptions.builder().uniqueKey("k").uniqueFor(Duration.ofHours(1)).build();
      long id = test.database().queue("q").enqueue("1", hourly);
      assertTrue(test.database().queue("q").claimOne("w").orElseThrow().ack());
      test.advance(Duration.ofMinutes(30));
      assertEquals(id, test.database().queue("q").enqueue("2", hourly));
      test.advance(Duration.ofHours(1));
      test.database().queue("q").enqueue("3", hourly);
      test.assertEnqueued("q", "3");
    }
  }

  /** Whichever columns this version has: each table's times are moved. */
  @Test
  void everyTimeOfTheFileIsMoved() {
    try (TestDatabase test = new TestDatabase()) {
      long id = test.database().queue("q").enqueue("1");
      test.database()
          .transactionVoid(tx -> tx.execute("CREATE TABLE _honker_later (due_at INTEGER)"));
      test.database().transactionVoid(tx -> tx.execute("INSERT INTO _honker_later VALUES (1000)"));
      test.advance(Duration.ofSeconds(100));
      assertEquals(
          900, test.database().query("SELECT due_at FROM _honker_later").get(0).getLong("due_at"));
      assertEquals(id, test.assertEnqueued("q", "1").id());
    }
  }

  @Test
  void nothingIsLeft() {
    TestDatabase test = new TestDatabase();
    Path directory = Path.of(test.path()).getParent();
    test.close();
    assertFalse(Files.exists(directory));
  }
}
