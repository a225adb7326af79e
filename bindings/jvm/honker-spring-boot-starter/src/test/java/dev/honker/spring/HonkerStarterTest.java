package dev.honker.spring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.honker.Database;
import dev.honker.EnqueueOptions;
import dev.honker.EnqueueResult;
import dev.honker.Honker;
import dev.honker.HonkerException;
import dev.honker.Job;
import dev.honker.JobFilter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.health.contributor.HealthIndicator;
import org.springframework.boot.health.contributor.Status;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.stereotype.Component;
import org.springframework.transaction.annotation.Transactional;

/** The starter in applications as they are started. */
@Timeout(120)
class HonkerStarterTest {
  @TempDir Path directory;

  record Email(String to, String subject) {}

  /** What an application has; a proxy, as its methods are transactional. */
  @Component
  static class Mailer {
    final List<Object> seen = new CopyOnWriteArrayList<>();
    final CountDownLatch begun = new CountDownLatch(1);

    List<Object> seen() {
      return seen;
    }

    CountDownLatch begun() {
      return begun;
    }

    @Transactional
    @HonkerListener(queue = "${emails.queue:emails}", weight = 3)
    public void send(Email email, Job job) {
      seen.add(email);
      if (email.subject().equals("fail"))
        throw new IllegalStateException("attempt " + job.attempts());
    }

    @HonkerListener(queue = "slow")
    public void slow(String json) throws Exception {
      begun.countDown();
      Thread.sleep(1000);
      seen.add(json);
    }
  }

  @Component
  static class Orders {
    private final JdbcTemplate jdbc;
    private final HonkerTemplate honker;

    Orders(JdbcTemplate jdbc, HonkerTemplate honker) {
      this.jdbc = jdbc;
      this.honker = honker;
    }

    @Transactional
    public void place(int id, Email email, boolean fails) {
      jdbc.update("INSERT INTO orders VALUES (?)", id);
      honker.enqueue("emails", email);
      if (fails) throw new IllegalStateException("no");
    }
  }

  @Configuration
  @EnableAutoConfiguration
  static class App {
    @Bean
    MeterRegistry registry() {
      return new SimpleMeterRegistry();
    }

    @Bean
    Mailer mailer() {
      return new Mailer();
    }
  }

  @Configuration
  static class WithOrders {
    @Bean
    Orders orders(JdbcTemplate jdbc, HonkerTemplate honker) {
      return new Orders(jdbc, honker);
    }
  }

  private ConfigurableApplicationContext start(Class<?> more, String... properties) {
    List<String> all = new ArrayList<>(List.of(properties));
    all.add("spring.main.banner-mode=off");
    SpringApplicationBuilder app =
        new SpringApplicationBuilder(App.class).web(WebApplicationType.NONE);
    if (more != null) app.sources(more);
    return app.properties(all.toArray(new String[0])).run();
  }

  private String url() {
    return "spring.datasource.url=jdbc:sqlite:"
        + directory.resolve("app.db")
        + "?transaction_mode=IMMEDIATE&busy_timeout=10000";
  }

  interface Condition {
    boolean holds() throws Exception;
  }

  static void eventually(Condition condition) throws Exception {
    long end = System.nanoTime() + 60_000_000_000L;
    while (!condition.holds()) {
      if (System.nanoTime() > end) throw new AssertionError("it did not come to hold");
      Thread.sleep(5);
    }
  }

