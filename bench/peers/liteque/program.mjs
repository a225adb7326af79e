// liteque on better-sqlite3, with its runner.
import { buildDBClient, Runner, SqliteQueue } from "liteque";
import * as peer from "./peer.mjs";

const db = buildDBClient(peer.URL, { runMigrations: true, walEnabled: true });
const database = db.$client;
database.pragma("busy_timeout = 5000");
if (peer.SYNCED) database.pragma("synchronous = FULL");
const queue = new SqliteQueue("bench", db, { defaultJobArgs: { numRetries: 2 }, keepFailedJobs: false });

const producer = {
  enqueue: (job) => queue.enqueue(job),
  async enqueueLater(jobs) {
    for (const job of jobs) await queue.enqueue(job, { delayMs: peer.DAY_MS });
  },
};

async function work() {
  const append = (n) => database.prepare("INSERT INTO appended (n) VALUES (?)").run(n);
  await new Runner(
    queue,
    { run: (job) => peer.handle(job.data, append), onError: async (job) => console.error(job.error) },
    { concurrency: peer.CONCURRENCY, pollIntervalMs: 1000, timeoutSecs: peer.SHORTEST ? 2 : 60 },
  ).run();
}

await peer.main(work, () => producer);
