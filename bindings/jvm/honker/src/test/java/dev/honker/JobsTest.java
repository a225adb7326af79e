package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Looking at jobs, and acting on many. */
@Timeout(120)
class JobsTest {
  @TempDir Path directory;

  private static List<Long> ids(Database db, JobFilter.Builder filter) {
    return db.jobs().list(filter.build()).map(JobInfo::id).toList();
  }

  private static JobFilter.Builder filter() {
    return JobFilter.builder();
  }

  @Test
  void whatAJobHas() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      queue.configure(new QueueUpdate().keepDone(Duration.ofHours(1)));
      EnqueueOptions options =
          EnqueueOptions.builder()
              .priority(7)
              .maxAttempts(9)
              .expires(Duration.ofHours(1))
              .uniqueKey("u")
              .concurrencyKey("c")
              .metadata(Map.of("k", "\"v\" \u00e4\ud83e\udd86"))
              .build();
      Instant before = Instant.ofEpochSecond(Instant.now().getEpochSecond());
      long id = queue.enqueue("{\"a\":\"b\\n\"}", options);
      JobInfo due = db.jobs().find(id).orElseThrow();
      assertTrue(!due.createdAt().isBefore(before) && !due.runAt().isBefore(before));
      assertEquals(
          new JobInfo(
              id,
              "q",
              "{\"a\":\"b\\n\"}",
              JobState.DUE,
              7,
              due.runAt(),
              null,
              null,
              0,
              9,
              due.createdAt(),
              due.createdAt().plusSeconds(3600),
              null,
              null,
              null,
              null,
              Map.of("k", "\"v\" \u00e4\ud83e\udd86"),
              "u",
              "c",
              null),
          due);
      Job job = queue.claimOne("w").orElseThrow();
      JobInfo claimed = db.jobs().find(id).orElseThrow();
      assertEquals(JobState.PROCESSING, claimed.state());
      assertEquals("w", claimed.workerId());
      assertEquals(job.claimExpiresAt(), claimed.claimExpiresAt());
      queue.saveResult(id, "17");
      assertTrue(job.ack());
      JobInfo done = db.jobs().find(id).orElseThrow();
      assertEquals(JobState.DONE, done.state());
      assertEquals("17", done.resultJson());
      assertTrue(!done.finishedAt().isBefore(before));
      assertTrue(db.jobs().find(id + 1).isEmpty());
    }
  }

  @Test
  void conditions() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      long dead = queue.enqueue("1");
      assertTrue(queue.claimOne("w").orElseThrow().fail("order 17 is gone"));
      long claimed = queue.enqueue("2");
      queue.claimOne("other").orElseThrow();
      long due = queue.enqueue("3", EnqueueOptions.builder().uniqueKey("u").build());
      long delayed =
          queue.enqueue(
              "4",
              EnqueueOptions.builder()
                  .delay(Duration.ofHours(1))
                  .metadata(Map.of("k", "v"))
                  .build());
      Batch batch = db.batch(it -> it.enqueue("elsewhere", "5"));
      long member = delayed + 1;

      assertEquals(List.of(member, delayed, due, claimed, dead), ids(db, filter()));
      assertEquals(
          List.of(dead, claimed, due, delayed), ids(db, filter().queue("q").oldestFirst()));
      assertEquals(
          List.of(delayed, dead), ids(db, filter().state(JobState.DEAD, JobState.DELAYED)));
      assertEquals(List.of(due, claimed), ids(db, filter().minId(claimed).maxId(due)));
      assertEquals(List.of(claimed), ids(db, filter().workerId("other")));
      assertEquals(List.of(due), ids(db, filter().uniqueKey("u")));
      assertEquals(List.of(delayed), ids(db, filter().metadata(Map.of("k", "v"))));
      assertEquals(List.of(member), ids(db, filter().batch(batch.id())));
      assertEquals(List.of(dead), ids(db, filter().error("17")));
      Instant now = Instant.ofEpochSecond(Instant.now().getEpochSecond());
      assertEquals(5, ids(db, filter().createdFrom(now.minusSeconds(3600)).createdTo(now)).size());
      assertEquals(List.of(), ids(db, filter().createdFrom(now.plusSeconds(3600))));
      assertEquals(List.of(dead), ids(db, filter().endedFrom(now.minusSeconds(3600)).endedTo(now)));
      assertThrows(HonkerInvalidOptionException.class, () -> ids(db, filter().pageSize(0)));
      assertThrows(HonkerInvalidOptionException.class, () -> filter().queue("half \ud83d"));

      List<DeadGroup> groups = db.deadGroups();
      assertEquals("order # is gone", groups.get(0).error());
      assertEquals(1, groups.get(0).count());
      assertEquals(dead, groups.get(0).newest().id());
      assertEquals("order 17 is gone", groups.get(0).newest().lastError());
      assertEquals(JobState.DEAD, groups.get(0).newest().state());
      assertEquals(groups, queue.deadGroups());
      assertEquals(List.of(), db.queue("elsewhere").deadGroups());
    }
  }

  /** Pages are read as they are needed, and none twice. */
  @Test
  void aStreamOverPages() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      List<Long> all = queue.enqueueMany(java.util.Collections.nCopies(25, "1"));
      assertEquals(all, ids(db, filter().pageSize(10).oldestFirst()));
      JobPage page = db.jobs().page(filter().pageSize(10).build());
      assertEquals(10, page.jobs().size());
      JobPage next = db.jobs().page(filter().pageSize(10).cursor(page.cursor()).build());
      assertEquals(page.jobs().get(9).id() - 1, next.jobs().get(0).id());

      JobFilter oldest = filter().pageSize(10).oldestFirst().build();
      Iterator<JobInfo> jobs = db.jobs().list(oldest).iterator();
      for (int i = 0; i < 10; i++) jobs.next();
      db.jobs().apply(filter().minId(all.get(10)).build(), JobAction.CANCEL);
      List<Long> rest = new ArrayList<>();
      jobs.forEachRemaining(it -> rest.add(it.id()));
      assertEquals(List.of(), rest);
      assertEquals(3, db.jobs().list(oldest).limit(3).count());
    }
  }

  @Test
  void actions() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      queue.enqueueMany(java.util.Collections.nCopies(25, "1"));
      queue.claimBatch("w", 5).forEach(job -> job.fail("no"));
      AppliedJobs retried =
          db.jobs().apply(filter().state(JobState.DEAD).pageSize(2).build(), JobAction.RETRY);
      assertEquals(new AppliedJobs(5, 0, 0L, null), retried);
      JobFilter ten = filter().maxId(10).build();
      assertEquals(10, db.jobs().apply(ten, JobAction.move("r")).changed());
      assertEquals(15, ids(db, filter().queue("q")).size());
      assertEquals(10, db.jobs().apply(ten, JobAction.priority(-3)).changed());
      assertEquals(-3, db.jobs().find(1).orElseThrow().priority());
      long later = queue.enqueue("2", EnqueueOptions.builder().delay(Duration.ofDays(1)).build());
      assertEquals(1, db.jobs().apply(filter().build(), JobAction.RUN_NOW).changed());
      assertEquals(JobState.DUE, db.jobs().find(later).orElseThrow().state());

      Transaction tx = db.begin();
      AppliedJobs some = db.jobs().apply(tx, filter().pageSize(20).build(), JobAction.DELETE);
      assertEquals(20, some.changed());
      JobFilter rest = filter().pageSize(20).cursor(some.cursor()).build();
      AppliedJobs last = db.jobs().apply(tx, rest, JobAction.DELETE);
      assertEquals(6, last.changed());
      assertNull(last.cursor());
      tx.rollback();
      assertEquals(26, db.jobs().apply(filter().build(), JobAction.DELETE).changed());
      assertEquals(List.of(), ids(db, filter()));
    }
  }

  /** A dead job stays dead as long as another one has its key. */
  @Test
  void conflicts() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      EnqueueOptions once = EnqueueOptions.builder().uniqueKey("k").build();
      long dead = queue.enqueue("1", once);
      assertTrue(queue.claimOne("w").orElseThrow().fail("no"));
      long other = queue.enqueue("2", once);
      JobFilter filter = filter().state(JobState.DEAD).build();
      assertEquals(new AppliedJobs(0, 1, 0L, null), db.jobs().apply(filter, JobAction.RETRY));
      assertTrue(!queue.requeueDead(dead));
      assertTrue(queue.cancel(other));
      assertEquals(new AppliedJobs(1, 0, 0L, null), db.jobs().apply(filter, JobAction.RETRY));
    }
  }

  @Test
  void metricsOfEachQueue() {
    Path file = directory.resolve("app.db");
    try (Database db = Honker.open(file)) {
      Queue queue = db.queue("q");
      queue.enqueueMany(List.of("1", "2", "3"));
      queue.enqueue("4", EnqueueOptions.builder().delay(Duration.ofHours(1)).build());
      List<Job> jobs = queue.claimBatch("w", 2);
      assertTrue(jobs.get(0).ack());
      assertTrue(jobs.get(1).fail("no"));
      QueueMetrics.Depth depth = db.metrics().get(0).depth();
      assertEquals(new QueueMetrics.Depth(1, 1, 0, 0, 0, 1, depth.oldestDue()), depth);
      assertTrue(depth.oldestDue().compareTo(Duration.ofMinutes(10)) < 0, depth.toString());
    }
    try (Database db = Honker.open(file)) { // closing it has added what it has counted
      QueueMetrics metrics = db.metrics().get(0);
      assertEquals("q", metrics.queue());
      assertEquals(new QueueMetrics.Counts(4, 2, 1, 0, 0, 1, 0), metrics.counts());
      List<QueueMetrics.Bucket> waits = metrics.queueWait().buckets();
      assertEquals(2, waits.stream().mapToLong(QueueMetrics.Bucket::count).sum());
      assertEquals(Double.POSITIVE_INFINITY, waits.get(waits.size() - 1).upTo());
      assertTrue(metrics.runTime().sum() >= 0);
      assertEquals(1, db.metrics().size());
    }
  }
}
