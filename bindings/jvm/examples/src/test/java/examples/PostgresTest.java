package examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.honker.Database;
import dev.honker.EnqueueOptions;
import dev.honker.EnqueueSql;
import dev.honker.Honker;
import dev.honker.Job;
import dev.honker.JobSpec;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.sql.Connection;
import java.sql.DriverManager;
import java.util.List;
import org.hibernate.SessionFactory;
import org.hibernate.boot.MetadataSources;
import org.hibernate.boot.registry.StandardServiceRegistryBuilder;
import org.jooq.DSLContext;
import org.jooq.SQLDialect;
import org.jooq.impl.DSL;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;

/** The example for Postgres, and what maps objects and rows there. tests/run starts the server. */
@Timeout(120)
@EnabledIfEnvironmentVariable(named = "HONKER_POSTGRES_URL", matches = ".+")
class PostgresTest {
  private static final String JDBC = System.getenv("HONKER_POSTGRES_JDBC_URL");

  private static Database open() {
    return Honker.open(System.getenv("HONKER_POSTGRES_URL") + "&honker_migrate=on");
  }

  private static JobSpec job(String queue, String json) {
    return new JobSpec(queue, json, null);
  }

  private static List<String> payloads(Database db, String queue) {
    return db.queue(queue).claimBatch("w", -1).stream().map(Job::payloadJson).toList();
  }

  @Test
  void example() throws Exception {
    open().close();
    PrintStream before = System.out;
    ByteArrayOutputStream said = new ByteArrayOutputStream();
    System.setOut(new PrintStream(said, true));
    try {
      OnPostgres.main(new String[] {System.getenv("HONKER_POSTGRES_URL"), JDBC});
    } finally {
      System.setOut(before);
    }
    assertEquals("sent {\"order_id\":42}", said.toString().strip());
  }

  @Test
  void jooq() throws Exception {
    try (Database db = open();
        Connection connection = DriverManager.getConnection(JDBC)) {
      DSLContext context = DSL.using(connection, SQLDialect.POSTGRES);
      for (boolean commits : List.of(false, true)) {
        Runnable transaction =
            () ->
                context.transaction(
                    tx -> {
                      tx.dsl()
                          .fetchValue(
                              EnqueueSql.POSTGRES_STATEMENT,
                              EnqueueSql.postgresParameters(job("jooq", "" + commits)));
                      if (!commits) throw new IllegalStateException("no");
                    });
        if (commits) transaction.run();
        else assertThrows(IllegalStateException.class, transaction::run);
      }
      assertEquals(List.of("true"), payloads(db, "jooq"));
    }
  }

  @Test
  void hibernate() {
    var registry =
        new StandardServiceRegistryBuilder()
            .applySetting("hibernate.connection.url", JDBC)
            .applySetting("hibernate.dialect", "org.hibernate.dialect.PostgreSQLDialect")
            .build();
    EnqueueOptions once = EnqueueOptions.builder().uniqueKey("k").build();
    try (Database db = open();
        SessionFactory factory =
            new MetadataSources(registry).buildMetadata().buildSessionFactory()) {
      assertThrows(
          IllegalStateException.class,
          () ->
              factory.inTransaction(
                  session -> {
                    session.doReturningWork(
                        connection -> EnqueueSql.enqueue(connection, job("hibernate", "1")));
                    throw new IllegalStateException("no");
                  }));
      for (int i = 0; i < 2; i++) {
        factory.inTransaction(
            session ->
                session.doReturningWork(
                    connection ->
                        EnqueueSql.enqueue(connection, new JobSpec("hibernate", "2", once))));
      }
      assertEquals(List.of("2"), payloads(db, "hibernate"));
    }
  }
}
