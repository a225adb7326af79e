import { PgBoss } from "pg-boss";

const boss = new PgBoss(process.env.PEER_URL);
await boss.start();
await boss.createQueue("greetings");
await boss.send("greetings", { word: "hello" });
await boss.work("greetings", async ([job]) => console.log(job.data.word));