  /** The job and the row are committed together, or neither is. */
  @Test
  void jobsInTheTransactionsOfTheContext() throws Exception {
    try (var context = start(WithOrders.class, url())) {
      context.getBean(JdbcTemplate.class).execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)");
      Orders orders = context.getBean(Orders.class);
      Mailer mailer = context.getBean(Mailer.class);
      assertThrows(
          IllegalStateException.class, () -> orders.place(1, new Email("a", "undone"), true));
      orders.place(2, new Email("a", "done"), false);
      eventually(() -> !mailer.seen().isEmpty());
      assertEquals(List.of(new Email("a", "done")), mailer.seen());
      Database db = context.getBean(Database.class);
      assertEquals(1, db.query("SELECT * FROM orders").size());
      eventually(() -> db.query("SELECT * FROM _honker_live").isEmpty());

      context.getBean(HonkerTemplate.class).enqueue("emails", new Email("b", "alone"));
      eventually(() -> mailer.seen().size() == 2);
    }
  }

  @Test
  void failuresHealthAndMetrics() throws Exception {
    try (var context = start(null, url())) {
      HonkerTemplate honker = context.getBean(HonkerTemplate.class);
      Database db = context.getBean(Database.class);
      honker.enqueue("emails", new Email("a", "fail"));
      honker.enqueue("emails", "{\"to\":17,\"subject\":{}}");
      eventually(() -> db.queue("emails").statsJson().contains("\"dead\":1"));
      assertTrue(db.queue("emails").deadJson(-1).contains("cannot be decoded"));
      eventually(() -> db.queue("emails").statsJson().contains("\"delayed\":1"));

      MeterRegistry registry = context.getBean(MeterRegistry.class);
      Timer failed =
          registry.get("honker.jobs").tags("queue", "emails", "outcome", "failure").timer();
      assertEquals(1, failed.count());

      HealthIndicator health = context.getBean("honkerHealthIndicator", HealthIndicator.class);
      assertEquals(Status.UP, health.health().getStatus());
      assertEquals(true, health.health().getDetails().get("worker"));
      JdbcTemplate jdbc = context.getBean(JdbcTemplate.class);
      jdbc.execute("DROP TABLE _honker_live");
      eventually(() -> health.health().getStatus().equals(Status.DOWN));
    }
  }

  /** What runs when the context is closed goes on to its end, and is settled. */
  @Test
  void closingTheContextWaitsForListeners() throws Exception {
    Mailer mailer;
    try (var context = start(null, url())) {
      mailer = context.getBean(Mailer.class);
      context.getBean(HonkerTemplate.class).enqueue("slow", "1");
      mailer.begun().await();
    }
    assertEquals(List.of("1"), mailer.seen());
    try (Database db = Honker.open(directory.resolve("app.db"))) {
      assertTrue(db.query("SELECT * FROM _honker_live").isEmpty());
    }
  }

  /** Another file than the DataSource's: jobs are no part of its transactions. */
  @Test
  void aFileOfItsOwn() throws Exception {
    Path own = directory.resolve("jobs.db");
    try (var context =
        start(WithOrders.class, url(), "honker.path=" + own, "honker.worker.enabled=false")) {
      context.getBean(JdbcTemplate.class).execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)");
      assertEquals(own.toString(), context.getBean(Database.class).path());
      assertFalse(context.getBean(HonkerWorker.class).isRunning());
      assertThrows(
          IllegalStateException.class,
          () -> context.getBean(Orders.class).place(1, new Email("a", "kept"), true));
      Job job = context.getBean(Database.class).queue("emails").claimOne("w").orElseThrow();
      assertTrue(job.payloadJson().contains("kept"));
      assertNull(context.getBean(HonkerWorker.class).failure().orElse(null));
    }
  }

  /** The worker, which is never lazy, would have no listeners. */
  @Test
  void lazyBeansListenAsWell() throws Exception {
    try (var context = start(null, url(), "spring.main.lazy-initialization=true")) {
      Database db = context.getBean(Database.class);
      db.queue("emails").enqueue("{\"to\":\"a\",\"subject\":\"lazy\"}");
      eventually(() -> db.query("SELECT * FROM _honker_live").isEmpty());
      assertEquals(List.of(new Email("a", "lazy")), context.getBean(Mailer.class).seen());
    }
  }

  /** An hour's outage loses none. */
  @Test
  void attempts() throws Exception {
    String disabled = "honker.worker.enabled=false";
    EnqueueOptions own = EnqueueOptions.builder().maxAttempts(2).build();
    EnqueueOptions urgent = EnqueueOptions.builder().priority(5).build();
    try (var context = start(null, url(), disabled, "management.health.honker.enabled=false")) {
      HonkerTemplate honker = context.getBean(HonkerTemplate.class);
      honker.enqueue("q", "1");
      honker.enqueue("q", "2", own);
      honker.enqueue("q", "3", urgent);
      Database db = context.getBean(Database.class);
      List<Long> attempts =
          db.query("SELECT max_attempts FROM _honker_live ORDER BY id").stream()
              .map(row -> row.getLong("max_attempts"))
              .toList();
      assertEquals(List.of(10L, 2L, 10L), attempts);
      assertEquals(1, db.query("SELECT * FROM _honker_live WHERE priority = 5").size());
      assertFalse(context.containsBean("honkerHealthIndicator"));
    }
    Exception error =
        assertThrows(Exception.class, () -> start(null, url(), "honker.max-attempts=0"));
    assertTrue(cause(error).getMessage().contains("maxAttempts must be at least 1"));
  }

  /** A transaction of the DataSource is SQL's, which cannot look for keys: it says so. */
  @Test
  void uniqueJobs() {
    EnqueueOptions once = EnqueueOptions.builder().uniqueKey("k").build();
    try (var context = start(WithTransactions.class, url(), "honker.worker.enabled=false")) {
      HonkerTemplate honker = context.getBean(HonkerTemplate.class);
      long id = honker.enqueue("q", "1", once);
      EnqueueResult again = honker.enqueueWith("q", "2", once);
      assertEquals(new EnqueueResult(id, EnqueueResult.Outcome.EXISTS), again);
      Transactions transactions = context.getBean(Transactions.class);
      HonkerException error =
          assertThrows(
              HonkerException.class,
              () -> transactions.run(() -> honker.enqueueWith("q", "3", once)));
      assertEquals("HONKER_UNSUPPORTED", error.name());
      EnqueueResult[] plain = new EnqueueResult[1];
      transactions.run(() -> plain[0] = honker.enqueueWith("q", "4", null));
      assertEquals(EnqueueResult.Outcome.ENQUEUED, plain[0].outcome());
      assertEquals(2, context.getBean(Database.class).jobs().list(all()).count());
    }
  }

  private static JobFilter all() {
    return JobFilter.builder().queue("q").build();
  }

  @Component
  static class Transactions {
    @Transactional
    public void run(Runnable work) {
      work.run();
    }
  }

  @Configuration
  static class WithTransactions {
    @Bean
    Transactions transactions() {
      return new Transactions();
    }
  }

  @Configuration
  static class Later {
    @Bean
    Object asynchronous() {
      return new Object() {
        @HonkerListener(queue = "later")
        public CompletableFuture<Void> send(String json) {
          return new CompletableFuture<>();
        }
      };
    }
  }

  /** Its job would be done before it has begun. */
  @Test
  void aListenerThatReturnsAFuture() {
    Exception error = assertThrows(Exception.class, () -> start(Later.class, url()));
    assertTrue(cause(error).getMessage().contains("must not return a future"), error.toString());
  }

  /** What editors know of the properties. */
  @Test
  void metadataOfTheProperties() throws Exception {
    String path = "META-INF/spring-configuration-metadata.json";
    List<String> all = new ArrayList<>();
    for (var url : Collections.list(HonkerProperties.class.getClassLoader().getResources(path))) {
      try (var in = url.openStream()) {
        all.add(new String(in.readAllBytes(), StandardCharsets.UTF_8));
      }
    }
    for (String name :
        List.of("honker.path", "honker.max-attempts", "honker.worker.stop-timeout")) {
      assertTrue(all.stream().anyMatch(it -> it.contains("\"" + name + "\"")), name);
    }
  }

  private static Throwable cause(Throwable error) {
    return error.getCause() == null ? error : cause(error.getCause());
  }

  @Test
  void aContextWithoutAFileSaysSo() {
    Exception error =
        assertThrows(
            Exception.class, () -> start(null, "spring.datasource.url=jdbc:sqlite::memory:"));
    assertTrue(cause(error).getMessage().contains("honker.path"), error.toString());
  }
}
