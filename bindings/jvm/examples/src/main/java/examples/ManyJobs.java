package examples;

import dev.honker.EnqueueOptions;
import dev.honker.EnqueueResult;
import dev.honker.Honker;
import dev.honker.JobSpec;
import java.util.List;
import java.util.Map;

/** Jobs of several queues, enqueued together, and metadata. */
final class ManyJobs {
  public static void main(String[] args) {
    try (var db = Honker.open("app.db")) {
      EnqueueOptions traced = EnqueueOptions.builder().metadata(Map.of("request", "r-17")).build();
      List<EnqueueResult> jobs =
          db.enqueueMany(
              List.of(
                  new JobSpec("emails", "{\"to\":\"alice@example.com\"}", traced),
                  new JobSpec("invoices", "{\"order_id\":42}", null)));
      var job = db.queue("emails").claimOne("worker-1").orElseThrow();
      System.out.println(jobs.size() + " jobs, the first of " + job.metadata().get("request"));
      job.ack();
    }
  }
}
