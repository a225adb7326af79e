package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Jobs of processes that are killed. */
@Timeout(120)
class RescueTest {
  @TempDir Path directory;

  /** Its claim is valid for an hour, and the other worker looks only if it is woken. */
  @Test
  @EnabledOnOs(OS.LINUX)
  void aKilledProcessHasNoJobs() throws Exception {
    Path file = directory.resolve("app.db");
    try (Database db = Honker.open(file)) {
      Queue queue = db.queue("q");
      long id = queue.enqueue("1");
      Process other = WorkerProcess.start(file, 1000, "killed");
      try {
        Temporary.eventually(() -> db.jobs().find(id).orElseThrow().state() == JobState.PROCESSING);
        CompletableFuture<Job> rescued = new CompletableFuture<>();
        try (Runner worker =
            queue.worker("mine", job -> rescued.complete(job), Temporary.WITHOUT_FALLBACK)) {
          other.destroyForcibly();
          Job job = rescued.get(60, TimeUnit.SECONDS);
          assertEquals(id, job.id());
          assertEquals(2, job.attempts());
          assertTrue(job.workerId().matches("mine@[0-9a-f]{32}"), job.workerId());
          worker.throwIfFailed();
        }
      } finally {
        other.destroyForcibly();
      }
    }
  }
}
