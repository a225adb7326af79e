import { makeWorkerUtils, run } from "graphile-worker";

const connectionString = process.env.PEER_URL;
const utils = await makeWorkerUtils({ connectionString });
await utils.migrate();
await utils.addJob("greet", { word: "hello" });
await run({ connectionString, taskList: { greet: ({ word }) => console.log(word) } });
