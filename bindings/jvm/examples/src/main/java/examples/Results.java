package examples;

import dev.honker.Honker;
import dev.honker.JsonCodec;
import dev.honker.TypedJob;
import dev.honker.TypedQueue;
import dev.honker.WaitOptions;
import java.time.Duration;
import tools.jackson.databind.json.JsonMapper;

/** Results, and payloads that are values. */
final class Results {
  record Email(String to) {}

  private static final JsonMapper mapper = new JsonMapper();

  private static final JsonCodec<Email> emailJson =
      JsonCodec.of(mapper::writeValueAsString, json -> mapper.readValue(json, Email.class));

  private void handleResult(String json) {
    System.out.println("result " + json);
  }

  private void sendEmail(Email email) {
    System.out.println("sending to " + email.to());
  }

  private void run() {
    try (var db = Honker.open("app.db")) {
      var emails = db.queue("emails");
      long id = emails.enqueue("{\"to\":\"alice@example.com\"}");
      emails.saveResult(id, "{\"ok\":true}");
      var handled =
          emails
              .waitResultAsync(id, WaitOptions.timeout(Duration.ofSeconds(10)))
              .thenAccept(this::handleResult);
      handled.join();
      emails.claimOne("worker-1").orElseThrow().ack();

      TypedQueue<Email> typed = db.queue("emails").typed(emailJson);
      typed.enqueue(new Email("alice@example.com"));
      TypedJob<Email> job = typed.claimOne("worker-1").orElseThrow();
      sendEmail(job.payload());
      job.ack();
    }
  }

  public static void main(String[] args) {
    new Results().run();
  }
}
