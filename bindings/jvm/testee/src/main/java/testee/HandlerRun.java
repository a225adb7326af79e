package testee;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import dev.honker.CancelReason;
import dev.honker.Job;
import dev.honker.Queue;
import dev.honker.Runner;
import dev.honker.WorkerOptions;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A worker whose handler does what the script says, and what has happened to that. */
final class HandlerRun implements AutoCloseable {
  private static final Map<CancelReason, String> REASONS =
      Map.of(
          CancelReason.GONE, "gone",
          CancelReason.LAPSED, "lapsed",
          CancelReason.TAKEN, "taken",
          CancelReason.TIMEOUT, "timeout",
          CancelReason.STOPPED, "stop");

  private final LinkedBlockingQueue<JsonElement> seen = new LinkedBlockingQueue<>();
  private final List<String> script;
  private final Runner runner;
  private int calls; // one at a time

  HandlerRun(Queue queue, String worker, List<String> script) {
    this.script = script;
    WorkerOptions options =
        WorkerOptions.builder().concurrency(1).stopTimeout(Duration.ZERO).build();
    this.runner = queue.worker(worker, this::handle, options);
  }

  private void handle(Job job) throws Exception {
    say("called", job);
    String what = script.get(Math.min(calls++, script.size() - 1));
    if (what.equals("ok")) return;
    if (!what.equals("wait")) throw new Exception(what);
    try {
      new CountDownLatch(1).await();
    } catch (InterruptedException e) {
      say("told", job);
      throw e;
    }
  }

  private void say(String what, Job job) {
    JsonObject json = Json.object("what", what, "id", job.id());
    json.addProperty("attempts", job.attempts());
    json.addProperty("worker", job.workerId());
    json.addProperty("at_us", ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now()));
    job.cancelled().map(REASONS::get).ifPresent(why -> json.addProperty("reason", why));
    seen.add(json);
  }

  Optional<JsonElement> next(long timeoutMillis) throws InterruptedException {
    return Optional.ofNullable(seen.poll(timeoutMillis, TimeUnit.MILLISECONDS));
  }

  @Override
  public void close() {
    runner.close();
  }
}
