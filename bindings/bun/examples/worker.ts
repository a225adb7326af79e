// Works until SIGTERM or Ctrl-C.
async function sendEmail(email: unknown): Promise<void> {
  console.log("to", (email as { to: string }).to);
}

// README
import { open } from "@russellthehippo/honker-bun";

const db = open("app.db");
const emails = db.queue("emails", { maxAttempts: 10 });
emails.enqueue({ to: "alice" });

const worker = db.worker(
  "emails",
  async (job) => {
    await sendEmail(job.payload); // throws: logged, and tried again in 15 seconds, then 30, 60, ... for two hours
  },
  { concurrency: 4 },
);
await worker.run();
