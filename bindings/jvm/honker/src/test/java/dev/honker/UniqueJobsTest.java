package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.honker.EnqueueOptions.OnConflict;
import dev.honker.EnqueueOptions.UniqueUntil;
import dev.honker.EnqueueResult.Outcome;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** The options of a job that is to be there once, wherever options are taken. */
@Timeout(120)
class UniqueJobsTest {
  @TempDir Path directory;

  private static EnqueueOptions.Builder key(String key) {
    return EnqueueOptions.builder().uniqueKey(key);
  }

  @Test
  void whatHasBecomeOfIt() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      EnqueueOptions once = key("k").metadata(Map.of("a", "b")).build();
      EnqueueOptions replacing = key("k").onConflict(OnConflict.REPLACE).build();
      EnqueueResult first = queue.enqueueWith("1", once);
      assertEquals(Outcome.ENQUEUED, first.outcome());
      assertEquals(new EnqueueResult(first.id(), Outcome.EXISTS), queue.enqueueWith("2", once));
      assertEquals(first.id(), queue.enqueue("3", once));
      assertEquals(
          new EnqueueResult(first.id(), Outcome.REPLACED), queue.enqueueWith("4", replacing));
      TypedQueue<String> typed = queue.typed(JsonCodec.of(v -> "\"" + v + "\"", j -> j));
      assertEquals(Outcome.REPLACED, typed.enqueueWith("five", replacing).outcome());

      List<EnqueueResult> many =
          db.enqueueMany(
              List.of(
                  new JobSpec("q", "6", once),
                  new JobSpec("other", "7", once),
                  typed.spec("8", null)));
      assertEquals(
          List.of(Outcome.EXISTS, Outcome.ENQUEUED, Outcome.ENQUEUED),
          many.stream().map(EnqueueResult::outcome).toList());
      assertEquals(first.id(), many.get(0).id());

