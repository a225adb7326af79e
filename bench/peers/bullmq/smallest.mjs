import { Queue, Worker } from "bullmq";

const connection = { url: process.env.PEER_URL };
await new Queue("greetings", { connection }).add("greet", "hello");
new Worker("greetings", async (job) => console.log(job.data), { connection });
