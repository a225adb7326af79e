// One thing after the other.
import { open } from "@russellthehippo/honker-bun";

const db = open("app.db");
const q = db.queue<{ to: string }>("emails");
q.enqueue({ to: "alice" });

// README
const waker = q.claimWaker();
const job = await waker.next("worker-1", { signal: AbortSignal.timeout(60_000) }); // null when aborted, or closed
console.log("to", job?.payload.to);
job?.ack();
console.log("none now", waker.tryNext("worker-1"));
waker.close();

const events = db.stream<{ userId: number }>("user-events");
events.publish({ userId: 1 });
for await (const event of events.subscribe("dashboard", { saveEveryN: 1 })) {
  console.log("event", event.offset, event.payload.userId, event.created_at > 0);
  break;
}

const listener = db.listen<{ id: number }>("orders", { signal: AbortSignal.timeout(60_000) });
db.notify("orders", { id: 42 });
for await (const notification of listener) {
  console.log("notified", notification.payload.id);
  break;
}

// README: one of all processes that run the schedules leads
const scheduler = db.scheduler();
scheduler.add({ name: "nightly", queue: "reports", schedule: "0 3 * * *", payload: {} });
await scheduler.run({ owner: `scheduler-${process.pid}`, signal: AbortSignal.timeout(50) });

const lock = db.tryLock("backup", "me", 60);
console.log("locked", lock?.release(), lock?.released);
db.close();