      Job job = queue.claimOne("w").orElseThrow();
      assertEquals("\"five\"", job.payloadJson());
      assertEquals(Map.of(), job.metadata());
      assertEquals(Outcome.EXISTS, queue.enqueueWith("9", replacing).outcome());
      assertTrue(job.ack());
      assertEquals(Outcome.ENQUEUED, queue.enqueueWith("10", once).outcome());
    }
  }

  @Test
  void untilItIsClaimedAndForATime() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      EnqueueOptions queued = key("k").uniqueUntil(UniqueUntil.CLAIMED).build();
      queue.enqueue("1", queued);
      Job first = queue.claimOne("w").orElseThrow();
      assertEquals(Outcome.ENQUEUED, queue.enqueueWith("2", queued).outcome());
      assertEquals(Outcome.EXISTS, queue.enqueueWith("3", queued).outcome());
      assertTrue(first.ack());

      EnqueueOptions throttled = key("t").uniqueFor(Duration.ofHours(1)).build();
      Queue other = db.queue("other");
      long id = other.enqueue("1", throttled);
      assertTrue(other.claimOne("w").orElseThrow().ack());
      assertEquals(new EnqueueResult(id, Outcome.EXISTS), other.enqueueWith("2", throttled));
    }
  }

  @Test
  void itIsUndoneWithItsTransaction() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      EnqueueOptions once = key("k").build();
      Transaction tx = db.begin();
      assertEquals(Outcome.ENQUEUED, queue.enqueueWith(tx, "1", once).outcome());
      assertEquals(Outcome.EXISTS, queue.enqueueWith(tx, "2", once).outcome());
      tx.rollback();
      assertEquals(Outcome.ENQUEUED, queue.enqueueWith("3", once).outcome());
    }
  }

  @Test
  void whatCannotBeIsRefusedByName() {
    refused("uniqueKey must not be empty", () -> key(""));
    refused("uniqueKey is no Unicode", () -> key("\ud83d"));
    refused("concurrencyKey must not", () -> EnqueueOptions.builder().concurrencyKey(""));
    refused("uniqueFor must be positive", () -> key("k").uniqueFor(Duration.ZERO));
    refused("maxRun must be positive", () -> key("k").maxRun(Duration.ofSeconds(-1)));
    refused("maxRun must be whole", () -> key("k").maxRun(Duration.ofMillis(1500)));
    refused("uniqueKey is missing", () -> key(null).uniqueFor(Duration.ofHours(1)).build());
    refused("uniqueKey is missing", () -> key(null).onConflict(OnConflict.REPLACE).build());
    refused("uniqueKey is missing", () -> key(null).uniqueUntil(UniqueUntil.CLAIMED).build());
    EnqueueOptions once = key("k").build();
    HonkerException e =
        assertThrows(
            HonkerException.class, () -> EnqueueSql.parameters(new JobSpec("q", "1", once)));
    assertEquals("HONKER_UNSUPPORTED", e.name());
    assertTrue(e.getMessage().startsWith("uniqueKey has no column"), e.getMessage());
    ScheduleOptions.Builder schedule = ScheduleOptions.builder();
    refused("job has priority", () -> schedule.job(key("k").priority(1).build()));
    refused("runAt", () -> schedule.job(key("k").runAt(Instant.EPOCH).build()));
  }

  private static void refused(String begin, Executable call) {
    String message = assertThrows(HonkerInvalidOptionException.class, call).getMessage();
    assertTrue(message.contains(begin), message);
  }

  /** The worker has an hour for each job; this one has a second. */
  @Test
  void aJobSaysHowLongItMayRun() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      EnqueueOptions second =
          EnqueueOptions.builder().maxRun(Duration.ofSeconds(1)).maxAttempts(1).build();
      queue.enqueue("1", second);
      WorkerOptions options = WorkerOptions.builder().maxRun(Duration.ofHours(1)).build();
      try (Runner worker = queue.worker("w", new UntilInterrupted(), options)) {
        Temporary.eventually(() -> queue.deadJson(-1).contains("timeout after 1 s"));
        worker.throwIfFailed();
      }
    }
  }

  @Test
  void aCallOfATaskThatIsThereAlready() throws Exception {
    try (Database db = Temporary.open(directory)) {
      TaskRegistry registry = new TaskRegistry(db);
      TaskHandle task = registry.register("t", "tasks", call -> call.argsJson());
      TaskResult first = task.enqueue("[1]", "{}", key("k").build());
      TaskResult second = task.enqueue("[2]", "{}", key("k").build());
      assertEquals(Outcome.ENQUEUED, first.outcome());
      assertEquals(Outcome.EXISTS, second.outcome());
      assertEquals(first.id(), second.id());
      try (Runner tasks = db.runTasks(registry)) {
        assertEquals("[1]", second.waitFor(Duration.ofSeconds(60)));
      }
    }
  }

  @Test
  void schedulesHaveThemAndMayNotOverlap() {
    try (Database db = Temporary.open(directory)) {
      Scheduler scheduler = db.scheduler();
      CronSchedule hourly = CronSchedule.every(Duration.ofHours(1));
      ScheduleOptions skipping =
          ScheduleOptions.builder().overlap(ScheduleOptions.Overlap.SKIP).build();
      scheduler.add("skips", "a", hourly, "1", skipping);
      EnqueueOptions tagged = key("k").metadata(Map.of("from", "cron")).build();
      scheduler.add("once", "b", hourly, "2", ScheduleOptions.builder().job(tagged).build());
      long held = db.queue("b").enqueue("0", key("k").build());

      Instant later = Instant.ofEpochSecond(Instant.now().getEpochSecond() + 2 * 3600);
      List<Fire> fires = scheduler.ticked(later);
      List<Fire> skipped = fires.stream().filter(it -> it.name().equals("skips")).toList();
      assertEquals(Fire.Outcome.ENQUEUED, skipped.get(0).outcome());
      assertTrue(skipped.get(0).jobId() > 0);
      assertEquals(Fire.Outcome.SKIPPED, skipped.get(1).outcome());
      assertEquals(0, skipped.get(1).jobId());
      for (Fire it : fires.stream().filter(it -> it.name().equals("once")).toList()) {
        assertEquals(Fire.Outcome.EXISTS, it.outcome());
        assertEquals(held, it.jobId());
      }

      assertTrue(db.queue("b").cancel(held));
      assertEquals(
          Map.of("from", "cron"),
          scheduler.ticked(later.plusSeconds(7200)).stream()
              .filter(it -> it.outcome() == Fire.Outcome.ENQUEUED)
              .map(it -> db.jobs().find(it.jobId()).orElseThrow().metadata())
              .findFirst()
              .orElseThrow());
    }
  }
}
