// pg-boss on Postgres.
import pg from "pg";
import { PgBoss } from "pg-boss";
import * as peer from "./peer.mjs";

const boss = new PgBoss({
  connectionString: peer.URL,
  ...(peer.SHORTEST && { superviseIntervalSeconds: 1, monitorIntervalSeconds: 1, maintenanceIntervalSeconds: 1 }),
});
boss.on("error", console.error);
await boss.start();
await boss.createQueue("bench", peer.SHORTEST ? { expireInSeconds: 2, retryLimit: 20 } : {});

async function producer() {
  const application = new pg.Client(peer.URL);
  await application.connect();
  const db = { executeSql: (text, values) => application.query(text, values) };
  return {
    enqueue: (data) => boss.send("bench", { data }),
    enqueueMany: (jobs) => boss.insert("bench", jobs.map((data) => ({ data: { data } }))),
    enqueueLater(jobs) {
      const startAfter = new Date(Date.now() + peer.DAY_MS);
      return boss.insert("bench", jobs.map((data) => ({ data: { data }, startAfter })));
    },
    async transact([kind, n], commit) {
      await application.query("BEGIN");
      await application.query("INSERT INTO orders (n) VALUES ($1)", [n]);
      await boss.send("bench", { data: [kind, n] }, { db });
      await application.query(commit ? "COMMIT" : "ROLLBACK");
    },
  };
}

async function work() {
  const pool = new pg.Pool({ connectionString: peer.URL });
  const append = (n) => pool.query("INSERT INTO appended (n) VALUES ($1)", [n]);
  // A worker fetches a batch, and the next when all of it is done.
  await boss.work("bench", { batchSize: peer.CONCURRENCY, pollingIntervalSeconds: 0.5 }, (jobs) =>
    Promise.all(jobs.map((job) => peer.handle(job.data.data, append))),
  );
  await peer.forever();
}

await peer.main(work, producer);
