package app;

import dev.honker.Honker;

/** What somebody else writes. */
public final class Main {
  public static void main(String[] args) {
    try (var db = Honker.open("app.db")) {
      var q = db.queue("greetings");
      q.enqueue("{\"name\":\"world\"}");
      var job = q.claimOne("worker-1").orElseThrow();
      System.out.println("claimed " + job.payloadJson());
      job.ack();
    }
  }
}
