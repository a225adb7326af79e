package examples;

import dev.honker.CronSchedule;
import dev.honker.Honker;
import dev.honker.ScheduleUpdate;
import dev.honker.WorkerOptions;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicBoolean;

/** Schedules are in the file. One process of all that run them leads. */
final class Schedules {
  private static final AtomicBoolean isChecked = new AtomicBoolean();

  private static void check(String json) {
    if (!isChecked.getAndSet(true)) System.out.println("pulse " + json);
  }

  public static void main(String[] args) throws Exception {
    try (var db = Honker.open("app.db")) {
      var scheduler = db.scheduler();
      var nightly = CronSchedule.crontab("CRON_TZ=Europe/Berlin 0 3 * * *");
      scheduler.add("nightly", "backups", nightly, "{\"what\":\"everything\"}");
      scheduler.add("pulse", "health", CronSchedule.every(Duration.ofSeconds(1)), "null");
      scheduler.pause("nightly");
      scheduler.update("nightly", new ScheduleUpdate().priority(10));
      scheduler.resume("nightly");

      var options = WorkerOptions.builder().build();
      try (var schedules = scheduler.run();
          var worker =
              db.worker(options).handle("health", job -> check(job.payloadJson())).start()) {
        worker.run(); // until SIGTERM or SIGINT
      }
    }
    System.out.println("stopped");
  }
}
