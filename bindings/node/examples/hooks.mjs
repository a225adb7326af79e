// What is done around each enqueue and each job.
import { Discard, open, Retry, Snooze } from "@russellthehippo/honker-node";

const db = open("app.db");
db.aroundEnqueue((call, next) => {
  call.options.metadata = { ...call.options.metadata, tenant: "acme" };
  return next();
});
const worker = db.worker(
  { urgent: 3, emails: 1 }, // queues, and how often each is asked first
  async (job) => {
    if (job.payload === "later") throw new Snooze(60); // and this attempt does not count
    if (job.payload === "never") throw new Discard("no such user");
    if (job.attempts === 1) throw new Retry("not yet", { delayS: 0 });
    await fetch("http://127.0.0.1:1/", { signal: job.signal }).catch(() => {}); // ended with the job's claim
    void worker.stop();
  },
  {
    concurrency: 8,
    maxRunS: 600,
    middleware: [
      async (job, next) => {
        const before = performance.now();
        await next();
        console.log(`${job.queue} of ${job.metadata.tenant}: ${performance.now() - before > 0 ? "done" : ""}`);
      },
    ],
    onError: (error, job) => console.log(`${job.queue}: ${error.message}`), // Sentry, and the like
    logger: { info: () => {}, warn: console.warn, error: () => {} },
  },
);
db.queue("urgent").enqueue("hello");
db.queue("emails").enqueue("never");
await worker.run({ stopTimeoutS: 8 });
