// BullMQ on Redis.
import { Queue, Worker } from "bullmq";
import IORedis from "ioredis";
import * as peer from "./peer.mjs";

const connection = new IORedis(peer.URL, { maxRetriesPerRequest: null });
const options = { removeOnComplete: true };

function producer() {
  const queue = new Queue("bench", { connection });
  return {
    enqueue: (data) => queue.add("job", data, options),
    enqueueMany: (jobs) => queue.addBulk(jobs.map((data) => ({ name: "job", data, opts: options }))),
    enqueueLater: (jobs) =>
      queue.addBulk(jobs.map((data) => ({ name: "job", data, opts: { ...options, delay: peer.DAY_MS } }))),
  };
}

async function work() {
  const application = new IORedis(peer.URL);
  const append = (n) => application.rpush("appended", n);
  const worker = new Worker("bench", (job) => peer.handle(job.data, append), {
    connection,
    concurrency: peer.CONCURRENCY,
    ...(peer.SHORTEST && { lockDuration: 1000, stalledInterval: 1000, maxStalledCount: 20 }),
  });
  worker.on("error", console.error);
  await peer.forever();
}

await peer.main(work, producer);
