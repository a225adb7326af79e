package examples;

import dev.honker.Honker;
import dev.honker.RetryableException;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;

/** A worker that sleeps until there is a job, whoever enqueues it in whichever process. */
final class WorkerExample {
  private static final CountDownLatch sent = new CountDownLatch(2);

  private static void sendEmail(String json) {
    System.out.println("sending " + json);
    sent.countDown();
  }

  public static void main(String[] args) throws Exception {
    Thread main = Thread.currentThread();
    try (var db = Honker.open("app.db")) {
      var q = db.queue("emails");
      q.enqueue("{\"to\":\"alice@example.com\"}");
      q.enqueue("{\"to\":\"bob@example.com\"}");
      new Thread(
              () -> {
                try {
                  sent.await();
                } catch (InterruptedException e) {
                  // then it ends at once
                }
                main.interrupt(); // the way to end what follows
              })
          .start();
      try (var worker =
          q.worker(
              "worker-1",
              job -> {
                try {
                  sendEmail(job.payloadJson());
                } catch (Exception e) {
                  throw new RetryableException(e.getMessage(), Duration.ofSeconds(60));
                }
              })) {
        Thread.currentThread().join();
      }
    } catch (InterruptedException e) {
      System.out.println("stopped");
    }
  }
}
