package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Batches, from the first job to what is enqueued when the last has ended. */
@Timeout(120)
class BatchesTest {
  @TempDir Path directory;

  private static BatchOptions then(String queue) {
    EnqueueOptions tagged = EnqueueOptions.builder().priority(7).metadata(Map.of("a", "b")).build();
    return BatchOptions.builder().onFinished(new JobSpec(queue, "\"fin\"", tagged)).build();
  }

  @Test
  void fromTheFirstJobToTheCallback() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      BatchOptions options =
          BatchOptions.builder()
              .onFinished(then("f").onFinished())
              .onSuccess(new JobSpec("s", "1", null))
              .keep(Duration.ofHours(1))
              .build();
      Batch batch =
          db.batch(
              options,
              it -> {
                it.enqueue("q", "1");
                it.enqueueMany(List.of(new JobSpec("q", "2", null)));
                EnqueueOptions mine = EnqueueOptions.builder().batch(it.id()).build();
                queue.enqueue("3", mine);
                assertFalse(it.get().orElseThrow().sealed());
              });
      assertEquals(
          Optional.of(new BatchStatus(3, 3, 0, 0, 0, true, null)), db.batch(batch.id()).get());
      List<Job> jobs = queue.claimBatch("w", -1);
      assertTrue(jobs.get(0).ack());
      assertTrue(jobs.get(1).fail("no"));
      assertTrue(db.queue("f").claimOne("w").isEmpty());
      assertTrue(queue.cancel(jobs.get(2).id()));
      BatchStatus status = batch.get().orElseThrow();
      assertNotNull(status.finishedAt());
      assertEquals(new BatchStatus(3, 0, 1, 1, 1, true, status.finishedAt()), status);
      Job callback = db.queue("f").claimOne("w").orElseThrow();
      assertEquals("\"fin\"", callback.payloadJson());
      assertEquals(Map.of("a", "b", "batch_id", String.valueOf(batch.id())), callback.metadata());
      assertEquals(7, db.jobs().find(callback.id()).orElseThrow().priority());
      assertTrue(db.queue("s").claimOne("w").isEmpty());
    }
  }

  @Test
  void aBlockThatThrowsLeavesItOpen() {
    try (Database db = Temporary.open(directory)) {
      Batch[] made = new Batch[1];
      assertThrows(
          java.io.IOException.class,
          () ->
              db.batch(
                  then("f"),
                  batch -> {
                    made[0] = batch;
                    batch.enqueue("q", "1");
                    throw new java.io.IOException("no");
                  }));
      assertEquals(new BatchStatus(1, 1, 0, 0, 0, false, null), made[0].get().orElseThrow());
      assertTrue(db.queue("q").claimOne("w").orElseThrow().ack());
      assertTrue(db.queue("f").claimOne("w").isEmpty());
      assertTrue(made[0].seal());
      assertFalse(made[0].seal());
      assertTrue(db.queue("f").claimOne("w").isPresent());
    }
  }

  @Test
  void inATransaction() {
    try (Database db = Temporary.open(directory)) {
      Transaction tx = db.begin();
      Batch undone = db.batch(tx, then("f"), batch -> batch.enqueue("q", "1"));
      tx.rollback();
      assertTrue(undone.get().isEmpty());
      assertTrue(db.queue("q").claimOne("w").isEmpty());

      Batch done =
          db.transaction(
              it ->
                  db.batch(
                      it,
                      then("f"),
                      batch -> {
                        batch.enqueue("q", "1");
                        assertEquals(1, batch.get().orElseThrow().total());
                      }));
      assertTrue(done.get().orElseThrow().sealed());
    }
  }

  /** Only it may: others are refused, and so is it when its claim is over. */
  @Test
  void aRunningMemberAddsToIt() {
    try (Database db = Temporary.open(directory)) {
      Batch batch = db.batch(then("f"), it -> it.enqueue("q", "1"));
      assertThrows(HonkerInvalidOptionException.class, () -> batch.enqueue("q", "2"));
      Job job = db.queue("q").claimOne("w").orElseThrow();
      Batch mine = job.batch().orElseThrow();
      assertEquals(batch.id(), mine.id());
      mine.enqueue("q", "2");
      assertTrue(job.ack());
      assertThrows(HonkerInvalidOptionException.class, () -> mine.enqueue("q", "3"));
      assertTrue(db.queue("f").claimOne("w").isEmpty());
      assertTrue(db.queue("q").claimOne("w").orElseThrow().ack());
      Job callback = db.queue("f").claimOne("w").orElseThrow();
      assertTrue(callback.batch().isEmpty());
    }
  }

  /** From a handler, whose worker claims under another name than the given one. */
  @Test
  void aHandlerAddsToItsBatch() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Batch batch = db.batch(it -> it.enqueue("q", "1"));
      Handler<Job> handler =
          job -> {
            if (job.payloadJson().equals("1")) job.batch().orElseThrow().enqueue("q", "2");
          };
      try (Runner worker = db.queue("q").worker("w", handler)) {
        Temporary.eventually(() -> batch.get().orElseThrow().finishedAt() != null);
        worker.throwIfFailed();
      }
      assertEquals(2, batch.get().orElseThrow().done());
    }
  }

  @Test
  void oneThatIsEmptyHasFinished() {
    try (Database db = Temporary.open(directory)) {
      Batch batch = db.batch(then("f"), it -> {});
      assertNotNull(batch.get().orElseThrow().finishedAt());
      assertTrue(db.queue("f").claimOne("w").isPresent());
    }
  }

  @Test
  void whatCannotBe() {
    try (Database db = Temporary.open(directory)) {
      assertTrue(db.batch(17).get().isEmpty());
      assertThrows(HonkerInvalidOptionException.class, () -> db.batch(17).seal());
      EnqueueOptions of17 = EnqueueOptions.builder().batch(17).build();
      assertThrows(HonkerInvalidOptionException.class, () -> db.queue("q").enqueue("1", of17));
      BatchOptions nested = BatchOptions.builder().onSuccess(new JobSpec("q", "1", of17)).build();
      HonkerException e = assertThrows(HonkerException.class, () -> db.batch(nested, it -> {}));
      assertTrue(e.getMessage().contains("batch_id"), e.getMessage());
      EnqueueOptions at = EnqueueOptions.builder().runAt(Instant.EPOCH).maxAttempts(2).build();
      Batch batch =
          db.batch(BatchOptions.builder().onSuccess(new JobSpec("q", "1", at)).build(), it -> {});
      assertNull(db.jobs().find(1).orElseThrow().batchId());
      assertEquals(Instant.EPOCH, db.jobs().find(1).orElseThrow().runAt());
      assertEquals("Batch[" + batch.id() + "]", batch.toString());
    }
  }

  /** One makes it, others fill and seal it. */
  @Test
  void aBatchOfSeveral() {
    try (Database db = Temporary.open(directory);
        Database other = Temporary.open(directory)) {
      JobSpec after = new JobSpec("after", "1", null);
      long id = db.createBatch(BatchOptions.builder().onFinished(after).build()).id();
      other.queue("q").enqueue("1", EnqueueOptions.builder().batch(id).build());
      db.batch(id).enqueue("q", "2");
      assertEquals(2, other.batch(id).get().orElseThrow().pending());
      for (Job job : db.queue("q").claimBatch("w", 2)) assertTrue(job.ack());
      assertTrue(db.queue("after").claimOne("w").isEmpty());
      assertTrue(other.batch(id).seal());
      String batch = db.queue("after").claimOne("w").orElseThrow().metadata().get("batch_id");
      assertEquals(Long.toString(id), batch);

      Transaction tx = db.begin();
      Batch gone = db.createBatch(tx, BatchOptions.builder().build());
      gone.enqueue("q", "3");
      assertTrue(db.batch(tx, gone.id()).seal());
      tx.rollback();
      assertTrue(db.batch(gone.id()).get().isEmpty());
      assertTrue(db.queue("q").claimOne("w").isEmpty());
    }
  }
}
