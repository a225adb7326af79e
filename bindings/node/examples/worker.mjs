// A worker: run it, enqueue from elsewhere, end it with Ctrl-C.
const sendEmail = async (email) => console.log(`to ${email.to}`);

import { open } from "@russellthehippo/honker-node";

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
