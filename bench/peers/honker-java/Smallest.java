import dev.honker.Honker;

public final class Smallest {
  public static void main(String[] arguments) throws Exception {
    try (var db = Honker.open("app.db")) {
      var queue = db.queue("greetings");
      queue.enqueue("\"hello\"");
      queue.worker("worker-1", job -> System.out.println(job.payloadJson())).run();
    }
  }
}
