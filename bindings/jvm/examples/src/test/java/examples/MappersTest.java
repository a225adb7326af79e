package examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.honker.Database;
import dev.honker.EnqueueSql;
import dev.honker.Honker;
import dev.honker.Job;
import dev.honker.JobSpec;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.util.List;
import org.hibernate.SessionFactory;
import org.hibernate.boot.MetadataSources;
import org.hibernate.boot.registry.StandardServiceRegistryBuilder;
import org.jooq.DSLContext;
import org.jooq.SQLDialect;
import org.jooq.impl.DSL;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Jobs in the transactions of what maps objects and rows: committed and rolled back with them. */
@Timeout(120)
class MappersTest {
  @TempDir Path directory;
  private String url;

  @BeforeEach
  void url() {
    url = "jdbc:sqlite:" + directory.resolve("app.db");
  }

  private static JobSpec job(String json) {
    return new JobSpec("q", json, null);
  }

  private List<String> payloads(Database db) {
    return db.queue("q").claimBatch("w", -1).stream().map(Job::payloadJson).toList();
  }

  @Test
  void jooq() throws Exception {
    try (Database db = Honker.open(directory.resolve("app.db"));
        Connection connection = DriverManager.getConnection(url)) {
      DSLContext context = DSL.using(connection, SQLDialect.SQLITE);
      context.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)");
      assertThrows(
          IllegalStateException.class,
          () ->
              context.transaction(
                  tx -> {
                    DSLContext ctx = tx.dsl();
                    ctx.execute("INSERT INTO orders VALUES (1)");
                    ctx.fetchValue(EnqueueSql.STATEMENT, EnqueueSql.parameters(job("1")));
                    throw new IllegalStateException("no");
                  }));
      context.transaction(
          tx -> {
            DSLContext ctx = tx.dsl();
            ctx.execute("INSERT INTO orders VALUES (2)");
            ctx.fetchValue(EnqueueSql.STATEMENT, EnqueueSql.parameters(job("2")));
          });
      assertEquals(List.of("2"), payloads(db));
      assertEquals(1, db.query("SELECT * FROM orders").size());
    }
  }

  @Test
  void hibernate() {
    var registry =
        new StandardServiceRegistryBuilder()
            .applySetting("hibernate.connection.url", url)
            .applySetting("hibernate.dialect", "org.hibernate.community.dialect.SQLiteDialect")
            .build();
    try (Database db = Honker.open(directory.resolve("app.db"));
        SessionFactory factory =
            new MetadataSources(registry).buildMetadata().buildSessionFactory()) {
      assertThrows(
          IllegalStateException.class,
          () ->
              factory.inTransaction(
                  session -> {
                    session.doReturningWork(connection -> EnqueueSql.enqueue(connection, job("1")));
                    throw new IllegalStateException("no");
                  }));
      factory.inTransaction(
          session ->
              session.doReturningWork(connection -> EnqueueSql.enqueue(connection, job("2"))));
      assertEquals(List.of("2"), payloads(db));
    }
  }
}
