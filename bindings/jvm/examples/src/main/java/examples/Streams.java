package examples;

import dev.honker.Honker;
import dev.honker.SubscribeOptions;
import java.util.concurrent.CountDownLatch;

/** A stream keeps its events, and each consumer how far it has come. */
final class Streams {
  public static void main(String[] args) throws Exception {
    try (var db = Honker.open("app.db")) {
      db.transactionVoid(tx -> tx.execute("CREATE TABLE totals (customer PRIMARY KEY, orders)"));
      var orders = db.stream("orders");
      orders.publish("{\"id\":1}", "alice");
      orders.publish("{\"id\":2}", "bob");
      orders.publish("{\"id\":3}", "alice");

      var events = orders.readFromConsumer("totals", 100);
      db.transactionVoid(
          tx -> {
            for (var event : events) {
              tx.execute(
                  "INSERT INTO totals VALUES (?, 1) ON CONFLICT DO UPDATE SET orders = orders + 1",
                  java.util.List.of(event.key()));
            }
            orders.saveOffset(tx, "totals", events.get(events.size() - 1).offset());
          });
      System.out.println(db.query("SELECT * FROM totals ORDER BY customer"));

      var handled = new CountDownLatch(3);
      var mailer = SubscribeOptions.builder().consumer("mailer").build();
      try (var subscription =
          orders.subscribe(
              event -> {
                System.out.println(event.offset() + ": " + event.payloadJson());
                handled.countDown();
              },
              mailer)) {
        handled.await();
      } // saves the offset
      System.out.println("mailer has come to " + orders.getOffset("mailer"));
    }
  }
}
