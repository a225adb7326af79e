package examples;

import dev.honker.Honker;
import java.time.Duration;

/** Notifications are for whoever listens at the time. */
final class Listen {
  public static void main(String[] args) throws Exception {
    try (var db = Honker.open("app.db");
        var orders = db.listen("orders")) {
      db.notify("orders", "{\"id\":1}");
      db.notify("weather", "\"rain\"");
      db.notify("orders", "{\"id\":2}");
      for (int i = 0; i < 2; i++) {
        var notification = orders.next(Duration.ofSeconds(5)).orElseThrow();
        System.out.println(notification.channel() + ": " + notification.payloadJson());
      }
    }
  }
}
