package dev.honker;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;

/** A program whose main thread runs a worker, until it is told to end by a signal. */
public final class WorkerProcess {
  private WorkerProcess() {}

  /** Begins it; its arguments are the file, the stop timeout in ms, and what its handlers do. */
  static Process start(Path file, long stopMs, String what) throws Exception {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    if (Runtime.version().feature() >= 24) command.add("--enable-native-access=ALL-UNNAMED");
    String path =
        System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
    command.addAll(
        List.of(
            "-XX:+UseSerialGC",
            "-cp",
            path,
            "dev.honker.WorkerProcess",
            file.toString(),
            String.valueOf(stopMs),
            what));
    return new ProcessBuilder(command)
        .redirectErrorStream(true)
        .redirectOutput(ProcessBuilder.Redirect.appendTo(file.resolveSibling("log").toFile()))
        .start();
  }

  private static void handle(String what, Job job) throws Exception {
    if (!what.equals("soak")) System.out.println("a handler has begun");
    switch (what) {
      case "results" -> job.database().queue("q").saveResult(job.id(), job.payloadJson());
      case "soak" -> soak(job);
      case "finishes" -> Thread.sleep(1000);
      case "obeys", "two", "killed" -> Thread.sleep(600_000);
      case "ignores" -> {
        while (true) {
          try {
            Thread.sleep(600_000);
          } catch (InterruptedException e) {
            // it goes on
          }
        }
      }
      default -> throw new IllegalArgumentException(what);
    }
  }

  /** Fails in every way now and then; otherwise what it does and its end are one, or one by one. */
  private static void soak(Job job) throws Exception {
    Database db = job.database();
    int way = ThreadLocalRandom.current().nextInt(100);
    if (way < 5) throw new IllegalStateException("at random");
    if (way < 7) throw new StackOverflowError("at random");
    if (way < 9) throw new RetryableException("at random", Duration.ofSeconds(1));
    if (way < 11 && !job.snooze(Duration.ofSeconds(1))) throw new IllegalStateException("lost");
    if (way < 13 && way >= 11 && !job.release()) throw new IllegalStateException("lost");
    if (way < 13) return;
    if (way < 15) Thread.sleep(1000); // until it is stopped, or killed
    if (way < 17) Thread.currentThread().interrupt();
    if (way < 19) db.begin().execute("INSERT INTO tried VALUES (-1)"); // which nobody ends
    if (way < 19) return;
    if (way < 60) {
      db.transactionVoid(tx -> tx.execute("INSERT INTO tried VALUES (?)", List.of(job.id())));
    } else {
      db.transactionVoid(
          tx -> {
            tx.execute("INSERT INTO done VALUES (?)", List.of(job.id()));
            if (!job.ack(tx)) tx.rollback();
          });
    }
    if (way > 97) throw new IllegalStateException("too late, or one attempt more");
  }

  /**
   * Works.
   *
   * @param args see {@link #start}
   * @throws Exception if handlers have not returned
   */
  public static void main(String[] args) throws Exception {
    WorkerOptions options =
        WorkerOptions.builder()
            .stopTimeout(Duration.ofMillis(Long.parseLong(args[1])))
            .grace(args[2].equals("ignores") ? Duration.ofMillis(100) : Duration.ofMinutes(1))
            .concurrency(8)
            .visibilityTimeout(Duration.ofSeconds(args[2].equals("soak") ? 5 : 3600))
            .retryBase(Duration.ZERO)
            .build();
    Runner worker = start(args[0], options, args[2]);
    if (args[2].equals("two")) {
      Runner second = start(args[0], options, args[2]);
      Thread running = new Thread(() -> assertDoesNotThrow(second::run), "second");
      running.start(); // no daemon: the process ends when both have ended
    }
    worker.run();
  }

  private static Runner start(String path, WorkerOptions options, String what) {
    return Honker.worker(path, options)
        .handle(WorkerQueue.of("q", 3), job -> handle(what, job))
        .handle("other", job -> handle(what, job))
        .start();
  }
}
