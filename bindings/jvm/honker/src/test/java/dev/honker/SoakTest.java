package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Three processes with workers of eight handlers each, which fail in every way and are killed,
 * stopped and replaced while they claim, settle and end: no job is lost, and none is acknowledged
 * twice. Five seconds; ten minutes with HONKER_TEST_LONG.
 */
class SoakTest {
  private static final int SIGTERM_UNHEARD = 143;

  @TempDir Path directory;

  private static long number(Database db, String sql) {
    return db.query(sql).get(0).getLong("n");
  }

  /** Ends as it should, unless it was not yet there to hear the signal. */
  private void stop(Process worker) throws Exception {
    worker.toHandle().destroy();
    assertTrue(worker.waitFor(120, TimeUnit.SECONDS), "a worker does not stop");
    if (worker.exitValue() == SIGTERM_UNHEARD) return;
    assertEquals(0, worker.exitValue(), () -> end(directory.resolve("log")));
  }

  private static String end(Path log) {
    try {
      String text = Files.readString(log);
      return text.substring(Math.max(0, text.length() - 10_000));
    } catch (java.io.IOException e) {
      return e.toString();
    }
  }

  @Test
  @Timeout(1800)
  void killsStopsAndFailures() throws Exception {
    boolean isLong = !System.getenv().getOrDefault("HONKER_TEST_LONG", "").isEmpty();
    long nanos = TimeUnit.SECONDS.toNanos(isLong ? 600 : 5);
    Path file = directory.resolve("app.db");
    OpenOptions patient = OpenOptions.builder().busyTimeout(Duration.ofSeconds(60)).build();
    List<Process> workers = new ArrayList<>();
    try (Database db = Honker.open(file, patient)) {
      db.transactionVoid(
          tx -> {
            // No primary keys: what is there twice is counted, not refused.
            tx.execute("CREATE TABLE done (id INTEGER)");
            tx.execute("CREATE TABLE tried (id INTEGER)");
            tx.execute("CREATE TABLE ended (id INTEGER)");
            tx.execute(
                "CREATE TRIGGER mine AFTER DELETE ON _honker_live"
                    + " BEGIN INSERT INTO ended VALUES (OLD.id); END");
          });
      QueueOptions options = QueueOptions.builder().maxAttempts(1_000_000).build();
      List<Queue> queues = List.of(db.queue("q", options), db.queue("other", options));
      Random random = new Random();
      for (int i = 0; i < 3; i++) workers.add(WorkerProcess.start(file, 1000, "soak"));
      long enqueued = 0;
      int kills = 0;
      int stops = 0;
      for (long begin = System.nanoTime(); System.nanoTime() - begin < nanos; ) {
        if (number(db, "SELECT count(*) AS n FROM _honker_live") < 500) {
          int count = 1 + random.nextInt(50);
          queues.get(random.nextInt(2)).enqueueMany(Collections.nCopies(count, "1"));
          enqueued += count;
        }
        Thread.sleep(50);
        if (random.nextInt(20) > 0) continue;
        Process worker = workers.remove(random.nextInt(3));
        if (random.nextBoolean()) {
          kills++;
          worker.destroyForcibly().waitFor();
        } else {
          stops++;
          stop(worker);
        }
        workers.add(WorkerProcess.start(file, 1000, "soak"));
      }
      long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(300);
      while (number(db, "SELECT count(*) AS n FROM _honker_live") > 0 && System.nanoTime() < end) {
        Thread.sleep(100);
      }
      for (Process worker : workers) stop(worker);
      System.out.printf("soak: %d jobs, %d kills, %d stops%n", enqueued, kills, stops);
      assertEquals(0, number(db, "SELECT count(*) AS n FROM _honker_live"), "still there");
      assertEquals(0, number(db, "SELECT count(*) AS n FROM _honker_dead"), "dead");
      assertEquals(enqueued, number(db, "SELECT count(*) AS n FROM ended"), "ended");
      assertEquals(enqueued, number(db, "SELECT count(DISTINCT id) AS n FROM ended"), "ended once");
      assertEquals(
          0,
          number(db, "SELECT count(*) - count(DISTINCT id) AS n FROM done"),
          "acknowledged twice");
      String either = "SELECT id FROM done UNION SELECT id FROM tried WHERE id > 0";
      assertEquals(enqueued, number(db, "SELECT count(*) AS n FROM (" + either + ")"), "its data");
      assertEquals(0, number(db, "SELECT count(*) AS n FROM tried WHERE id < 0"), "left open");
    } finally {
      workers.forEach(Process::destroyForcibly);
    }
  }
}
