// Without a worker object: jobs are claimed one by one, and settled by hand.
import { open } from "@russellthehippo/honker-node";

const db = open("app.db");
const q = db.queue("emails");
q.enqueue({ to: "alice" });
q.enqueue({ to: "bob" });
const sendEmail = async (email) => console.log(`to ${email.to}`);

{
  const waker = q.claimWaker();
  const job = await waker.next('worker-1');
  await sendEmail(job.payload);
  job.ack();
  waker.close();
}

const stop = new AbortController();
for await (const job of q.claim("worker-1", { signal: stop.signal })) {
  try {
    await sendEmail(job.payload);
    await job.ackAsync();
  } catch (error) {
    await job.retryAsync(60, String(error));
  }
  stop.abort(); // or break
}
