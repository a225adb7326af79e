package dev.honker;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

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
        .redirectOutput(file.resolveSibling("log").toFile())
        .start();
  }

  private static void handle(String what, Job job) throws Exception {
    switch (what) {
      case "results" -> job.database().queue("q").saveResult(job.id(), job.payloadJson());
      case "counts" ->
          job.database()
              .transactionVoid(
                  tx -> {
                    tx.execute(
                        "INSERT INTO done VALUES (?, 1)"
                            + " ON CONFLICT (id) DO UPDATE SET n = n + 1",
                        List.of(job.id()));
                    if (!job.ack(tx)) tx.rollback();
                    if (job.id() % 10 == 0 && job.attempts() == 1) {
                      throw new IllegalStateException("at the first attempt");
                    }
                  });
      case "finishes" -> Thread.sleep(1000);
      case "obeys" -> Thread.sleep(600_000);
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

  /**
   * Works.
   *
   * @param args see {@link #start}
   * @throws Exception if handlers have not returned
   */
  public static void main(String[] args) throws Exception {
    WorkerOptions options =
        WorkerOptions.builder()
            .shutdownTimeout(Duration.ofMillis(Long.parseLong(args[1])))
            .concurrency(8)
            .visibilityTimeout(Duration.ofSeconds(5))
            .retryBase(Duration.ZERO)
            .build();
    Honker.worker(args[0], options).handle("q", job -> handle(args[2], job)).start().run();
  }
}
