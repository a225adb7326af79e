package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What is told with a job, and comes back with it. */
@Timeout(120)
class EnqueueTest {
  @TempDir Path directory;

  @Test
  void jobsOfSeveralQueuesTogether() {
    try (Database db = Temporary.open(directory)) {
      EnqueueOptions later = EnqueueOptions.builder().delay(Duration.ofHours(1)).build();
      EnqueueOptions tagged =
          EnqueueOptions.builder().priority(7).maxAttempts(9L).metadata(Map.of("k", "v")).build();
      List<EnqueueResult> results =
          db.enqueueMany(
              List.of(
                  new JobSpec("a", "1", null),
                  new JobSpec("b", "2", later),
                  new JobSpec("a", "3", tagged)));
      assertEquals(3, results.size());
      for (EnqueueResult it : results) {
        assertEquals(EnqueueResult.Outcome.ENQUEUED, it.outcome());
      }
      List<Job> jobs = db.queue("a").claimBatch("w", -1);
      assertEquals(List.of("3", "1"), jobs.stream().map(Job::payloadJson).toList());
      assertEquals(results.get(2).id(), jobs.get(0).id());
      assertEquals(9, jobs.get(0).maxAttempts());
      assertEquals(Map.of("k", "v"), jobs.get(0).metadata());
      assertEquals(3, jobs.get(1).maxAttempts());
      assertEquals(Map.of(), jobs.get(1).metadata());
      assertTrue(db.queue("b").claimOne("w").isEmpty());
      assertEquals(List.of(), db.enqueueMany(List.of()));

      assertThrows(
          IllegalStateException.class,
          () ->
              db.transactionVoid(
                  tx -> {
                    db.enqueueMany(tx, List.of(new JobSpec("c", "1", null)));
                    throw new IllegalStateException();
                  }));
      assertTrue(db.queue("c").claimOne("w").isEmpty());
    }
  }

  @Test
  void metadataComesBackAsItWas() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      Map<String, String> metadata =
          Map.of(
              "",
              "",
              "quote\"",
              "back\\slash",
              "control",
              "\0\b\f\n\r\t\u001f",
              "\uD83E\uDD86",
              "{\"a\":1}");
      queue.enqueue("1", EnqueueOptions.builder().metadata(metadata).build());
      Job job = queue.claimOne("w").orElseThrow();
      assertEquals(metadata, job.metadata());
      assertTrue(job.release());
      assertEquals(metadata, queue.claimOne("w").orElseThrow().metadata());
      assertThrows(
          HonkerException.class,
          () ->
              queue.enqueue(
                  "1", EnqueueOptions.builder().metadata(Map.of("k", "v".repeat(9000))).build()));
    }
  }

  @Test
  void aReleasedJobIsDueWithItsAttempt() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q", QueueOptions.builder().maxAttempts(1).build());
      queue.enqueue("1");
      assertTrue(queue.claimOne("w").orElseThrow().release());
      Job again = queue.claimOne("w").orElseThrow();
      assertEquals(1, again.attempts());
      db.transactionVoid(
          tx -> {
            assertTrue(again.release(tx));
            tx.rollback();
          });
      assertTrue(again.ack());
    }
  }

  @Test
  void statusNamesTheFileAndTheVersions() {
    try (Database db = Temporary.open(directory)) {
      String status = db.statusJson();
      assertTrue(status.contains("app.db") && status.contains("\"versions\""), status);
      assertTrue(status.contains("\"watcher\":null"), status);
      db.listen("c").close();
      assertTrue(db.statusJson().contains("\"backend\""), db.statusJson());
    }
  }

  /** Around single ones and many, typed ones, tasks and outboxes, in transactions too. */
  @Test
  void interceptorsAreAroundAllThatIsEnqueued() {
    List<String> seen = new ArrayList<>();
    EnqueueInterceptor outer =
        (jobs, next) -> {
          seen.add("outer " + jobs.stream().map(JobSpec::queue).toList());
          return next.enqueue(
              jobs.stream().map(job -> job.withMetadata(Map.of("trace", "t-1"))).toList());
        };
    EnqueueInterceptor inner =
        (jobs, next) -> {
          seen.add("inner " + jobs.get(0).options().metadata());
          List<EnqueueResult> results = next.enqueue(jobs);
          seen.add("ids " + results.size());
          return results;
        };
    OpenOptions options =
        OpenOptions.builder().enqueueInterceptor(outer).enqueueInterceptor(inner).build();
    try (Database db = Honker.open(directory.resolve("app.db"), options)) {
      EnqueueOptions own = EnqueueOptions.builder().metadata(Map.of("own", "o")).build();
      long id = db.queue("q").enqueue("1", own);
      assertEquals(3, seen.size());
      assertTrue(seen.contains("outer [q]") && seen.contains("ids 1"), seen.toString());
      Job job = db.queue("q").claimOne("w").orElseThrow();
      assertEquals(id, job.id());
      assertEquals(Map.of("own", "o", "trace", "t-1"), job.metadata());

      seen.clear();
      db.transactionVoid(tx -> db.queue("q").enqueueMany(tx, List.of("2", "3"), null));
      assertEquals(List.of("outer [q, q]", "inner {trace=t-1}", "ids 2"), seen);
      seen.clear();
      new TaskRegistry(db).register("t", "tasks", call -> null).enqueue("[]", "{}");
      db.outbox("o", json -> {}).enqueue("1");
      assertEquals(List.of("outer [tasks]", "outer [_outbox:o]"), only(seen, "outer"));
    }
  }

  private static List<String> only(List<String> lines, String begin) {
    return lines.stream().filter(it -> it.startsWith(begin)).toList();
  }

  @Test
  void aValueInATransaction() {
    try (Database db = Temporary.open(directory)) {
      TypedQueue<String> typed = db.queue("q").typed(JsonCodec.of(v -> "\"" + v + "\"", j -> j));
      Transaction undone = db.begin();
      typed.enqueue(undone, "undone");
      undone.rollback();
      assertEquals(0, db.queue("q").claimBatch("w", -1).size());
      long id = db.transaction(tx -> typed.enqueue(tx, "done"));
      TypedJob<String> job = typed.claimOne("w").orElseThrow();
      assertEquals(id, job.id());
      assertEquals("\"done\"", job.payload());
    }
  }

  /** As published; the README has a shorter one. */
  @Test
  void aJobWithOwnData() {
    try (Database db = Temporary.open(directory)) {
      Queue q = db.queue("emails");
      db.transactionVoid(
          tx -> tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total, customer_id)"));
      db.transactionVoid(
          tx -> {
            tx.execute(
                "INSERT INTO orders (id, total, customer_id) VALUES (?, ?, ?)",
                java.util.List.of(42, 9900, "alice"));
            q.enqueue(tx, "{\"order_id\":42,\"email_type\":\"confirmation\"}");
          });
      assertEquals(42, db.query("SELECT id FROM orders").get(0).getLong("id"));
      assertEquals(1, q.claimBatch("w", -1).size());
    }
  }
}
