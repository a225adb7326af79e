package examples;

import dev.honker.Database;
import dev.honker.Job;
import dev.honker.RetryableException;
import dev.honker.WorkerBuilder;
import dev.honker.WorkerOptions;
import dev.honker.testing.TestDatabase;
import java.time.Duration;

/** What a test of an application does. */
final class Testing {
  private static void signUp(Database db, String email) {
    db.queue("emails").enqueue("{\"to\":\"" + email + "\"}");
  }

  private static void send(Job job) {
    System.out.println("attempt " + job.attempts());
    if (job.attempts() == 1) throw new RetryableException("greylisted", Duration.ofMinutes(30));
  }

  private static void assertEquals(int expected, int actual) {
    if (expected != actual) throw new AssertionError(actual);
  }

  public static void main(String[] args) {
    WorkerOptions options = WorkerOptions.builder().build();
    try (var test = new TestDatabase()) {
      signUp(test.database(), "alice@example.com");
      test.assertEnqueued("emails", "{\"to\":\"alice@example.com\"}");
      WorkerBuilder worker = test.database().worker(options).handle("emails", job -> send(job));
      assertEquals(1, worker.runDue());
      test.advance(Duration.ofHours(1)); // what the handlers have put off is due
      assertEquals(1, worker.runDue());
      test.assertNothingEnqueued("emails");
    }
  }
}
