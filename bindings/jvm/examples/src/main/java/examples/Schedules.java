package examples;

import dev.honker.CronSchedule;
import dev.honker.Honker;
import dev.honker.ScheduleUpdate;
import java.time.Duration;

/** Schedules are in the file. One process of all that run them leads. */
final class Schedules {
  public static void main(String[] args) throws Exception {
    try (var db = Honker.open("app.db")) {
      var scheduler = db.scheduler();
      var nightly = CronSchedule.crontab("CRON_TZ=Europe/Berlin 0 3 * * *");
      scheduler.add("nightly", "backups", nightly, "{\"what\":\"everything\"}");
      scheduler.add("pulse", "health", CronSchedule.every(Duration.ofSeconds(1)), "null");
      scheduler.pause("nightly");
      scheduler.update("nightly", new ScheduleUpdate().priority(10));
      scheduler.resume("nightly");

      try (var runner = scheduler.run();
          var worker = db.queue("health").worker("worker-1")) {
        System.out.println("pulse " + worker.next().orElseThrow().payloadJson());
      }
    }
  }
}
