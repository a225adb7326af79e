// Schedules, outboxes, results, locks, rate limits.
import { open, TimeoutError } from "@russellthehippo/honker-node";

const db = open("app.db");
const deliver = async (payload) => console.log("delivered", payload);

db.scheduler().add({ name: "nightly", queue: "backups", schedule: "CRON_TZ=Europe/Berlin 0 3 * * *", payload: "go" });
const stop = new AbortController();
const firing = db.scheduler().run("scheduler-1", stop.signal); // one of all who run leads
stop.abort();
await firing;

const outbox = db.outbox("mail", async (payload) => deliver(payload), { maxAttempts: 5, baseBackoffS: 5 });
db.withTransaction((tx) => outbox.enqueueTx(tx, { to: "alice" }));
await outbox.runOnce("mail-1"); // or runWorker, until it is told to end

const id = db.queue("sums").enqueue([1, 2]);
db.saveResult(id, JSON.stringify(3), 3600);
console.log(await db.waitResult(id, { timeoutS: 10 }));
await db.waitResult(999, { timeoutS: 0 }).catch((error) => console.log(error instanceof TimeoutError));

const lock = db.tryLock("backup", null, 60);
if (lock) {
  lock.heartbeat(60);
  lock.release();
}
if (db.tryRateLimit("api", 10, 60)) console.log("allowed");
