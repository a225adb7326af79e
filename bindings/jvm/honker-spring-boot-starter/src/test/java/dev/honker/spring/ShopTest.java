package dev.honker.spring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.dao.DataAccessException;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.transaction.annotation.Transactional;

/** The sample of the README. */
@Timeout(120)
class ShopTest {
  @TempDir Path directory;

  record Order(int id, String customer) {}

  record Email(String to, String subject) {}

  record Repository(JdbcTemplate jdbc) {
    void save(Order order) {
      jdbc.update("INSERT INTO orders VALUES (?, ?)", order.id(), order.customer());
    }
  }

  record Mailer(List<String> sent) {
    void send(String to, String subject) {
      sent.add(subject + ", " + to);
    }
  }

  static class Shop {
    private final Repository repository;
    private final HonkerTemplate honker;
    private final Mailer mailer;

    Shop(Repository repository, HonkerTemplate honker, Mailer mailer) {
      this.repository = repository;
      this.honker = honker;
      this.mailer = mailer;
    }

    @Transactional
    public void place(Order order) {
      repository.save(order);
      honker.enqueue("emails", new Email(order.customer(), "Thank you")); // in the same transaction
    }

    @HonkerListener(queue = "emails")
    public void send(Email email) {
      mailer.send(email.to(), email.subject());
    }
  }

  @Configuration
  @EnableAutoConfiguration
  static class App {
    @Bean
    Mailer mailer() {
      return new Mailer(new CopyOnWriteArrayList<>());
    }

    @Bean
    Shop shop(JdbcTemplate jdbc, HonkerTemplate honker, Mailer mailer) {
      jdbc.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT)");
      return new Shop(new Repository(jdbc), honker, mailer);
    }
  }

  @Test
  void aJobForEachOrder() throws Exception {
    String url =
        "spring.datasource.url=jdbc:sqlite:"
            + directory.resolve("app.db")
            + "?transaction_mode=IMMEDIATE";
    try (var context =
        new SpringApplicationBuilder(App.class)
            .web(WebApplicationType.NONE)
            .properties(url, "spring.main.banner-mode=off")
            .run()) {
      Shop shop = context.getBean(Shop.class);
      shop.place(new Order(1, "alice"));
      assertThrows(DataAccessException.class, () -> shop.place(new Order(1, "bob")));
      shop.place(new Order(2, "carol"));
      List<String> sent = context.getBean(Mailer.class).sent();
      HonkerStarterTest.eventually(() -> sent.size() == 2);
      assertEquals(
          List.of("Thank you, alice", "Thank you, carol"), sent.stream().sorted().toList());
    }
  }
}
