// Jobs by name, as programs in other languages enqueue them as well.
import { open, Tasks } from "@russellthehippo/honker-node";

const db = open("app.db");
const tasks = new Tasks({
  sendEmail: async (job, to, subject) => console.log(`${job.id}: ${subject}, ${to}!`),
  endOfDay: () => void worker.stop(),
});
const q = db.queue("tasks");
q.enqueue(tasks.payload("sendEmail", "alice", "hello"), { maxAttempts: 10 });
q.enqueue(tasks.payload("endOfDay"));
const worker = db.worker("tasks", tasks.handler);
await worker.run();
