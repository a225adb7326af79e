// plainjob on better-sqlite3. A worker runs one job at a time; several are started in a process for more.
import Database from "better-sqlite3";
import { better, defineQueue, defineWorker } from "plainjob";
import * as peer from "./peer.mjs";

const quiet = { error: console.error, warn() {}, info() {}, debug() {} };
const database = new Database(peer.URL);
const connection = better(database);
const queue = defineQueue({
  connection,
  logger: quiet,
  ...(peer.SHORTEST && { timeout: 2000, maintenanceInterval: 1000 }),
});
if (peer.SYNCED) database.pragma("synchronous = FULL");

const producer = {
  enqueue: (job) => queue.add("job", job),
  enqueueMany: (jobs) => queue.addMany("job", jobs),
  enqueueLater: (jobs) => queue.addMany("job", jobs, { delay: peer.DAY_MS }),
  transact([kind, n], commit) {
    database.exec("BEGIN IMMEDIATE");
    database.prepare("INSERT INTO orders (n) VALUES (?)").run(n);
    queue.add("job", [kind, n]);
    database.exec(commit ? "COMMIT" : "ROLLBACK");
  },
};

async function work() {
  const append = (n) => database.prepare("INSERT INTO appended (n) VALUES (?)").run(n);
  const one = () =>
    defineWorker("job", (job) => peer.handle(JSON.parse(job.data), append), { queue, logger: quiet }).start();
  await Promise.all(Array.from({ length: peer.CONCURRENCY }, one));
}

await peer.main(work, () => producer);
