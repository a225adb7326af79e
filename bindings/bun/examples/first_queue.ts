import { open } from "@russellthehippo/honker-bun";

const db = open("app.db"); // a second argument may name libhonker
const q = db.queue("greetings");
q.enqueue({ name: "world" });
const job = q.claimOne("worker-1")!;
console.log(`hello, ${(job.payload as { name: string }).name}!`);
job.ack();
