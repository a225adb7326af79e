import { open } from "../../../bindings/bun/dist/bun/src/index.js";

const db = open("app.db");
db.queue("greetings").enqueue("hello");
await db.worker("greetings", (job) => console.log(job.payload)).run();
