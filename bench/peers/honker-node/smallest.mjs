import { open } from "../../../bindings/node/dist/index.mjs";

const db = open("app.db");
db.queue("greetings").enqueue("hello");
await db.worker("greetings", (job) => console.log(job.payload)).run();
