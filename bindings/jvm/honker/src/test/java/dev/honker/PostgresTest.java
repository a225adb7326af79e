package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;
import org.junit.jupiter.api.io.TempDir;

/** A Postgres server, and jobs enqueued with its driver. tests/run starts the server. */
@Timeout(180)
@EnabledIfEnvironmentVariable(named = "HONKER_POSTGRES_URL", matches = ".+")
class PostgresTest {
  private static final String URL = System.getenv("HONKER_POSTGRES_URL");
  private final BlockingQueue<String> done = new LinkedBlockingQueue<>();

  @TempDir Path directory;

  @BeforeEach
  void install() {
    Honker.open(URL + "&honker_migrate=on").close();
  }

  private static Connection connect() throws SQLException {
    return DriverManager.getConnection(System.getenv("HONKER_POSTGRES_JDBC_URL"));
  }

  private static <T> T next(BlockingQueue<T> queue) throws InterruptedException {
    T value = queue.poll(60, TimeUnit.SECONDS);
    if (value == null) throw new AssertionError("nothing has come");
    return value;
  }

  @Test
  void everythingOnAUrl() throws Exception {
    WorkerOptions options = WorkerOptions.builder().maxRun(Duration.ofSeconds(100)).build();
    try (Database db = Honker.open(URL);
        Runner worker =
            Honker.worker(URL, options).handle("api", job -> done.add(job.payloadJson())).start()) {
      assertTrue(db.statusJson().contains("\"postgres\":\""), db.statusJson());
      BlockingQueue<Notification> notifications = new LinkedBlockingQueue<>();
      try (Runner listening = db.listen("api", notifications::add);
          Subscription subscription = db.stream("api").subscribe();
          Transaction tx = db.begin()) {
        tx.execute("DROP TABLE IF EXISTS api");
        tx.execute("CREATE TABLE api (id bigint PRIMARY KEY, name text)");
        tx.execute("INSERT INTO api VALUES (?, ?2), (?, 'a ? in a text')", List.of(1, "alice", 2));
        db.queue("api").enqueue(tx, "\"in a transaction\"");
        db.stream("api").publish(tx, "{\"id\":1}");
        db.notify(tx, "api", "\"hello\"");
        tx.commit();
        assertEquals("\"in a transaction\"", next(done));
        assertEquals(
            "{\"id\":1}", subscription.next(Duration.ofSeconds(60)).orElseThrow().payloadJson());
        assertEquals("\"hello\"", next(notifications).payloadJson());
        assertFalse(listening.failed() || worker.failed());
      }
      assertEquals(
          "a ? in a text",
          db.query("SELECT name FROM api WHERE id = ?", List.of(2)).get(0).getString("name"));

      db.scheduler().add("api", "api", CronSchedule.every(Duration.ofSeconds(1)), "\"scheduled\"");
      try (Runner scheduling = db.scheduler().run()) {
        assertEquals("\"scheduled\"", next(done));
        assertTrue(!scheduling.failed() && db.scheduler().remove("api"));
      }
    }
  }

  /** Tasks have their arguments read without SQLite. */
  @Test
  void tasks() throws Exception {
    try (Database db = Honker.open(URL)) {
      TaskRegistry registry = new TaskRegistry(db);
      TaskHandle echo =
          registry.register(
              "echo", "tasks", call -> "[" + call.argsJson() + "," + call.kwargsJson() + "]");
      TaskResult result = echo.enqueue("[\"x\", 1e400]", "{\"k\":[]}");
      try (Runner running = db.runTasks(registry)) {
        assertEquals("[[\"x\", 1e400],{\"k\":[]}]", result.waitFor(Duration.ofSeconds(60)));
        assertFalse(running.failed());
      }
    }
  }

  @Test
  void theConnectionsTransactionDecides() throws Exception {
    WorkerOptions options = WorkerOptions.builder().build();
    try (Database db = Honker.open(URL);
        Runner worker =
            db.worker(options).handle("own", job -> done.add(job.payloadJson())).start();
        Connection connection = connect();
        Statement statement = connection.createStatement()) {
      statement.execute("DROP TABLE IF EXISTS orders");
      statement.execute("CREATE TABLE orders (id int PRIMARY KEY)");
      connection.setAutoCommit(false);
      statement.execute("INSERT INTO orders VALUES (1)");
      EnqueueSql.enqueue(connection, new JobSpec("own", "1", null));
      connection.rollback();
      statement.execute("INSERT INTO orders VALUES (2)");
      EnqueueSql.enqueue(connection, new JobSpec("own", "2", null));
      connection.commit();
      assertEquals("2", next(done));
      assertEquals(2, db.query("SELECT id FROM orders").get(0).getLong("id"));
      assertTrue(!worker.failed() && done.isEmpty());
    }
  }

