package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What has threads of its own: workers, subscriptions, outboxes, tasks. */
@Timeout(120)
class RunnersTest {
  @TempDir Path directory;

  @Test
  void aWorkerSettlesItsJobs() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q", QueueOptions.builder().maxAttempts(2).build());
      List<String> done = Collections.synchronizedList(new ArrayList<>());
      WorkerOptions atOnce =
          WorkerOptions.builder().retryDelay(Duration.ZERO).concurrency(2).build();
      try (Runner runner =
          queue.worker(
              "w",
              job -> {
                done.add(job.payloadJson() + job.attempts());
                if (job.payloadJson().equals("later") && job.attempts() == 1) {
                  throw new RetryableException("not yet", Duration.ofSeconds(0));
                }
                if (job.payloadJson().equals("never")) throw new AssertionError("no");
                if (job.payloadJson().equals("self")) job.fail("by itself");
              },
              atOnce)) {
        for (String json : List.of("now", "later", "never", "self")) queue.enqueue(json);
        Temporary.eventually(() -> done.size() == 6 && queue.statsJson().contains("\"claimed\":0"));
        assertFalse(runner.failed());
        runner.throwIfFailed();
      }
      assertTrue(
          done.containsAll(List.of("now1", "later1", "later2", "never1", "never2", "self1")));
      assertTrue(queue.deadJson(-1).contains("\"last_error\":\"no\""), queue.deadJson(-1));
      assertTrue(queue.deadJson(-1).contains("by itself"));
    }
  }

  @Test
  void aRunnerFinishesWhatIsInHand() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      queue.enqueue("1");
      CountDownLatch begun = new CountDownLatch(1);
      AtomicInteger done = new AtomicInteger();
      Runner runner =
          queue.worker(
              "w",
              job -> {
                begun.countDown();
                Thread.sleep(200);
                done.incrementAndGet();
              });
      begun.await();
      runner.close();
      assertEquals(1, done.get());
      assertTrue(queue.statsJson().contains("\"claimed\":0"), queue.statsJson());
      queue.enqueue("2");
      Thread.sleep(50);
      assertEquals(1, done.get());
    }
  }

  @Test
  void aHandlerMayCloseTheDatabase() throws Exception {
    Database db = Temporary.open(directory);
    db.queue("q").enqueue("1");
    Runner runner = db.queue("q").worker("w", job -> db.close());
    Temporary.eventually(db::isClosed);
    Temporary.eventually(() -> Temporary.threads("honker-worker") == 0);
    assertFalse(runner.failed());
  }

  @Test
  void aListenerThatFailsSaysSo() throws Exception {
    try (Database db = Temporary.open(directory);
        Runner runner =
            db.listen(
                "c",
                notification -> {
                  throw new IllegalStateException(notification.payloadJson());
                })) {
      db.notify("c", "boom");
      Temporary.eventually(runner::failed);
      assertEquals("boom", runner.failure().orElseThrow().getMessage());
      assertThrows(IllegalStateException.class, runner::throwIfFailed);
    }
  }

  @Test
  void aSubscriptionSavesWhatIsFinished() throws Exception {
    try (Database db = Temporary.open(directory)) {
      Stream stream = db.stream("s");
      for (int i = 1; i <= 3; i++) stream.publish(String.valueOf(i));
      SubscribeOptions me = SubscribeOptions.builder().consumer("me").build();
      try (Subscription subscription = stream.subscribe(me)) {
        for (int i = 1; i <= 3; i++) assertEquals(i, subscription.next().orElseThrow().offset());
      }
      assertEquals(2, stream.getOffset("me")); // the third was in hand
      Runner runner =
          stream.subscribe(
              event -> {
                throw new IllegalStateException("no");
              },
              me);
      Temporary.eventually(runner::failed);
      assertEquals(2, stream.getOffset("me"));
      AtomicInteger handled = new AtomicInteger();
      try (Runner again = stream.subscribe(event -> handled.incrementAndGet(), me)) {
        Temporary.eventually(() -> stream.getOffset("me") == 3); // by the time, while it waits
      }
      assertEquals(1, handled.get());
    }
  }

  @Test
  void tasks() throws Exception {
    try (Database db = Temporary.open(directory)) {
      TaskRegistry registry = new TaskRegistry(db);
      assertThrows(HonkerInvalidOptionException.class, () -> db.runTasks(registry));
      TaskHandler echo = call -> call.argsJson() + call.kwargsJson();
      TaskHandle task = registry.register("echo \"x\"", "tasks", echo);
      assertEquals(task, registry.register("echo \"x\"", "tasks", echo));
      assertThrows(
          HonkerInvalidOptionException.class,
          () -> registry.register("echo \"x\"", "tasks", call -> null));
      TaskOptions once = TaskOptions.builder().retries(1).build();
      TaskHandle broken =
          registry.register(
              "broken",
              "tasks",
              call -> {
                throw new IllegalStateException("no luck");
              },
              once);
      assertThrows(HonkerInvalidOptionException.class, () -> task.enqueue("{}", "{}"));
      assertThrows(HonkerInvalidOptionException.class, () -> task.enqueue("[]", "[1"));
      TaskResult result = task.enqueue("[1,9007199254740993]", "{\"a\":null}");
      broken.enqueue("[]", "{}");
      Queue queue = db.queue("tasks");
      queue.enqueue("not a task");
      queue.enqueue("{\"__honker_task__\":{\"task\":\"nobody\",\"args\":[],\"kwargs\":{}}}");
      try (Runner runner = db.runTasks(registry)) {
        assertEquals("[1,9007199254740993]{\"a\":null}", result.waitFor(Duration.ofMinutes(1)));
        Temporary.eventually(() -> queue.statsJson().contains("\"dead\":3"));
        assertFalse(runner.failed());
      }
      String dead = queue.deadJson(-1);
      for (String error :
          List.of(
              "raw (non-task) payload",
              "unknown task: nobody. Registered tasks: [broken, echo",
              "no luck")) {
        assertTrue(dead.contains(error), dead);
      }
    }
  }

  /** The task is called with values; what is none is never tried again. */
  @Test
  void typedTasks() throws Exception {
    try (Database db = Temporary.open(directory)) {
      TaskRegistry registry = new TaskRegistry(db);
      JsonCodec<Integer> number = JsonCodec.of(String::valueOf, Integer::valueOf);
      TaskRegistry.TypedTaskHandler<Integer, Integer> twice = it -> 2 * it;
      TaskOptions options = TaskOptions.builder().build();
      TaskHandle task = registry.registerTyped("twice", "tasks", number, number, twice, options);
      assertEquals(task, registry.registerTyped("twice", "tasks", number, number, twice, options));
      TaskResult result = task.enqueue("[21]", "{}");
      task.enqueue("[\"x\"]", "{}");
      task.enqueue("[]", "{}");
      Queue queue = db.queue("tasks");
      try (Runner runner = db.runTasks(registry)) {
        assertEquals("42", result.waitFor(Duration.ofMinutes(1)));
        Temporary.eventually(() -> queue.statsJson().contains("\"dead\":2"));
        assertFalse(runner.failed());
      }
      String dead = queue.deadJson(-1);
      assertTrue(dead.contains("the payload cannot be decoded: For input string"), dead);
      assertTrue(dead.contains("args are none, and the task has one"), dead);
    }
  }

  @Test
  void outboxes() throws Exception {
    try (Database db = Temporary.open(directory)) {
      AtomicInteger calls = new AtomicInteger();
      Outbox outbox =
          db.outbox(
              "o",
              json -> {
                if (calls.incrementAndGet() < 3) throw new java.io.IOException("down");
              },
              OutboxOptions.builder().baseBackoff(Duration.ZERO).build());
      assertFalse(outbox.deliverOne("w"));
      outbox.enqueue("1");
      assertTrue(outbox.deliverOne("w"));
      try (Runner runner = outbox.runWorker("w")) {
        Temporary.eventually(
            () -> calls.get() == 3 && outbox.queue().statsJson().contains("\"claimed\":0"));
        assertFalse(runner.failed());
      }
      assertFalse(outbox.deliverOne("w"));
      assertThrows(HonkerInvalidOptionException.class, () -> db.outbox("o", null));
    }
  }
}
