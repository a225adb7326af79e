package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Another SQLite in the same process, of the JDBC driver, on the same file. */
@Timeout(120)
class BesideJdbcTest {
  @TempDir Path directory;

  private Connection connect() throws Exception {
    Connection connection =
        DriverManager.getConnection("jdbc:sqlite:" + directory.resolve("app.db"));
    try (Statement statement = connection.createStatement()) {
      statement.execute("PRAGMA busy_timeout = 60000");
    }
    return connection;
  }

  /** Both write at once, and the driver opens and closes: no lock is lost, and so no row. */
  @Test
  void underLoad() throws Exception {
    int each = 400;
    AtomicReference<Throwable> failure = new AtomicReference<>();
    Set<String> done = ConcurrentHashMap.newKeySet();
    OpenOptions patient = OpenOptions.builder().busyTimeout(Duration.ofSeconds(60)).build();
    try (Database db = Honker.open(directory.resolve("app.db"), patient)) {
      db.transactionVoid(tx -> tx.execute("CREATE TABLE mine (id INTEGER PRIMARY KEY, n)"));
      Queue queue = db.queue("q");
      List<Thread> threads = new ArrayList<>();
      for (int t = 0; t < 2; t++) {
        int who = t;
        threads.add(
            new Thread(
                () -> {
                  try {
                    for (int i = 0; i < each; i += 20) {
                      try (Connection connection = connect();
                          Statement statement = connection.createStatement()) {
                        for (int j = i; j < i + 20; j++) {
                          statement.execute("INSERT INTO mine (n) VALUES (" + j + ")");
                          String payload = "'jdbc-" + who + "-" + j + "'";
                          statement.execute(
                              "INSERT INTO _honker_live (queue, payload) VALUES ('q', "
                                  + payload
                                  + ")");
                        }
                      }
                    }
                  } catch (Throwable e) {
                    failure.set(e);
                  }
                }));
        threads.add(
            new Thread(
                () -> {
                  for (int i = 0; i < each; i++) queue.enqueue("honker-" + who + "-" + i);
                }));
      }
      try (Runner worker = queue.worker("w", job -> assertTrue(done.add(job.payloadJson())))) {
        threads.forEach(Thread::start);
        for (Thread thread : threads) thread.join();
        assertEquals(null, failure.get());
        Temporary.eventually(() -> done.size() == 4 * each);
        assertTrue(worker.failure().isEmpty());
      }
      assertEquals((long) 2 * each, db.query("SELECT count(*) AS n FROM mine").get(0).getLong("n"));
      assertTrue(queue.statsJson().contains("\"dead\":0"), queue.statsJson());
    }
    try (Connection connection = connect();
        Statement statement = connection.createStatement();
        ResultSet check = statement.executeQuery("PRAGMA integrity_check")) {
      assertEquals("ok", check.getString(1));
    }
  }

  @Test
  void aCommitOfTheDriverWakes() throws Exception {
    try (Database db = Temporary.open(directory);
        Connection connection = connect();
        Statement statement = connection.createStatement();
        Worker worker = db.queue("q").worker("w", Temporary.WITHOUT_FALLBACK)) {
      Thread writer =
          new Thread(
              () -> {
                try {
                  Thread.sleep(100);
                  statement.execute("INSERT INTO _honker_live (queue, payload) VALUES ('q', '1')");
                } catch (Exception e) {
                  throw new IllegalStateException(e);
                }
              });
      writer.start();
      assertTrue(worker.next(Duration.ofMinutes(1)).isPresent());
      writer.join();
    }
  }
}
