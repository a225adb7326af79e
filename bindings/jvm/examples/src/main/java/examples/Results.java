package examples;

import dev.honker.Honker;
import dev.honker.JsonCodec;
import dev.honker.TypedJob;
import dev.honker.TypedQueue;
import dev.honker.WaitOptions;
import java.time.Duration;

/** Results, and payloads that are values. */
final class Results {
  record Email(String to) {}

  /** What a JSON library would do. */
  private static final JsonCodec<Email> emailJson =
      new JsonCodec<>() {
        @Override
        public String encode(Email email) {
          return "{\"to\":\"" + email.to() + "\"}";
        }

        @Override
        public Email decode(String json) {
          return new Email(json.substring(7, json.length() - 2));
        }
      };

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

      TypedQueue<Email> typed =
          db.queue("emails").typed(emailJson); // JsonCodec<Email>: encode, decode
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
