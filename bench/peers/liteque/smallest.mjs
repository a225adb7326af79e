import { buildDBClient, Runner, SqliteQueue } from "liteque";

const db = buildDBClient("app.db", { runMigrations: true });
const queue = new SqliteQueue("greetings", db, { defaultJobArgs: { numRetries: 2 }, keepFailedJobs: false });
await queue.enqueue("hello");
const run = async (job) => console.log(job.data);
await new Runner(queue, { run }, { concurrency: 1, pollIntervalMs: 1000, timeoutSecs: 60 }).run();
