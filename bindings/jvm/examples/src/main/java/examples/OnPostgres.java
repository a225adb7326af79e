package examples;

import dev.honker.EnqueueOptions;
import dev.honker.EnqueueSql;
import dev.honker.Honker;
import dev.honker.JobSpec;
import dev.honker.WorkerOptions;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.concurrent.CompletableFuture;

/** A worker on a Postgres server, and a job in a transaction of the JDBC driver. */
final class OnPostgres {
  public static void main(String[] args) throws Exception {
    String url = args[0];
    var options = WorkerOptions.builder().concurrency(8).build();
    var sent = new CompletableFuture<String>();
    var db = Honker.open(url); // "postgres://app@db.example.com/app"
    var worker =
        db.worker(options).handle("emails", job -> sent.complete(job.payloadJson())).start();
    try (db;
        worker) {
      order(args[1]);
      System.out.println("sent " + sent.get());
      worker.throwIfFailed();
    }
  }

  private static void order(String jdbcUrl) throws SQLException {
    try (var connection = DriverManager.getConnection(jdbcUrl);
        var statement = connection.createStatement()) {
      statement.execute("CREATE TEMPORARY TABLE orders (id int, total int)");
      connection.setAutoCommit(false);
      statement.execute("INSERT INTO orders (id, total) VALUES (42, 99)");
      var once = EnqueueOptions.builder().uniqueKey("order 42").build();
      EnqueueSql.enqueue(connection, new JobSpec("emails", "{\"order_id\":42}", once));
      connection.commit();
    }
  }
}
