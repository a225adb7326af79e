package examples;

import dev.honker.Honker;
import dev.honker.TaskRegistry;
import java.time.Duration;

/** Functions that are called by name, by whichever process runs them. */
final class Tasks {
  public static void main(String[] args) throws Exception {
    try (var db = Honker.open("app.db")) {
      var registry = new TaskRegistry(db);
      var greet =
          registry.register("greet", "tasks", call -> "{\"greeted\":" + call.argsJson() + "}");
      var result = greet.enqueue("[\"world\"]", "{}");
      try (var runner = db.runTasks(registry)) {
        System.out.println(result.waitFor(Duration.ofSeconds(10)));
      }
    }
  }
}
