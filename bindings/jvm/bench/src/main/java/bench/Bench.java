package bench;

import dev.honker.Database;
import dev.honker.Honker;
import dev.honker.Job;
import dev.honker.Queue;
import dev.honker.Worker;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/** Does what a line of standard input says, and answers how long it took with a line of JSON. */
public final class Bench {
  private Bench() {}

  private static String payload(int i) {
    return "{\"n\": " + i + "}";
  }

  private static void fill(Queue queue, int n) {
    queue.enqueueMany(IntStream.range(0, n).mapToObj(Bench::payload).toList());
  }

  private static String seconds(Runnable work) {
    long begin = System.nanoTime();
    work.run();
    double seconds = (System.nanoTime() - begin) / 1e9;
    return String.format(Locale.ROOT, "{\"seconds\": %.6f}", seconds);
  }

  private static String enqueue(Queue queue, int n) {
    return seconds(
        () -> {
          for (int i = 0; i < n; i++) queue.enqueue(payload(i));
        });
  }

  private static String claimAck(Queue queue, int n) {
    fill(queue, n);
    return seconds(
        () -> {
          for (int i = 0; i < n; i++) queue.claimOne("bench").orElseThrow().ack();
        });
  }

  private static String batch(Queue queue, int n) {
    fill(queue, n);
    return seconds(
        () -> {
          List<Job> jobs = queue.claimBatch("bench", 100);
          for (; !jobs.isEmpty(); jobs = queue.claimBatch("bench", 100)) {
            queue.ackBatch(jobs.stream().map(Job::id).toList(), "bench");
          }
        });
  }

  private static String wake(Queue queue, int n) throws InterruptedException {
    long[] sent = new long[n];
    long[] got = new long[n];
    try (Worker worker = queue.worker("bench")) {
      Thread consumer =
          new Thread(
              () -> {
                try {
                  for (int i = 0; i < n; i++) {
                    Job job = worker.next().orElseThrow();
                    got[i] = System.nanoTime();
                    job.ack();
                  }
                } catch (InterruptedException e) {
                  Thread.currentThread().interrupt();
                }
              });
      consumer.start();
      for (int i = 0; i < n; i++) {
        Thread.sleep(2);
        sent[i] = System.nanoTime();
        queue.enqueue(payload(i));
      }
      consumer.join();
    }
    long[] taken = IntStream.range(0, n).mapToLong(i -> got[i] - sent[i]).toArray();
    Arrays.sort(taken);
    return String.format(Locale.ROOT, "{\"p50_us\": %.1f}", taken[n / 2] / 1e3);
  }

  /**
   * Answers until the end of its input.
   *
   * @param args an empty directory
   * @throws Exception if it cannot go on
   */
  public static void main(String[] args) throws Exception {
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    int count = 0;
    try (Database db = Honker.open(Path.of(args[0], "bench.db"))) {
      for (String line = in.readLine(); line != null; line = in.readLine()) {
        String[] words = line.trim().split(" ");
        int n = Integer.parseInt(words[1]);
        Queue queue = db.queue("bench-" + count++);
        String answer =
            switch (words[0]) {
              case "enqueue" -> enqueue(queue, n);
              case "claim_ack" -> claimAck(queue, n);
              case "batch" -> batch(queue, n);
              case "wake" -> wake(queue, n);
              default -> throw new IllegalArgumentException(line);
            };
        System.out.println(answer);
        System.out.flush();
      }
    }
  }
}
