// Handles of all kinds, used, closed in any order, and abandoned, while the garbage collector runs at every turn: node --expose-gc
// soak.js DIRECTORY ROUNDS. Ends with a line that says what was done, once every job of it is accounted for.
const path = require("node:path");
const { Worker, isMainThread, workerData } = require("node:worker_threads");
const honker = require("../dist/index.js");

const [directory, rounds] = isMainThread ? process.argv.slice(2) : workerData;
const turn = () => new Promise(setImmediate);
const refused = (error) => {
  if (error instanceof honker.HonkerError || ["HONKER_INVALID", "HONKER_TIMEOUT"].includes(error.code)) return undefined;
  throw error;
};

/** What is done with a database; each is left in the middle of something. */
const abandoned = [
  (db) => db.queue("q").claim("w").nextWithin(0),
  (db) => void db.listen("channel"),
  (db) => void db.stream("topic").subscribe("consumer").nextWithin(0),
  (db) => void db.updateEvents(),
  (db) => void db.transactionAsync().catch(refused),
  (db) => void db.queue("q").enqueueAsync("x".repeat(5000)).catch(refused),
  (db) => void db.queryAsync("SELECT 1 AS a, 'b' AS b, x'00' AS c, 1.5 AS d").catch(refused),
  (db) => void db.waitResult(1, { timeoutS: 0.02 }).catch(refused),
  (db) =>
    void db
      .queue("q")
      .claimWaker()
      .next("w", { signal: AbortSignal.timeout(20) })
      .catch(refused),
  (db) => void db.scheduler().run("owner", AbortSignal.timeout(20), { logger: null }).catch(refused),
  (db) =>
    void db
      .worker("q", () => {}, { logger: null })
      .run({ signals: false, signal: AbortSignal.timeout(20) })
      .catch(refused),
  (db) => void honker.openAsync(db.path).catch(refused),
  (db) => void db.transaction(),
  (db) => db.close(),
  (db) => db.closeAsync(),
];

async function round(n) {
  const db = honker.open(path.join(directory, `soak-${process.pid}-${n % 3}.db`), { busyTimeoutMs: 50 });
  for (let i = 0; i < 6; i++) {
    const what = abandoned[(n * 7 + i * 5) % abandoned.length];
    try {
      await what(db);
    } catch (error) {
      refused(error);
    }
    globalThis.gc();
    await turn();
  }
  // Half of them are left to the collector.
  if (n % 2) await db.closeAsync();
}

/** Nothing is lost under all that. */
async function counted(jobs) {
  const db = honker.open(path.join(directory, `counted-${process.pid}-${isMainThread}.db`));
  const seen = new Set();
  db.enqueueMany(Array.from({ length: jobs }, (_, n) => ({ queue: "q", payload: { n, text: "é".repeat(n) } })));
  const worker = db.worker(
    "q",
    async (job) => {
      if (job.payload.text.length !== job.payload.n) throw new Error("damaged");
      seen.add(job.payload.n);
      globalThis.gc();
      await turn();
    },
    { concurrency: 8, logger: null },
  );
  const running = worker.run({ signals: false });
  while (seen.size < jobs) await new Promise((resolve) => setTimeout(resolve, 5));
  await worker.stop();
  await running;
  db.close();
  if (seen.size !== jobs) throw new Error(`${seen.size} of ${jobs} jobs were done`);
}

(async () => {
  const counting = counted(200);
  for (let n = 0; n < Number(rounds); n++) {
    await round(n);
    if (isMainThread && n % 20 === 10) {
      const thread = new Worker(__filename, { workerData: [directory, 6] });
      await new Promise((resolve, reject) => {
        thread.on("exit", resolve).on("error", reject);
        // Half of them are ended in the middle.
        if (n % 40 === 10) setTimeout(() => thread.terminate(), 30);
      });
    }
  }
  await counting;
  if (isMainThread) console.log(`${rounds} rounds`);
})();
