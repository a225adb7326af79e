package examples;

import dev.honker.Honker;
import dev.honker.JsonCodec;
import dev.honker.QueueOptions;
import dev.honker.WorkerOptions;
import tools.jackson.databind.json.JsonMapper;

/** A worker for production, and who gives it work; both may be in processes of their own. */
final class WorkerExample {
  record Email(String to, String subject) {}

  private static void sendEmail(Email email) {
    System.out.println("sending " + email.subject() + " to " + email.to());
  }

  public static void main(String[] args) throws Exception {
    try (var db = Honker.open("app.db")) {
      var mapper = new JsonMapper();
      JsonCodec<Email> emailJson =
          JsonCodec.of(mapper::writeValueAsString, json -> mapper.readValue(json, Email.class));
      var emails =
          db.queue("emails", QueueOptions.builder().maxAttempts(10).build()).typed(emailJson);
      emails.enqueue(new Email("alice@example.com", "Welcome"));

      Honker.worker("app.db", WorkerOptions.builder().concurrency(8).build())
          .handle("emails", emailJson, job -> sendEmail(job.payload()))
          .start()
          .run(); // until SIGTERM or SIGINT
    }
    System.out.println("stopped");
  }
}
