// Graphile Worker on Postgres.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";
import * as peer from "./peer.mjs";

const logger = new Logger(() => (level, message) => level === "error" && console.error(message));

async function producer() {
  const utils = await makeWorkerUtils({ connectionString: peer.URL, logger });
  await utils.migrate();
  const application = new pg.Client(peer.URL);
  await application.connect();
  return {
    enqueue: (job) => utils.addJob("job", job),
    enqueueMany: (jobs) => utils.addJobs(jobs.map((payload) => ({ identifier: "job", payload }))),
    enqueueLater(jobs) {
      const runAt = new Date(Date.now() + peer.DAY_MS);
      return utils.addJobs(jobs.map((payload) => ({ identifier: "job", payload, runAt })));
    },
    async transact([kind, n], commit) {
      await application.query("BEGIN");
      await application.query("INSERT INTO orders (n) VALUES ($1)", [n]);
      await application.query("SELECT graphile_worker.add_job('job', $1)", [JSON.stringify([kind, n])]);
      await application.query(commit ? "COMMIT" : "ROLLBACK");
    },
  };
}

async function work() {
  const pool = new pg.Pool({ connectionString: peer.URL });
  const append = (n) => pool.query("INSERT INTO appended (n) VALUES ($1)", [n]);
  const runner = await run({
    connectionString: peer.URL,
    logger,
    concurrency: peer.CONCURRENCY,
    taskList: { job: (payload) => peer.handle(payload, append) },
  });
  await runner.promise;
}

await peer.main(work, producer);
