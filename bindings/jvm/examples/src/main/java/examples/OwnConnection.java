package examples;

import dev.honker.EnqueueSql;
import dev.honker.Honker;
import dev.honker.JobSpec;
import java.sql.DriverManager;

/** A job in a transaction of the application's own driver. */
final class OwnConnection {
  public static void main(String[] args) throws Exception {
    try (var db = Honker.open("app.db");
        var connection = DriverManager.getConnection("jdbc:sqlite:app.db");
        var statement = connection.createStatement()) {
      statement.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER)");
      connection.setAutoCommit(false);
      statement.execute("INSERT INTO orders (id, total) VALUES (42, 99)");
      EnqueueSql.enqueue(connection, new JobSpec("emails", "{\"order_id\":42}", null));
      connection.commit();
      var job = db.queue("emails").claimOne("worker-1").orElseThrow();
      System.out.println("claimed " + job.payloadJson());
      job.ack();
    }
  }
}
