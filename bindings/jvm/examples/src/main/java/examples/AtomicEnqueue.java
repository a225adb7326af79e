package examples;

import dev.honker.Honker;

/** A job and the caller's own data, both or neither. */
final class AtomicEnqueue {
  public static void main(String[] args) {
    try (var db = Honker.open("app.db")) {
      var q = db.queue("emails");
      db.transactionVoid(tx -> tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total)"));
      db.transactionVoid(
          tx -> {
            var order =
                tx.query("INSERT INTO orders (total) VALUES (9900) RETURNING id")
                    .get(0)
                    .getLong("id");
            q.enqueue(tx, "{\"order_id\":" + order + ",\"email_type\":\"confirmation\"}");
          });
      for (var row : db.query("SELECT id, total FROM orders")) {
        System.out.println("order " + row.getLong("id") + ": " + row.getLong("total"));
      }

      // What a job does, exactly once: it is done in the transaction that does it.
      var job = q.claimOne("worker-1").orElseThrow();
      db.transactionVoid(
          tx -> {
            tx.execute("UPDATE orders SET total = total + 1 WHERE total = 9900");
            if (!job.ack(tx)) tx.rollback(); // the claim was lost
          });
      System.out.println(db.query("SELECT total FROM orders").get(0).getLong("total"));
    }
  }
}
