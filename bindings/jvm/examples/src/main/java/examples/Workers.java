package examples;

import dev.honker.Handler;
import dev.honker.Honker;
import dev.honker.Job;
import dev.honker.JobInterceptor;
import dev.honker.WorkerOptions;
import dev.honker.WorkerQueue;
import java.util.concurrent.CountDownLatch;

/** Several queues, an interceptor, and a reporter of failures. */
final class Workers {
  private static final CountDownLatch done = new CountDownLatch(3);

  private static final Timer timer = new Timer();
  private static final Tracker tracker = new Tracker();

  /** What a library for metrics would do. */
  static final class Timer {
    void record(String queue, JobInterceptor.Next next) throws Exception {
      long begin = System.nanoTime();
      try {
        next.run();
      } finally {
        System.out.println(queue + " took " + (System.nanoTime() - begin > 0 ? "some" : "no"));
        done.countDown();
      }
    }
  }

  /** What a service for errors would do. */
  static final class Tracker {
    void report(Throwable error, long job) {
      System.out.println("job " + job + ": " + error.getMessage());
    }
  }

  private static void work(String json) {
    if (json.equals("null")) throw new IllegalArgumentException("nothing to do");
  }

  private static void serve() throws InterruptedException {
    done.await();
  }

  public static void main(String[] args) throws Exception {
    try (var db = Honker.open("app.db")) {
      db.queue("urgent").enqueue("1");
      db.queue("later").enqueue("2");
      db.queue("later").enqueue("null");
      WorkerOptions options =
          WorkerOptions.builder()
              .concurrency(8)
              .interceptor((job, next) -> timer.record(job.queue(), next))
              .onError((job, error) -> tracker.report(error, job.id()))
              .build();
      Handler<Job> handler = job -> work(job.payloadJson());
      try (var worker =
          db.worker(options)
              .handle(WorkerQueue.of("urgent", 3), handler)
              .handle("later", handler)
              .start()) {
        serve();
      }
    }
  }
}
