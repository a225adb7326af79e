package dev.honker.spring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.honker.Database;
import dev.honker.EnqueueOptions;
import dev.honker.EnqueueResult;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.HealthIndicator;
import org.springframework.boot.health.contributor.Status;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.transaction.annotation.Transactional;

/** The starter on a Postgres server, which is the DataSource's as well. */
@Timeout(120)
@EnabledIfEnvironmentVariable(named = "HONKER_POSTGRES_URL", matches = ".+")
class PostgresStarterTest {
  private static final String URL = System.getenv("HONKER_POSTGRES_URL") + "&honker_migrate=on";
  private static final EnqueueOptions ONCE = EnqueueOptions.builder().uniqueKey("k").build();

  static class Shop {
    final List<String> sent = new CopyOnWriteArrayList<>();
    private final JdbcTemplate jdbc;
    private final HonkerTemplate honker;

    Shop(JdbcTemplate jdbc, HonkerTemplate honker) {
      this.jdbc = jdbc;
      this.honker = honker;
    }

    List<String> sent() {
      return sent;
    }

    @Transactional
    public EnqueueResult place(int id, boolean fails) {
      jdbc.update("INSERT INTO spring_orders VALUES (?)", id);
      EnqueueResult result = honker.enqueueWith("spring", "\"" + id + "\"", ONCE);
      if (fails) throw new IllegalStateException("no");
      return result;
    }

    @HonkerListener(queue = "spring")
    public void send(String json) {
      sent.add(json);
    }
  }

  @Configuration
  @EnableAutoConfiguration
  static class App {
    @Bean
    Shop shop(JdbcTemplate jdbc, HonkerTemplate honker) {
      jdbc.execute("DROP TABLE IF EXISTS spring_orders");
      jdbc.execute("CREATE TABLE spring_orders (id int PRIMARY KEY)");
      return new Shop(jdbc, honker);
    }
  }

  private static ConfigurableApplicationContext start(String... properties) {
    return new SpringApplicationBuilder(App.class)
        .web(WebApplicationType.NONE)
        .properties("spring.main.banner-mode=off")
        .properties("spring.datasource.url=" + System.getenv("HONKER_POSTGRES_JDBC_URL"))
        .properties(properties)
        .run();
  }

  @Test
  void jobsInTheTransactionsOfTheContext() throws Exception {
    try (var context = start("honker.path=" + URL, "honker.worker.enabled=false")) {
      Shop shop = context.getBean(Shop.class);
      assertThrows(IllegalStateException.class, () -> shop.place(1, true));
      EnqueueResult placed = shop.place(2, false);
      assertEquals(EnqueueResult.Outcome.ENQUEUED, placed.outcome());
      EnqueueResult again = shop.place(3, false);
      assertEquals(new EnqueueResult(placed.id(), EnqueueResult.Outcome.EXISTS), again);
      Database db = context.getBean(Database.class);
      assertEquals(2, db.query("SELECT * FROM spring_orders").size());
      assertEquals(
          1, db.jobs().list(dev.honker.JobFilter.builder().queue("spring").build()).count());
    }
    try (var context = start("honker.path=" + URL)) {
      Shop shop = context.getBean(Shop.class);
      HonkerStarterTest.eventually(() -> !shop.sent().isEmpty());
      assertEquals(List.of("\"2\""), shop.sent());
      Health health = context.getBean("honkerHealthIndicator", HealthIndicator.class).health();
      assertEquals(Status.UP, health.getStatus());
      assertFalse(health.getDetails().toString().contains("host="), health.toString());
    }
  }

  /** There is nothing that tells the URL of the server from the DataSource. */
  @Test
  void withoutAPathItSaysSo() {
    Throwable error = assertThrows(Exception.class, PostgresStarterTest::start);
    while (error.getCause() != null) error = error.getCause();
    assertTrue(error.getMessage().contains("honker.path"), error.toString());
  }
}
