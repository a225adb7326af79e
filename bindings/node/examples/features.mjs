// Unique jobs, settings, batches, steps, lists of jobs, metrics.
import { open } from "@russellthehippo/honker-node";

const db = open("app.db");
const q = db.queue("features");

q.enqueue({ user: 7 }, { uniqueKey: "sync-7", onConflict: "replace", delay: 5 }); // debounced
console.log(q.tryEnqueue({ user: 7 }, { uniqueKey: "sync-7" }).status);

q.configure({ concurrency: 10, rate: { limit: 100, perS: 60 }, keepDoneS: 3600 });
q.pause();
q.resume();

const batch = await db.batch(
  (batch) => {
    for (const part of [1, 2, 3]) q.enqueue({ part }, { batch });
  },
  { onSuccess: { queue: "reports", payload: { ready: true } } },
);
for (const job of q.claimBatch("w", 3)) {
  await job.step("upload", async () => ({ url: `part-${job.payload.part}` })); // once, whatever is tried again
  job.ack();
}
console.log(batch.get(), db.queue("reports").claimOne("w").payload);

for await (const job of db.jobs.each({ queue: "features", state: ["done", "delayed"] })) console.log(job.id, job.state);
await db.jobs.applyAll({ queue: "features", state: "dead" }, "retry");
console.log(q.deadGroups(), db.metrics().queues.length, db.status().versions.honker);
