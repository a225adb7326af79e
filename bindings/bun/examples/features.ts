// Unique jobs, settings, batches, steps, lists of jobs, metrics.
import { open } from "@russellthehippo/honker-bun";

const db = open("app.db");
const q = db.queue<{ user?: number; part?: number }>("features");

q.enqueue({ user: 7 }, { uniqueKey: "sync-7", onConflict: "replace", delay: 5 }); // debounced
console.log(q.tryEnqueue({ user: 7 }, { uniqueKey: "sync-7" }).status);

q.configure({ concurrency: 10, rate: { limit: 100, perS: 60 }, keepDoneS: 3600 });
q.pause();
q.resume();

const batch = await db.batch(
  (batch) => {
    for (const part of [1, 2, 3]) q.enqueue({ part }, { batch, metadata: { tenant: "acme" } });
  },
  { onSuccess: { queue: "reports", payload: { ready: true } } },
);
for (const job of q.claimBatch("w", 3)) {
  await job.step("upload", async () => ({ url: `part-${job.payload.part}` })); // once, whatever is tried again
  job.ack();
}
console.log(batch.get()?.done, db.queue<{ ready: boolean }>("reports").claimOne("w")?.payload.ready);

for await (const job of db.jobs.each({ queue: "features", state: "done", order: "oldest" }))
  console.log(job.id, job.metadata);
console.log(await db.jobs.applyAll({ queue: "features", state: "delayed" }, "cancel"));
console.log(q.deadGroups().length, db.metrics().queues.length);
db.close();
