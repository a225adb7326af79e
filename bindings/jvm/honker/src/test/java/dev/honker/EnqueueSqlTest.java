package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Jobs enqueued with a connection of the application's own driver. */
@Timeout(180)
class EnqueueSqlTest {
  @TempDir Path directory;

  private Connection connect() throws SQLException {
    return DriverManager.getConnection("jdbc:sqlite:" + directory.resolve("app.db"));
  }

  /** A worker of another process takes it, while this process has the file open as well. */
  @Test
  void theConnectionsTransactionDecides() throws Exception {
    try (Database db = Temporary.open(directory);
        Connection connection = connect();
        Statement statement = connection.createStatement()) {
      statement.execute("PRAGMA busy_timeout = 10000");
      statement.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)");
      Process worker = WorkerProcess.start(directory.resolve("app.db"), 8000, "results");
      try {
        connection.setAutoCommit(false);
        statement.execute("INSERT INTO orders VALUES (1)");
        long undone = EnqueueSql.enqueue(connection, new JobSpec("q", "1", null));
        connection.rollback();
        statement.execute("INSERT INTO orders VALUES (2)");
        long done = EnqueueSql.enqueue(connection, new JobSpec("q", "2", null));
        connection.commit();
        assertEquals(undone, done); // it never was
        String result = db.queue("q").waitResult(done, WaitOptions.timeout(Duration.ofSeconds(60)));
        assertEquals("2", result);
      } finally {
        worker.destroy();
        worker.waitFor();
      }
      assertEquals(2, db.query("SELECT * FROM orders").get(0).getLong("id"));
      assertEquals(1, db.query("SELECT * FROM _honker_results").size());
    }
  }

  @Test
  void optionsAreColumns() throws Exception {
    try (Database db = Temporary.open(directory);
        Connection connection = connect()) {
      EnqueueOptions options =
          EnqueueOptions.builder()
              .priority(3)
              .delay(Duration.ofSeconds(100))
              .expires(Duration.ofSeconds(200))
              .maxAttempts(7L)
              .build();
      long id = EnqueueSql.enqueue(connection, new JobSpec("q", "{}", options));
      long same = db.queue("q").enqueue("{}", options);
      String compared =
          "SELECT queue, payload, state, priority, run_at - created_at AS delay, max_attempts,"
              + " expires_at - created_at AS expires, attempts FROM _honker_live WHERE id = ?";
      assertEquals(
          db.query(compared, java.util.List.of(same)).toString(),
          db.query(compared, java.util.List.of(id)).toString());
    }
  }

  @Test
  void whatHasNoColumnIsRefused() throws Exception {
    try (Database db = Temporary.open(directory);
        Connection connection = connect();
        Statement statement = connection.createStatement()) {
      EnqueueOptions traced = EnqueueOptions.builder().metadata(Map.of("a", "b")).build();
      HonkerException unsupported =
          assertThrows(
              HonkerException.class,
              () -> EnqueueSql.enqueue(connection, new JobSpec("q", "1", traced)));
      assertEquals("HONKER_UNSUPPORTED", unsupported.name());
      EnqueueOptions far =
          EnqueueOptions.builder().delay(Duration.ofSeconds(Long.MAX_VALUE - 1)).build();
      for (JobSpec bad :
          new JobSpec[] {
            new JobSpec("q\0", "1", null),
            new JobSpec("q", "\uD800", null),
            new JobSpec("q", "1", far)
          }) {
        assertThrows(HonkerInvalidOptionException.class, () -> EnqueueSql.enqueue(connection, bad));
      }
      statement.execute(
          "CREATE TEMP TRIGGER no BEFORE INSERT ON main._honker_live BEGIN SELECT RAISE(IGNORE); END");
      assertThrows(
          SQLException.class, () -> EnqueueSql.enqueue(connection, new JobSpec("q", "1", null)));
      assertTrue(db.queue("q").claimOne("w").isEmpty());
    }
    Path empty = directory.resolve("empty.db");
    try (Connection none = DriverManager.getConnection("jdbc:sqlite:" + empty)) {
      assertThrows(SQLException.class, () -> EnqueueSql.enqueue(none, new JobSpec("q", "1", null)));
    }
  }
}
