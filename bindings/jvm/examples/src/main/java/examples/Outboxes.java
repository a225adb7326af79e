package examples;

import dev.honker.Honker;
import dev.honker.OutboxOptions;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;

/**
 * An outbox delivers what was committed with the caller's own data, and tries again when that
 * fails.
 */
final class Outboxes {
  private static final CountDownLatch delivered = new CountDownLatch(1);
  private static int calls;

  private static void post(String json) throws Exception {
    if (++calls == 1) throw new java.io.IOException("the server is down");
    System.out.println("posted " + json + " at the second attempt");
    delivered.countDown();
  }

  public static void main(String[] args) throws Exception {
    try (var db = Honker.open("app.db")) {
      db.transactionVoid(tx -> tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total)"));
      // Tried again at once; 5 seconds is the default.
      var atOnce = OutboxOptions.builder().baseBackoff(Duration.ZERO).build();
      var webhooks = db.outbox("webhooks", Outboxes::post, atOnce);
      db.transactionVoid(
          tx -> {
            tx.execute("INSERT INTO orders (id, total) VALUES (42, 99)");
            webhooks.enqueue(tx, "{\"order_id\":42}");
          });
      try (var worker = webhooks.runWorker("worker-1")) {
        delivered.await();
      }
    }
  }
}