  @Test
  void allOptionsAreTaken() throws Exception {
    EnqueueOptions plain =
        EnqueueOptions.builder()
            .priority(3)
            .delay(Duration.ofSeconds(100))
            .expires(Duration.ofSeconds(200))
            .maxAttempts(7L)
            .build();
    EnqueueOptions all =
        plain.toBuilder()
            .metadata(Map.of("trace", "1"))
            .uniqueKey("k")
            .maxRun(Duration.ofSeconds(9))
            .build();
    try (Database db = Honker.open(URL);
        Connection connection = connect()) {
      for (EnqueueOptions options : List.of(plain, all)) {
        long id = EnqueueSql.enqueue(connection, new JobSpec("options", "{}", options));
        JobInfo job = db.jobs().find(id).orElseThrow();
        assertEquals(3, job.priority());
        assertEquals(7, job.maxAttempts());
        assertEquals(job.createdAt().plusSeconds(100), job.runAt());
        assertEquals(job.createdAt().plusSeconds(200), job.expiresAt());
        assertEquals(options.metadata(), job.metadata());
        assertEquals(options.uniqueKey(), job.uniqueKey());
        if (options == all) {
          EnqueueResult again =
              EnqueueSql.enqueueWith(connection, new JobSpec("options", "{}", all));
          assertEquals(new EnqueueResult(id, EnqueueResult.Outcome.EXISTS), again);
        }
      }
    }
  }

  /** A job that runs adds another one to its batch, which is sealed. */
  @Test
  void membersOfBatches() throws Exception {
    String queue = "members-" + System.nanoTime();
    try (Database db = Honker.open(URL);
        Connection connection = connect()) {
      Batch batch = db.createBatch(BatchOptions.builder().build());
      batch.enqueue(new JobSpec(queue, "1", null));
      batch.seal();
      Job job = db.queue(queue).claimOne("w").orElseThrow();
      EnqueueOptions member = EnqueueOptions.builder().batch(batch.id(), job).build();
      EnqueueSql.enqueue(connection, new JobSpec(queue, "2", member));
      assertEquals(2, batch.get().orElseThrow().total());
      EnqueueOptions late = EnqueueOptions.builder().batch(batch.id()).build();
      HonkerException refused =
          assertThrows(
              HonkerException.class,
              () -> EnqueueSql.enqueue(connection, new JobSpec(queue, "3", late)));
      assertInstanceOf(HonkerInvalidOptionException.class, refused);
      assertEquals("HK001", ((SQLException) refused.getCause()).getSQLState());
    }
  }

  /** What is the driver's alone stays its exception. */
  @Test
  void errorsOfTheDriver() throws Exception {
    try (Connection connection = connect();
        Statement statement = connection.createStatement()) {
      connection.setAutoCommit(false);
      assertThrows(SQLException.class, () -> statement.execute("SELECT 1/0"));
      SQLException aborted =
          assertThrows(
              SQLException.class,
              () -> EnqueueSql.enqueue(connection, new JobSpec("own", "1", null)));
      assertEquals("25P02", aborted.getSQLState());
      connection.rollback();
      statement.execute("SELECT honker._move_begin('6d', 'postgres://db.example/app')");
      HonkerMovedException moved =
          assertThrows(
              HonkerMovedException.class,
              () -> EnqueueSql.enqueue(connection, new JobSpec("own", "1", null)));
      assertEquals("HK005", ((SQLException) moved.getCause()).getSQLState());
      connection.rollback();
    }
  }

  @Test
  void closingEndsWaiting() throws Exception {
    Database db = Honker.open(URL);
    Runner worker =
        db.worker(WorkerOptions.builder().build())
            .handle("closing", job -> done.add(job.payloadJson()))
            .start();
    db.queue("closing").enqueue("1");
    next(done);
    CompletableFuture<?> closing = CompletableFuture.runAsync(db::close);
    closing.get(60, TimeUnit.SECONDS);
    worker.close();
    HonkerClosedException closed =
        assertThrows(HonkerClosedException.class, () -> db.queue("closing").enqueue("1"));
    assertFalse(closed.getMessage().contains("host="), closed.getMessage());
  }

  /** What a move does is undone with the transaction. */
  @Test
  void aDatabaseThatMoves() {
    try (Database db = Honker.open(URL);
        Transaction tx = db.begin()) {
      tx.query("SELECT honker._move_begin('6d', 'postgres://db.example/app')");
      HonkerMovedException moved =
          assertThrows(HonkerMovedException.class, () -> db.queue("moved").enqueue(tx, "1"));
      assertEquals("HONKER_MOVED", moved.name());
      assertEquals(-34, moved.status());
      assertFalse(moved.isTransient());
      assertTrue(moved.getMessage().contains("postgres://db.example/app"), moved.getMessage());
      tx.rollback();
    }
  }

  /** The password of a URL is in no text. */
  @Test
  void errorsOfConnecting() {
    HonkerException away =
        assertThrows(
            HonkerConnectionException.class,
            () -> Honker.open("postgres://me:secret@localhost/app?host=" + directory));
    assertEquals("HONKER_CONNECTION", away.name());
    assertEquals(-33, away.status());
    assertTrue(away.isTransient());
    assertFalse(away.getMessage().contains("secret"), away.getMessage());
    assertThrows(
        HonkerInvalidOptionException.class, () -> Honker.open("postgres://localhost/app?no=1"));
    assertEquals(
        "postgres://h:1/app", Checks.withoutPassword("postgres://me:s@cret@h:1/app?password=x"));
    assertEquals("a@b?c", Checks.withoutPassword("a@b?c"));
  }
}
