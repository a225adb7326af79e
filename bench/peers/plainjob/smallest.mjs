import Database from "better-sqlite3";
import { better, defineQueue, defineWorker } from "plainjob";

const queue = defineQueue({ connection: better(new Database("app.db")) });
queue.add("greet", "hello");
await defineWorker("greet", (job) => console.log(JSON.parse(job.data)), { queue }).start();
